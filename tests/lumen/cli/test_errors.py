"""Whatever is wrong, a command says so in words, never with a traceback."""

from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest

from lumen.cli import command_line
from tests.lumen.cli.conftest import CONFIGURATION, Lumen


@pytest.mark.parametrize(
    'arguments',
    [
        ('key', 'revoke', '999999999999999999999999999999'),
        ('key', 'revoke', '0'),
        ('key', 'rotate', '-1'),
        ('client', 'show', '\udcff'),
        ('manager', 'add', 'bot', '\udcff@example.org'),
    ],
)
@pytest.mark.parametrize('more', [(), ('--json',)])
def test_arguments_that_cannot_be_are_refused(lumen: Lumen, arguments: tuple[str, ...], more: tuple[str, ...]):
    result = lumen(*arguments, *more)
    assert result.exit_code == 2
    assert result.stderr
    assert isinstance(result.exception, SystemExit)


@pytest.mark.parametrize(
    ('url', 'said'),
    [
        ('sqlite:///{folder}/file/x.db', 'the folder {folder}/file cannot be made: File exists'),
        ('sqlite:////proc/nowhere/x.db', 'cannot be made'),
    ],
)
def test_a_folder_that_cannot_be_made_is_told_in_one_line(
    write_configuration: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str, said: str
):
    write_configuration(CONFIGURATION)
    (tmp_path / 'file').touch()
    monkeypatch.setenv('DATABASE_URL', url.format(folder=tmp_path))
    for arguments in (('client', 'list'), ('migrate',), ('serve', '--port', '0')):
        assert said.format(folder=tmp_path) in told(*arguments)
    assert 'does not exist' in told('check')


def told(*arguments: str) -> str:
    """The one line with which a command does not begin."""
    result = Lumen()(*arguments)
    assert result.exit_code == 2, result.output
    assert isinstance(result.exception, SystemExit)
    (line,) = [line for line in result.stderr.splitlines() if ' [' not in line[:40]]
    return line


@pytest.mark.parametrize(
    ('url', 'said'),
    [
        ('sqlite:///%00.db', 'an SQLite database needs a file, for example sqlite:///data/lumen.db'),
        ('sqlite://:memory:', 'an SQLite database needs a file, for example sqlite:///data/lumen.db'),
        ('sqlite://data/x.db', 'needs three slashes before a relative path'),
        ('sqlite://[/x.db', 'is malformed'),
        ('postgresql://[::1/x', 'is malformed'),
        ('postgresql://u:p/w@h/x', 'is malformed'),
        ('mysql://x/y', 'must start with sqlite:/// or postgresql://'),
    ],
)
def test_an_address_that_cannot_be_is_told_with_its_key_and_where_it_comes_from(
    write_configuration: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, url: str, said: str
):
    commands = (('client', 'list'), ('migrate',), ('check',), ('serve', '--port', '0'))
    write_configuration(CONFIGURATION)
    monkeypatch.setenv('DATABASE_URL', url)
    for arguments in commands:
        line = told(*arguments)
        assert line.startswith(f'lumen.yaml: app.database.url: {said}')
        assert line.endswith(' (DATABASE_URL of the environment)')
    monkeypatch.delenv('DATABASE_URL')
    write_configuration(f'{CONFIGURATION}app: {{database: {{url: "{url}"}}}}\n')
    number = len(CONFIGURATION.splitlines()) + 1
    for arguments in commands:
        assert told(*arguments).startswith(f'lumen.yaml:{number}: app.database.url: {said}')


def leaves(group: click.Group, before: str = '') -> Iterator[tuple[str, click.Command]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from leaves(command, f'{before}{name} ')
        else:
            yield f'{before}{name}', command


def test_every_command_answers_in_json_when_asked():
    without = [
        name
        for name, command in leaves(command_line)
        if not any('--json' in parameter.opts for parameter in command.params)
    ]
    assert without == []
