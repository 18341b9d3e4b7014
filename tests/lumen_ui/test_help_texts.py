"""The help texts: every topic has one, every picture is there twice and says what it shows, none is left over."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import pytest

from lumen.config.reading import read
from lumen_ui.components import picture
from lumen_ui.components.help_link import TOPICS, help_link, help_mark
from lumen_ui.pages.help import OVERVIEW, TEXTS

ROOT = Path(__file__).parents[2]
FILES = sorted(TEXTS.glob('*.md'))
MOST_BYTES = 1_500_000


def pictures(file: Path) -> list[tuple[str, str]]:
    """What each picture of a text shows, and its name."""
    return re.findall(r'!\[(.*?)\]\((.*?)\)', file.read_text())


def test_every_topic_has_a_text_and_every_text_a_topic():
    assert {file.stem for file in FILES} == {OVERVIEW, *TOPICS}


@pytest.mark.parametrize('file', FILES, ids=lambda file: file.stem)
def test_a_text_begins_with_its_heading_and_has_only_one(file: Path):
    words = re.sub(r'```.*?```', '', file.read_text(), flags=re.DOTALL)
    headings = re.findall(r'^# (.+)$', words, re.MULTILINE)
    assert headings == [TOPICS.get(file.stem, 'Help')]
    assert words.startswith('# ')


@pytest.mark.parametrize('file', FILES, ids=lambda file: file.stem)
def test_every_picture_is_there_for_light_and_dark_pages(file: Path):
    shown = picture.with_pictures(file.read_text())
    assert '![' not in shown
    assert shown.count('<img ') == 2 * len(pictures(file))


def test_a_picture_that_was_never_taken_is_refused():
    with pytest.raises(FileNotFoundError):
        picture.with_pictures('![A page](no-such-picture)')


def test_a_picture_says_what_it_shows_and_how_large_it_is():
    shown = picture.with_pictures('![The "new" client](new-client)')
    assert shown.count('alt="The &quot;new&quot; client"') == 2
    with (picture.FOLDER / 'new-client-light.png').open('rb') as file:
        width, height = struct.unpack('>II', file.read(24)[16:])
    assert f'width="{width // 2}" height="{height // 2}"' in shown
    for file in FILES:
        assert all(len(what) > 20 for what, _ in pictures(file))


def test_no_picture_is_left_over_and_all_are_small():
    used = {f'{name}-{mode}.png' for file in FILES for _, name in pictures(file) for mode in ('light', 'dark')}
    assert {path.name for path in picture.FOLDER.iterdir()} == used
    assert sum(path.stat().st_size for path in picture.FOLDER.iterdir()) < MOST_BYTES


@pytest.mark.parametrize('link', [help_link, help_mark])
def test_a_link_to_a_topic_that_is_none_is_refused(link):
    with pytest.raises(ValueError, match='no help about moon'):
        link('moon') if link is help_mark else link('moon', 'The moon')


def test_the_codes_of_refusals_are_those_that_the_api_documents():
    named = re.findall(r'`([a-z]+_[a-z_]+)`', (TEXTS / 'api.md').read_text().partition('## When a call is refused')[2])
    assert len(named) > 8
    assert [code for code in named if f'`{code}`' not in (ROOT / 'docs' / 'api.md').read_text()] == []


def test_the_sample_of_the_configuration_can_be_used(tmp_path: Path):
    text = (TEXTS / 'configuring-clients.md').read_text()
    sample = re.search(r'```yaml\n(.*?)```', text, re.DOTALL)
    assert sample is not None
    around = 'version: 2\ngroups: {research: {}}\nmodels:\n  - {name: echo, input_cost_per_million: 0, '
    around += 'output_cost_per_million: 0, endpoints: [{url: "builtin:echo"}]}\n'
    path = tmp_path / 'config.yaml'
    path.write_text(around + sample[1])
    settings = read(path, {}).settings
    assert settings.entry('client', 'research-bot').groups == ('research',)
