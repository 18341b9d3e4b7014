"""Every command, run as every role in the place of the one that runs it, against the one permission table."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from lumen.cli import command_line
from lumen.config.settings import Settings
from lumen.config.source import Configuration
from lumen.database import Database
from lumen.identity import keys, people
from lumen.identity.permissions import COMMAND_LINE, RULES, Action, Actor, Role
from tests.lumen import factories
from tests.lumen.cli.conftest import CONFIGURATION

# Every command with the action that it needs, and how it is called on the client `bot`, its key and its person.
COMMANDS: dict[str, tuple[Action, list[str]]] = {
    'client create': (Action.CREATE_CLIENT, ['new']),
    'client list': (Action.OPEN_CLIENTS, []),
    'client show': (Action.SEE_CLIENT, ['bot']),
    'client rename': (Action.RENAME_CLIENT, ['bot', 'robot']),
    'client activate': (Action.SET_ACTIVE, ['bot']),
    'client deactivate': (Action.SET_ACTIVE, ['bot']),
    'client acknowledge': (Action.ACKNOWLEDGE, ['bot', 'careful', '--yes']),
    'manager add': (Action.CHANGE_MANAGERS, ['bot', 'new@example.org']),
    'manager remove': (Action.CHANGE_MANAGERS, ['bot', 'person@example.org']),
    'manager owner': (Action.CHANGE_MANAGERS, ['bot', 'person@example.org']),
    'manager list': (Action.SEE_CLIENT, ['bot']),
    'key create': (Action.MANAGE_KEYS, ['bot']),
    'key rotate': (Action.MANAGE_KEYS, ['{key}']),
    'key revoke': (Action.MANAGE_KEYS, ['{key}']),
    'audit': (Action.READ_AUDIT, []),
}
# These are for whoever runs the machine: they concern no client's rights, and have the database before them anyway.
OF_THE_MACHINE = {'serve', 'migrate', 'check', 'demo', 'echo'}
ROLES = {
    'user@example.org': Role.USER,
    'manager@example.org': Role.MANAGER,
    'owner@example.org': Role.OWNER,
    'admin@example.org': Role.ADMIN,
}


def names(group: click.Group, before: str = '') -> Iterator[str]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from names(command, f'{before}{name} ')
        else:
            yield f'{before}{name}'


def test_every_command_is_known():
    assert set(names(command_line)) == COMMANDS.keys() | OF_THE_MACHINE


@pytest.fixture
def settings(tmp_path: Path, sqlite_template: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    shutil.copy(sqlite_template, tmp_path / 'lumen.db')
    path = tmp_path / 'config.yaml'
    path.write_text(CONFIGURATION)
    environment = {
        'LUMEN_CONFIG': str(path),
        'DATABASE_URL': f'sqlite:///{tmp_path}/lumen.db',
        'LUMEN_ENCRYPTION_KEY': 'e' * 48,
        'LUMEN_SECRET_KEY': 's' * 48,
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    return Configuration.load(path, environment).current


@pytest.mark.parametrize('name', COMMANDS)
@pytest.mark.parametrize('email', ROLES)
def test_a_command_does_what_the_table_allows_its_actor(
    settings: Settings,
    new_database: Callable[[str], Database],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    email: str,
):
    action, arguments = COMMANDS[name]
    database = new_database(settings.app.database.url.get_secret_value())

    def prepare() -> tuple[Actor, int]:
        client_id = factories.client('bot', settings, 'owner@example.org', 'manager@example.org', 'person@example.org')
        key = keys.create_key(COMMAND_LINE, client_id, 'k', None, settings=settings, secret=b'e' * 48)
        return Actor(people.ensure_user(email, email, settings, 'test'), 'command'), key.id

    actor, key_id = database.write_now(prepare)
    before = len(database.read_now(factories.audited))
    database.close()
    for module in [module for path, module in sys.modules.items() if path.startswith('lumen.cli.')]:
        if hasattr(module, 'COMMAND_LINE'):
            monkeypatch.setattr(module, 'COMMAND_LINE', actor)
    result = CliRunner().invoke(command_line, [*name.split(), *(text.format(key=key_id) for text in arguments)])
    role = ROLES[email]
    assert (result.exit_code == 0) == (role in RULES[action]), result.output
    again = new_database(settings.app.database.url.get_secret_value())
    done = again.read_now(factories.audited)[before:]
    assert {who for who, _, _ in done} <= ({email} if role in RULES[action] else set())


def test_whoever_runs_a_command_is_an_admin_and_is_named(settings: Settings, new_database: Callable[[str], Database]):
    assert CliRunner().invoke(command_line, ['client', 'create', 'bot']).exit_code == 0
    database = new_database(settings.app.database.url.get_secret_value())
    who, action, subject = database.read_now(factories.audited)[-1]
    assert who.startswith('command line (')
    assert (action, subject) == ('client.created', 'bot')
