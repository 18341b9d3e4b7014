import getpass
from datetime import datetime

import pytest

import models
from lumen.cli.times import iso, since
from lumen.database import Database
from lumen.errors import Invalid
from tests.lumen.cli.conftest import Lumen

MOMENT = 1_800_000_000_000_000
ME = f'command line ({getpass.getuser()})'


def test_what_others_wrote_does_not_steer_the_terminal(lumen: Lumen, database_url: str):
    lumen.json('client', 'create', 'bot')
    steering = 'x\n\x1b[2J\x9b1A\u202ey'
    database = Database(database_url)
    try:
        database.write_now(lambda: models.Account.update(created_by=steering, name=steering).execute())
    finally:
        database.close()
    for command in (('audit',), ('client', 'list'), ('client', 'list', '--json')):
        said = lumen(*command).stdout
        assert '\\u202ey' in said
        assert not set('\x1b\x9b\u202e') & set(said)
    assert lumen.json('client', 'list')[0]['name'] == steering
    assert len(lumen('audit').stdout.splitlines()) == 1


def test_what_was_done_is_told_oldest_first(lumen: Lumen):
    assert lumen.json('audit') == []
    assert lumen('audit').stdout == 'Nothing was changed.\n'
    lumen.json('client', 'create', 'bot')
    lumen.json('client', 'deactivate', 'bot')
    events = lumen.json('audit')
    assert list(events[0]) == ['id', 'at', 'actor', 'via', 'action', 'client', 'subject', 'before', 'after']
    assert [(event['actor'], event['via'], event['action'], event['client']) for event in events] == [
        (ME, 'command', 'client.created', 'bot'),
        (ME, 'command', 'client.deactivated', 'bot'),
    ]
    assert (events[1]['before'], events[1]['after']) == ({'active': True}, {'active': False})
    assert datetime.fromisoformat(events[0]['at']).tzinfo is not None
    lines = lumen('audit').stdout.splitlines()
    assert lines[1].endswith(f'  {ME} deactivated the client [bot] (command)')


def test_it_is_asked_by_client_actor_time_and_number(lumen: Lumen):
    for name in ('first', 'second'):
        lumen.json('client', 'create', name)
    assert [event['client'] for event in lumen.json('audit', '--client', 'FIRST')] == ['first']
    assert [event['client'] for event in lumen.json('audit', '--limit', '1')] == ['second']
    assert lumen.json('audit', '--actor', 'somebody@example.org') == []
    assert len(lumen.json('audit', '--actor', ME)) == len(lumen.json('audit', '--actor', ME.upper())) == 2
    assert len(lumen.json('audit', '--since', '1h')) == 2
    assert lumen.json('audit', '--since', '2099-01-01') == []
    assert lumen.refusal('audit', '--client', 'nobody')['code'] == 'client_not_found'
    assert lumen.refusal('audit', '--since', 'lately', exit_code=2)['param'] == 'since'


def test_a_start_is_a_length_of_time_ago_or_a_date():
    assert since('2h', MOMENT) == MOMENT - 2 * 3_600_000_000
    assert iso(since('2030-12-31', MOMENT)) == '2030-12-31T00:00:00+00:00'
    assert iso(since('2030-12-31T12:00+02:00', MOMENT)) == '2030-12-31T10:00:00+00:00'
    for text in ('', '0d', 'never', '31.12.2030'):
        with pytest.raises(Invalid, match='is no time'):
            since(text, MOMENT)
