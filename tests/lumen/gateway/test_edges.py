"""Requests as only an attacker or an odd client sends them: each gets its own answer, and no other call suffers."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable
from urllib.parse import urlsplit

import pytest
from structlog.testing import capture_logs

from lumen.config.settings import Settings
from lumen.gateway.stream import LATE_USAGE_SECONDS
from lumen.server import http
from tests.lumen.gateway.conftest import Running, ScriptedServer, configured
from tests.lumen.gateway.test_failures import STREAM, chunk
from tests.lumen.gateway.test_failures import call as ask

Run = Callable[[Settings], Running]
BODY = json.dumps({'model': 'm', 'messages': [{'role': 'user', 'content': 'hello'}]}).encode()
SOCKET = b'connection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: eA==\r\n'
H2C = b'connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAA\r\n'

pytestmark = pytest.mark.parametrize('database_url', ['sqlite'], indirect=True)


@pytest.fixture
def running(run: Run) -> Running:
    return run(configured('builtin:echo'))


def connect(running: Running) -> socket.socket:
    return socket.create_connection(('127.0.0.1', urlsplit(running.address).port or 0), timeout=20)


def head(running: Running, *lines: bytes, key: bool = True, length: int | None = len(BODY)) -> bytes:
    fields = [b'POST /v1/chat/completions HTTP/1.1\r\nhost: lumen\r\n', *lines]
    if key:
        fields.append(f'authorization: Bearer {running.key}\r\n'.encode())
    if length is not None:
        fields.append(b'content-length: %d\r\n' % length)
    return b''.join([*fields, b'\r\n'])


def answers(connection: socket.socket, number: int) -> list[int]:
    """The statuses of so many answers, each of which says how long it is."""
    file, found = connection.makefile('rb'), []
    for _ in range(number):
        found.append(int(file.readline().split()[1]))
        length = 0
        while (line := file.readline()) not in (b'\r\n', b''):
            name, _, value = line.partition(b':')
            length = int(value) if name.lower() == b'content-length' else length
        file.read(length)
    return found


def everything(connection: socket.socket) -> bytes:
    found = b''
    while part := connection.recv(65536):
        found += part
    return found


@pytest.mark.parametrize(
    'request_',
    [
        b'POST /v1/x HTTP/1.1\r\nhost: x\r\n' + SOCKET + b'content-length: 5\r\n\r\nabcde',
        b'GET /v1/x HTTP/1.1\r\nhost: x\r\n' + SOCKET + b'transfer-encoding: chunked\r\n\r\n0\r\n\r\n',
        b'GET /x HTTP/1.1\r\nhost: x\r\n' + SOCKET + b'cookie: ' + b'c' * 9000 + b'\r\n\r\n',
        b'GET /x HTTP/1.1\r\nhost: x\r\n' + SOCKET + b'x: y\r\n' * 200 + b'\r\n',
    ],
    ids=['POST', 'chunked', 'cookie', 'fields'],
)
def test_a_socket_that_cannot_be_is_refused_at_once(running: Running, request_: bytes):
    with connect(running) as connection:
        connection.sendall(request_)
        assert everything(connection).startswith(b'HTTP/1.1 400 ')


def test_a_socket_behind_a_call_in_flight_ends_the_connection_behind_its_answer(run: Run, scripted: ScriptedServer):
    scripted.script.headers = STREAM
    scripted.script.parts = [chunk('one'), b'data: [DONE]\n\n']
    scripted.script.waits_after = 0
    running = run(configured(scripted.address))
    streamed = BODY[:-1] + b', "stream": true}'
    with connect(running) as connection:
        connection.sendall(head(running, length=len(streamed)) + streamed)
        assert b'"one"' in connection.recv(65536)
        connection.sendall(b'GET /v1/x HTTP/1.1\r\nhost: x\r\n' + SOCKET + b'\r\n')
        scripted.script.proceed.set()
        rest = everything(connection)
    assert b'[DONE]' in rest
    assert b'HTTP/1.1' not in rest
    assert [request.outcome for request in running.wait_for_requests(1)] == ['usage_missing']
    running.assert_settled()


IMPOSSIBLE = (
    b'GET /v1/x HTTP/1.1\r\nhost: x\r\n' + SOCKET + b'\r\n',
    b'garbage\r\n\r\n',
    b'GET /v1/models HTTP/1.1\r\nhost: x\r\nx: ' + b'y' * 70_000 + b'\r\n\r\n',
)


@pytest.mark.parametrize('behind', IMPOSSIBLE, ids=['socket', 'garbage', 'large'])
@pytest.mark.parametrize('calls', [1, 3])
def test_what_cannot_be_read_takes_no_answer_of_a_call_before_it(running: Running, calls: int, behind: bytes):
    with connect(running) as connection:
        connection.sendall((head(running) + BODY) * calls + behind)
        found = everything(connection)
    assert found.count(b'HTTP/1.1 200 ') == calls
    assert found.count(b'HTTP/1.1 ') == calls
    assert len(running.requests()) == calls
    running.assert_settled()


@pytest.mark.parametrize('what', ['x: ' + 'y' * 70_000, 'transfer-encoding: chunked\r\n\r\nzz'])
def test_what_cannot_be_read_and_asks_for_the_head_gets_the_head(running: Running, what: str):
    with connect(running) as connection:
        connection.sendall(f'HEAD /v1/models HTTP/1.1\r\nhost: x\r\n{what}\r\n\r\n'.encode())
        assert everything(connection).endswith(b'\r\n\r\n')


@pytest.mark.parametrize('version', ['1.1', '1.0'])
@pytest.mark.parametrize(
    ('path', 'key', 'status'), [('completions', True, 413), ('completions', False, 401), ('x', True, 404)]
)
def test_an_early_refusal_is_read_also_by_who_asked_for_no_further_request(
    running: Running, version: str, path: str, key: bool, status: int
):
    lines = [f'POST /v1/{path} HTTP/{version}\r\nhost: lumen\r\nconnection: close\r\ncontent-length: 40000000\r\n']
    if key:
        lines.append(f'authorization: Bearer {running.key}\r\n')
    with connect(running) as connection:
        connection.sendall(''.join([*lines, '\r\n']).encode())
        for _ in range(400):
            connection.sendall(b' ' * 100_000)
        assert everything(connection).split()[1] == str(status).encode()


UNREADABLE = {
    'chunk': (b'transfer-encoding: chunked\r\n', b'zz\r\n'),
    'coding': (b'transfer-encoding: gzip\r\n', b'x'),
    'trailer': (b'transfer-encoding: chunked\r\n', b'0\r\nx: ' + b'y' * 70_000 + b'\r\n\r\n'),
    'upgrade': (b'connection: Upgrade\r\nupgrade: foo\r\ntransfer-encoding: gzip\r\n', b'x'),
}


@pytest.mark.parametrize('is_later', [False, True])
@pytest.mark.parametrize('what', UNREADABLE)
@pytest.mark.parametrize('calls', [0, 1, 2])
def test_a_body_that_cannot_be_read_is_refused_in_its_turn(
    running: Running, what: str, calls: int, is_later: bool, caplog: pytest.LogCaptureFixture
):
    lines, rest = UNREADABLE[what]
    slow = BODY[:-1] + b', "echo": {"delay_seconds": 0.3}}'
    with capture_logs() as logged, connect(running) as connection:
        connection.sendall((head(running, length=len(slow)) + slow) * calls)
        if is_later:
            time.sleep(0.1)  # the first runs by then
        connection.sendall(head(running, lines, length=None) + rest)
        found = everything(connection)
    assert found.count(b'HTTP/1.1 200 ') == calls
    assert found.count(b'HTTP/1.1 ') == calls + 1
    assert found[found.rindex(b'HTTP/1.1 ') :].split()[1] == (b'431' if what == 'trailer' else b'400')
    assert [request.outcome for request in running.wait_for_requests(calls)] == ['success'] * calls
    running.assert_settled()
    assert [line for line in logged if line['log_level'] in ('error', 'warning')] == []
    assert [record for record in caplog.records if record.levelname in ('ERROR', 'CRITICAL')] == []


def test_a_body_that_cannot_be_read_behind_a_stream_is_refused_in_its_turn(run: Run, scripted: ScriptedServer):
    scripted.script.headers = STREAM
    scripted.script.parts = [chunk('one'), b'data: [DONE]\n\n']
    scripted.script.waits_after = 0
    running = run(configured(scripted.address))
    streamed = BODY[:-1] + b', "stream": true}'
    with connect(running) as connection:
        connection.sendall(head(running, length=len(streamed)) + streamed)
        assert b'"one"' in connection.recv(65536)
        connection.sendall(head(running, *UNREADABLE['chunk'][:1], length=None) + b'zz\r\n')
        scripted.script.proceed.set()
        rest = everything(connection)
    assert rest.index(b'[DONE]') < rest.index(b'HTTP/1.1 400 ')
    assert [request.outcome for request in running.wait_for_requests(1)] == ['usage_missing']


@pytest.mark.parametrize('key', [True, False])
@pytest.mark.parametrize('rest', [b'zz\r\n', b'5\r\nhello\r\nzz\r\n', b'0\r\nx: ' + b'y' * 70_000 + b'\r\n\r\n'])
def test_a_body_that_cannot_be_read_is_refused_once_also_when_it_comes_with_its_head(
    running: Running, rest: bytes, key: bool
):
    with capture_logs() as logged, connect(running) as connection:
        connection.sendall(head(running, b'transfer-encoding: chunked\r\n', key=key, length=None) + rest)
        found = everything(connection)
        connection.close()
        with connect(running) as other:
            other.sendall(head(running) + BODY)
            assert answers(other, 1) == [200]
    assert found.count(b'HTTP/1.1 ') == 1
    assert found.split()[1] in (b'400', b'431')
    assert [line for line in logged if line['log_level'] in ('error', 'warning')] == []
    assert len(running.requests()) == 1


@pytest.mark.parametrize('is_cut', [False, True])
def test_who_wishes_for_another_protocol_is_served_in_this_one(running: Running, is_cut: bool):
    with connect(running) as connection:
        connection.sendall(head(running, H2C) + (b'' if is_cut else BODY))
        if is_cut:
            time.sleep(0.2)  # or both come in one packet
            connection.sendall(BODY)
        connection.sendall(head(running) + BODY)
        assert answers(connection, 2) == [200, 200]
    assert len(running.requests()) == 2


def test_a_body_that_is_a_request_is_a_body(running: Running):
    inner = head(running) + BODY
    with connect(running) as connection:
        connection.sendall(head(running, H2C, length=len(inner)))
        connection.sendall(inner)
        connection.sendall(head(running, H2C, b'transfer-encoding: chunked\r\n', length=None))
        connection.sendall(b'%x\r\n%b\r\n0\r\n\r\n' % (len(BODY), BODY))
        assert answers(connection, 2) == [400, 200]
    assert len(running.requests()) == 1


def test_a_key_that_comes_behind_the_body_is_none(running: Running):
    chunked = b'%x\r\n%b\r\n0\r\n' % (len(BODY), BODY)
    with connect(running) as connection:
        connection.sendall(head(running, b'transfer-encoding: chunked\r\n', key=False, length=None))
        connection.sendall(chunked + f'x-api-key: {running.key}\r\n\r\n'.encode())
        connection.sendall(head(running, b'transfer-encoding: chunked\r\n', length=None))
        connection.sendall(chunked + b'authorization: Bearer other\r\n\r\n')
        assert answers(connection, 2) == [401, 200]


@pytest.mark.parametrize('begun', [b'', b'GET /v1', b'POST /v1/x HTTP/1.1\r\nhost: x\r\n'])
def test_who_begins_and_does_not_go_on_is_hung_up_on(run: Run, monkeypatch: pytest.MonkeyPatch, begun: bytes):
    monkeypatch.setattr(http, 'REST_SECONDS', 0.5)
    running = run(configured('builtin:echo'))
    with connect(running) as connection:
        connection.sendall(begun)
        assert everything(connection) == b''
    with connect(running) as connection:
        connection.sendall(head(running) + BODY + begun)
        assert answers(connection, 1) == [200]
        assert everything(connection) == b''


def test_text_behind_the_end_is_not_passed_on_before_it_nor_charged(run: Run, scripted: ScriptedServer):
    scripted.script.headers = STREAM
    scripted.script.parts = [chunk('one'), b'data: [DONE]\n\n', chunk('and a great deal more ' * 50)]
    scripted.script.waits_after = 1
    running = run(configured(scripted.address))
    threading.Timer(LATE_USAGE_SECONDS / 4, scripted.script.proceed.set).start()
    answer = ask(running, stream=True)
    assert answer.text.index('[DONE]') < (answer.text.find('a great deal') if 'a great deal' in answer.text else 10**9)
    (request,) = running.requests()
    assert (request.outcome, request.output_tokens) == ('usage_missing', 1)
    running.assert_settled()
