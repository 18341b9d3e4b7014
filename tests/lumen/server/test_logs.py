from __future__ import annotations

import io
import json
import logging

import pytest
import structlog

from lumen.server import logs
from lumen.server.logs import safe

FORGED = 'x\n2026-01-01 00:00:00 [info     ] all is well\x1b[2J\x9b1A\u202e\r\u2028'


def cleaned(**event: object) -> dict[str, object]:
    return dict(safe(None, 'info', event))


class Stream(io.StringIO):
    def __init__(self, is_terminal: bool):
        super().__init__()
        self._is_terminal = is_terminal

    def isatty(self) -> bool:
        return self._is_terminal


@pytest.fixture(params=['terminal', 'json'])
def stream(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Stream:
    """What is logged, in either rendering."""
    stream = Stream(request.param == 'terminal')
    monkeypatch.setattr('sys.stderr', stream)
    logs.configure()
    return stream


def test_keys_and_passwords_do_not_reach_the_log():
    line = cleaned(
        event='refused sk_lumen_0123456789abcdefghijABCDEFGHIJ0123456789',
        header='Authorization: Bearer abc.def',
        database='postgresql://lumen:hunter2@db/lumen?sslmode=require&password=hunter3',
        nested={'upstream': ['https://user:hunter4@models/v1']},
        cookie='lumen_session=hunter5; __Host-lumen_session=hunter6',
        quoted='{\'api_key\': \'hunter7\', "client_secret": "hunter8"}',
        error=ValueError('password=hunter9'),
        raw=b'secret=hunter10',
    )
    assert '0123456789' not in str(line)
    assert 'abc.def' not in str(line)
    assert 'hunter' not in str(line)


def test_everything_else_is_left_as_it_is():
    line = {'event': 'settled 12 calls', 'calls': 12, 'url': 'http://127.0.0.1:8000/v1', 'at': '12:30:01', 'by': None}
    assert cleaned(**line) == line
    fault = 'config.yaml:3: app.secret_key: must be text'
    assert cleaned(fault=fault) == {'fault': fault}


def test_nobody_writes_lines_of_their_own(stream: Stream):
    log = structlog.get_logger()
    log.warning(FORGED, name=FORGED, names=[FORGED])
    logging.getLogger('a.library').warning('said %s', FORGED)
    said = stream.getvalue()
    assert said.count('\n') == 2
    for character in '\x1b\x9b\u202e\r\u2028' if not stream.isatty() else '\x9b\u202e\r\u2028':
        assert character not in said
    assert '\x1b[2J' not in said
    if not stream.isatty():
        assert [set(json.loads(line)) >= {'event', 'level'} for line in said.splitlines()] == [True, True]


def test_no_line_of_a_traceback_passes_for_a_line_of_the_log(stream: Stream):
    try:
        raise ValueError(f'{FORGED} sk_lumen_0123456789 postgresql://lumen:hunter2@db')
    except ValueError:
        structlog.get_logger().exception('a call failed')
    said = stream.getvalue()
    assert 'ValueError' in said
    assert '0123456789' not in said
    assert 'hunter2' not in said
    for character in '\x9b\u202e\r\u2028':
        assert character not in said
    if stream.isatty():
        first, *rest = said.rstrip('\n').split('\n')
        assert 'a call failed' in first
        assert [line for line in rest if not line.startswith('    ')] == []
    else:
        assert said.count('\n') == 1
