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
        ('sqlite:///%00.db', 'an SQLite database needs a file'),
        ('sqlite://data/x.db', 'write three slashes, sqlite:///data/x.db'),
        ('postgresql://[::1/x', 'is malformed'),
        ('mysql://x/y', 'must start with sqlite:/// or postgresql://'),
    ],
)
def test_an_address_that_leads_nowhere_is_told_in_one_line(
    write_configuration: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str, said: str
):
    write_configuration(CONFIGURATION)
    (tmp_path / 'file').touch()
    monkeypatch.setenv('DATABASE_URL', url.format(folder=tmp_path))
    for arguments in (('client', 'list'), ('migrate',), ('check',), ('serve', '--port', '0')):
        result = Lumen()(*arguments)
        assert result.exit_code == 2, result.output
        assert isinstance(result.exception, SystemExit)
        lines = result.stderr.splitlines()
        if arguments != ('check',) or 'exist' not in lines[-1]:
            assert said.format(folder=tmp_path) in lines[-1]


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
