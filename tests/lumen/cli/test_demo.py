from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from lumen import coins
from tests.lumen.cli.conftest import CONFIGURATION, Lumen

SMALL = ('demo', '--clients', '12', '--days', '14', '--requests', '300', '--until', '2026-03-04T16:00-06:00')


def test_a_demo_says_what_it_made_and_the_books_add_up(lumen: Lumen):
    made = lumen.json(*SMALL, '--seed', '7')
    clients = lumen.json('client', 'list')
    assert made['clients'] == len(clients) == 12
    assert made['requests'] == sum(client['requests'] for client in clients) == 300
    assert coins.from_text(made['coins_spent']) == sum(coins.from_text(client['coins_spent']) for client in clients) > 0
    assert (made['seed'], made['until']) == (7, '2026-03-04T16:00:00-06:00')
    assert made['users'] > 0
    assert made['keys'] > 0
    assert made['seconds'] >= 0
    assert not all(client['active'] for client in clients)
    assert lumen.json('check') == {'clean': True, 'differences': []}


def test_a_demo_answers_people_in_a_sentence(lumen: Lumen):
    result = lumen(*SMALL)
    assert result.exit_code == 0
    assert result.stdout.startswith('12 clients with ')
    assert '300 requests for ' in result.stdout


def test_a_second_demo_is_refused(lumen: Lumen):
    lumen.json(*SMALL)
    refusal = lumen.refusal(*SMALL)
    assert refusal['code'] == 'has_clients'
    assert 'has 12 clients already' in refusal['message']
    assert len(lumen.json('client', 'list')) == 12


def test_a_demo_without_numbers_ends_now(lumen: Lumen):
    made = lumen.json('demo')
    assert (made['clients'], made['requests']) == (100, 10_000)
    assert lumen.json('check')['clean']


@pytest.mark.parametrize(
    ('until', 'words'), [('soon', 'is no time'), ('1903-01-01', 'before 1980'), ('2126-01-01', 'in the future')]
)
def test_an_end_that_is_none_is_told(lumen: Lumen, until: str, words: str):
    refusal = lumen.refusal('demo', '--until', until, exit_code=2)
    assert refusal['param'] == 'until'
    assert words in refusal['message']


def test_numbers_that_make_no_sense_are_wrong_usage(lumen: Lumen):
    assert lumen('demo', '--clients', '-1').exit_code == 2
    assert lumen('demo', '--days', '0').exit_code == 2
    assert lumen.refusal('demo', '--clients', '0', '--requests', '5')['param'] == 'requests'


def test_a_new_file_is_brought_up_to_date_first(write_configuration: Callable[[str], Path], tmp_path: Path):
    write_configuration(f'{CONFIGURATION}\napp: {{database: {{url: "sqlite:///{tmp_path}/new.db"}}}}\n')
    assert Lumen().json(*SMALL)['clients'] == 12
    connection = sqlite3.connect(tmp_path / 'new.db')
    assert connection.execute('select count(*) from request').fetchone() == (300,)
    connection.close()
