"""Documents must stay true: what they link to and tell people to run exists, and no library goes unexplained."""

import re
import tomllib
from pathlib import Path

import click
import pytest

from lumen.cli import command_line

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted([*ROOT.glob('*.md'), *(ROOT / 'docs').glob('**/*.md')])

LINK = re.compile(r'(?:\]\(|\bsrc="|\bsrcset=")([^)\s"]+)')
COMMAND = re.compile(r'(?:^|[`/])lumen ((?:[a-z]+ ?)+)', re.MULTILINE)
TARGET = re.compile(r'(?:^|`)make ([a-z]+)', re.MULTILINE)


def anchors(document: Path) -> set[str]:
    headings = re.findall(r'^#+ (.+)$', document.read_text(), re.MULTILINE)
    return {re.sub(r'[^\w\- ]', '', heading.lower()).replace(' ', '-') for heading in headings}


@pytest.mark.parametrize('document', DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path):
    for link in LINK.findall(document.read_text()):
        if re.match(r'[a-z]+:', link):
            continue
        name, _, anchor = link.partition('#')
        target = (document.parent / name).resolve() if name else document
        assert target.exists(), f'{document.name} links to {link}'
        assert not anchor or anchor in anchors(target), f'{document.name} links to {link}'


@pytest.mark.parametrize('document', DOCUMENTS, ids=lambda path: path.name)
def test_commands_exist(document: Path):
    for words in COMMAND.findall(document.read_text()):
        command: click.Command = command_line
        for word in words.split():
            if not isinstance(command, click.Group):
                break
            assert word in command.commands, f'{document.name} mentions lumen {words}'
            command = command.commands[word]


@pytest.mark.parametrize('document', DOCUMENTS, ids=lambda path: path.name)
def test_targets_of_make_exist(document: Path):
    targets = set(re.findall(r'^([a-z-]+):', (ROOT / 'Makefile').read_text(), re.MULTILINE))
    assert set(TARGET.findall(document.read_text())) <= targets


def test_every_page_has_its_pictures_light_and_dark_wide_and_narrow():
    taken: dict[str, set[str]] = {}
    for picture in (ROOT / 'docs' / 'pictures').iterdir():
        what, mode, width = picture.stem.rsplit('-', 2)
        taken.setdefault(what, set()).add(f'{mode}-{width}')
    assert taken.pop('navigation') == {'light-375', 'dark-375'}  # a wide page has no button for it
    assert len(taken) > 20
    four = {'light-375', 'dark-375', 'light-1440', 'dark-1440'}
    assert {what: found for what, found in taken.items() if found != four} == {}


def test_every_threat_is_covered_by_a_test_that_exists():
    rows = [row for row in (ROOT / 'docs/threat-model.md').read_text().splitlines() if row.startswith('| ')]
    threats = [row.strip('| ').split(' | ') for row in rows if not row.startswith('| threat |')]
    assert len(threats) > 20
    for threat, stands_against, covered in threats:
        named = re.findall(r'`(tests/[\w/]+\.py)::(test_\w+)`', covered)
        assert stands_against, threat
        assert named, threat
        for path, name in named:
            functions = re.findall(r'^(?:async )?def (test_\w+)', (ROOT / path).read_text(), re.MULTILINE)
            assert name in functions, f'{threat}: {path}::{name}'


def test_every_library_is_explained():
    project = tomllib.loads((ROOT / 'pyproject.toml').read_text())['project']
    named = [*project['dependencies'], *project['optional-dependencies']['dev']]
    libraries = (ROOT / 'docs/architecture.md').read_text().partition('## Libraries')[2]
    explained = re.findall(r'^- \*\*(.+?)\*\*: .{12,}', libraries, re.MULTILINE)
    assert sorted(explained) == sorted(re.match(r'[\w.-]+', name)[0] for name in named)


def test_the_sdk_of_the_tests_is_named_with_its_version():
    pinned = {
        name: re.search(rf'^{name}==(\S+)', (ROOT / 'requirements-dev.txt').read_text(), re.MULTILINE)[1]
        for name in ('openai', 'anthropic')
    }
    said = f'`openai` {pinned["openai"]} and `anthropic` {pinned["anthropic"]} for Python;'
    assert said in (ROOT / 'docs/api.md').read_text()


def test_every_room_is_on_the_map():
    text = (ROOT / 'docs/architecture.md').read_text().partition('## How things flow')[0]
    rooms = [path.name for path in (ROOT / 'lumen').iterdir() if (path / '__init__.py').exists()]
    assert [room for room in rooms if f'`lumen/{room}/`' not in text] == []
    modules = [path.name for path in (ROOT / 'lumen').glob('*.py') if path.name != '__init__.py']
    assert [module for module in modules if module not in text] == []
