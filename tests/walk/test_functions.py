"""Every function that takes an actor, called as every role, against the one permission table.

Pages and commands have no other way to change or to see anything, so this holds whatever is drawn.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

import lumen.identity
import lumen.records
import models
from lumen.config.settings import Settings
from lumen.database import Database
from lumen.errors import Forbidden, NotAuthenticated, NotFound
from lumen.identity import keys, people
from lumen.identity.permissions import COMMAND_LINE, RULES, Action, Actor, Role
from lumen.records import clients, managers
from lumen.records.acknowledgements import digest_of
from tests.lumen import factories

SECRET = factories.SECRET
CONFIGURED: Settings = factories.settings(
    models=[
        {
            'name': 'careful',
            'access': 'allowed',
            'needs_ack': 'true',
            'ack_message': 'Read me.',
            'input_cost_per_million': '0',
            'output_cost_per_million': '0',
            'endpoints': [{'url': 'builtin:echo'}],
        }
    ]
)
ROLES: dict[str, Role | None] = {
    'user@example.org': Role.USER,
    'other@example.org': Role.USER,
    'manager@example.org': Role.MANAGER,
    'owner@example.org': Role.OWNER,
    'admin@example.org': Role.ADMIN,
    'gone@example.org': None,
    'nobody@example.org': None,
}


@dataclass(frozen=True)
class Target:
    client_id: int
    person_id: int
    key_id: int
    owner_id: int


Call = Callable[[Actor, Target], Any]
S: dict[str, Any] = {'settings': CONFIGURED}
K: dict[str, Any] = S | {'secret': SECRET}

# Every function with its action. General ones are about no client in particular.
FUNCTIONS: dict[str, tuple[Action, Call]] = {
    'records.clients.create_client': (Action.CREATE_CLIENT, lambda a, t: clients.create_client(a, 'new', **S)),
    'records.clients.rename_client': (
        Action.RENAME_CLIENT,
        lambda a, t: clients.rename_client(a, t.client_id, 'x', **S),
    ),
    'records.clients.set_active': (Action.SET_ACTIVE, lambda a, t: clients.set_active(a, t.client_id, False, **S)),
    'records.clients.get': (Action.SEE_CLIENT, lambda a, t: clients.get(a, t.client_id, **S)),
    'records.managers.managers_of': (Action.SEE_CLIENT, lambda a, t: managers.managers_of(a, t.client_id, **S)),
    'records.managers.candidates': (Action.CHANGE_MANAGERS, lambda a, t: managers.candidates(a, t.client_id, 'u', **S)),
    'records.managers.add_manager': (
        Action.CHANGE_MANAGERS,
        lambda a, t: managers.add_manager(a, t.client_id, 'new@example.org', **S),
    ),
    'records.managers.hand_over': (
        Action.CHANGE_MANAGERS,
        lambda a, t: managers.hand_over(a, t.client_id, t.person_id, **S),
    ),
    'records.managers.remove_manager': (
        Action.CHANGE_MANAGERS,
        lambda a, t: managers.remove_manager(a, t.client_id, t.person_id, **S),
    ),
    'records.managers.leave': (Action.LEAVE_CLIENT, lambda a, t: managers.leave(a, t.client_id, **S)),
    'records.client_list.rows': (Action.OPEN_CLIENTS, lambda a, t: _of('records.client_list').rows(a, **S)),
    'records.client_figures.figures': (Action.OPEN_CLIENTS, lambda a, t: _of('records.client_figures').figures(a, **S)),
    'records.client_figures.figures_of': (
        Action.SEE_CLIENT,
        lambda a, t: _of('records.client_figures').figures_of(a, t.client_id, **S),
    ),
    'records.usage.model_usage': (
        Action.SEE_CLIENT,
        lambda a, t: _of('records.usage').model_usage(a, t.client_id, **S),
    ),
    'records.history.history_of': (
        Action.SEE_CLIENT,
        lambda a, t: _of('records.history').history_of(a, t.client_id, **S),
    ),
    'records.history.audit_events': (Action.READ_AUDIT, lambda a, t: _of('records.history').audit_events(a, **S)),
    'records.acknowledgements.acknowledge': (
        Action.ACKNOWLEDGE,
        lambda a, t: _of('records.acknowledgements').acknowledge(a, t.client_id, 'careful', digest_of('Read me.'), **S),
    ),
    'identity.keys.create_key': (Action.MANAGE_KEYS, lambda a, t: keys.create_key(a, t.client_id, 'k', None, **K)),
    'identity.keys.revoke_key': (Action.MANAGE_KEYS, lambda a, t: keys.revoke_key(a, t.key_id, **S)),
    'identity.keys.require_key': (Action.MANAGE_KEYS, lambda a, t: keys.require_key(a, t.key_id, CONFIGURED)),
    'identity.keys.keys_of': (Action.SEE_CLIENT, lambda a, t: keys.keys_of(a, t.client_id, **S)),
    'identity.rotation.rotate_key': (
        Action.MANAGE_KEYS,
        lambda a, t: _of('identity.rotation').rotate_key(a, t.key_id, expires_at=None, works_until=None, **K),
    ),
}
# The same functions with arguments that let them do something else.
OTHERWISE: dict[str, tuple[Action, Call]] = {
    'set_active, to activate': (Action.SET_ACTIVE, lambda a, t: clients.set_active(a, t.client_id, True, **S)),
    'add_manager, as the owner': (
        Action.CHANGE_MANAGERS,
        lambda a, t: managers.add_manager(a, t.client_id, 'new@example.org', as_owner=True, **S),
    ),
    'remove_manager, the owner': (
        Action.CHANGE_MANAGERS,
        lambda a, t: managers.remove_manager(a, t.client_id, t.owner_id, **S),
    ),
}
# These are the table itself.
THE_TABLE = {'identity.permissions.load', 'identity.permissions.require'}
# What this answers is only ever compared with what it answered before; what is shown then is read through the table.
SHOWS_NOTHING = {'records.pulse.pulse_of_client'}
GENERAL = {Action.CREATE_CLIENT, Action.OPEN_CLIENTS, Action.READ_AUDIT}


def _of(name: str) -> Any:
    return importlib.import_module(f'lumen.{name}')


@pytest.fixture
def actors(database: Database) -> dict[str, Actor]:
    def make() -> dict[str, Actor]:
        found = {email: Actor(people.ensure_user(email, email, CONFIGURED, 'test')) for email in ROLES}
        factories.client('elsewhere', CONFIGURED, 'other@example.org')
        gone = found['gone@example.org'].account_id
        models.Account.update(active=False).where(models.Account.id == gone).execute()
        return found | {'nobody@example.org': Actor(999_999)}

    return database.write_now(make)


def target() -> Target:
    client_id = factories.client('bot', CONFIGURED, 'owner@example.org', 'manager@example.org', 'person@example.org')
    owner, person = (people.find_by_email(f'{name}@example.org') for name in ('owner', 'person'))
    assert owner is not None
    assert person is not None
    key = keys.create_key(COMMAND_LINE, client_id, 'key', None, settings=CONFIGURED, secret=SECRET)
    return Target(client_id, int(person.id), key.id, int(owner.id))


@pytest.mark.parametrize('name', FUNCTIONS | OTHERWISE)
def test_a_function_does_what_the_table_allows_and_nothing_else(
    database: Database, actors: dict[str, Actor], name: str
):
    action, call = (FUNCTIONS | OTHERWISE)[name]
    aim = database.write_now(target)
    allowed = {}
    for email, actor in actors.items():
        try:
            database.write_now(_try_and_undo, call, actor, aim)
        except _Done as done:
            allowed[email] = done.audited <= {email}
        except (Forbidden, NotFound, NotAuthenticated) as refused:
            allowed[email] = 'does not manage' in refused.message  # an admin has nothing to leave
    best = {email: Role.MANAGER if email.startswith(('other', 'owner')) else role for email, role in ROLES.items()}
    roles = best if action in GENERAL else ROLES
    assert allowed == {email: role in RULES[action] for email, role in roles.items()}


def test_every_function_that_takes_an_actor_is_in_the_table():
    assert set(_functions_with_an_actor()) == FUNCTIONS.keys() | THE_TABLE | SHOWS_NOTHING


class _Done(Exception):
    """Carries who was audited, and undoes what was done."""

    def __init__(self, audited: set[str]):
        super().__init__()
        self.audited = audited


def _try_and_undo(call: Call, actor: Actor, aim: Target) -> None:
    before = models.AuditEvent.select().count()
    call(actor, aim)
    events = models.AuditEvent.select().order_by(models.AuditEvent.id).offset(before)
    raise _Done({event.actor for event in events})


def _functions_with_an_actor() -> list[str]:
    found = []
    for package in (lumen.records, lumen.identity):
        for module in pkgutil.iter_modules(package.__path__, f'{package.__name__}.'):
            for name, function in inspect.getmembers(importlib.import_module(module.name), inspect.isfunction):
                if function.__module__ != module.name or name.startswith('_'):
                    continue
                if 'actor' in inspect.signature(function).parameters:
                    found.append(f'{module.name.removeprefix("lumen.")}.{name}')
    return found
