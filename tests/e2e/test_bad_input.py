"""What a served process does with input that is too large, too deep, too slow or no HTTP at all."""

from __future__ import annotations

import json
import os
import socket
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.serving import Server, wait_until
from tests.e2e.test_serving import hold_count

LIMIT = 32_000_000
SOON = 0.1
CHAT = '/v1/chat/completions'
GOOD = b'{"model": "echo", "messages": [{"role": "user", "content": "hello"}]}'


@dataclass
class Caller:
    """Speaks to the server in bytes."""

    server: Server
    key: str

    def connect(self) -> socket.socket:
        host, _, port = self.server.address.removeprefix('http://').partition(':')
        return socket.create_connection((host, int(port)), timeout=20)

    def head(self, *headers: str, path: str = CHAT) -> bytes:
        lines = [f'POST {path} HTTP/1.1', 'host: lumen', f'authorization: Bearer {self.key}', *headers]
        return '\r\n'.join([*lines, '', '']).encode()

    def post(self, body: bytes, *headers: str, path: str = CHAT) -> bytes:
        return self.head(*headers, f'content-length: {len(body)}', path=path) + body

    def call(self, *parts: bytes) -> tuple[int, dict[str, str], float]:
        """Status, error and the seconds from the last byte sent to the whole answer."""
        with self.connect() as connection:
            for part in parts:
                connection.sendall(part)
            sent_at = time.perf_counter()
            status, body = read_answer(connection)
            seconds = time.perf_counter() - sent_at
        return status, json.loads(body).get('error', {}), seconds

    def is_served(self) -> bool:
        return self.call(self.post(GOOD))[0] == 200

    def processor_seconds(self) -> float:
        """How long the process has run on a processor, of its own and for its sake."""
        assert self.server.process is not None
        fields = Path(f'/proc/{self.server.process.pid}/stat').read_text().rpartition(') ')[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')

    def memory_mb(self) -> int:
        """What the process holds now."""
        assert self.server.process is not None
        status = Path(f'/proc/{self.server.process.pid}/status').read_text()
        return next(int(line.split()[1]) // 1024 for line in status.splitlines() if line.startswith('VmRSS'))


def read_answer(connection: socket.socket) -> tuple[int, bytes]:
    with connection.makefile('rb') as answer:
        status = int(answer.readline().split()[1])
        length = 0
        while (line := answer.readline()) not in (b'\r\n', b''):
            name, _, value = line.partition(b':')
            if name.lower() == b'content-length':
                length = int(value)
        return status, answer.read(length)


# One process takes all of it: what one test does to it, the next would feel.
@pytest.fixture(scope='module')
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Caller]:
    """A caller of a served installation that ends as it should, with books that add up and no traceback in its log."""
    server = Server(tmp_path_factory.mktemp('served'))
    server.start()
    yield Caller(server, server.new_key('bot'))
    assert server.json('check')['clean']
    assert server.stop() == 0
    assert 'Traceback' not in server.log.read_text()


@pytest.fixture
def caller(served: Caller) -> Iterator[Caller]:
    """The caller, who is served before and after, by a process that did not grow."""
    assert served.is_served()
    before = served.memory_mb()
    yield served
    assert served.is_served()
    assert served.memory_mb() < before + 150


def nested(depth: int) -> bytes:
    return GOOD[:-1] + b', "tools": [{"parameters": ' + b'{"a":' * depth + b'1' + b'}' * depth + b'}]}'


def unfinished(body: bytes) -> bytes:
    return b'%x\r\n' % len(body) + body


BAD: dict[str, tuple[Callable[[Caller], tuple[bytes, ...]], int, str]] = {
    'a length one byte over the limit': (
        lambda caller: (caller.head(f'content-length: {LIMIT + 1}'),),
        413,
        'request_too_large',
    ),
    'a body one byte over the limit': (
        lambda caller: (caller.post(GOOD + b' ' * (LIMIT + 1 - len(GOOD))),),
        413,
        'request_too_large',
    ),
    'pieces one byte over the limit': (
        lambda caller: (caller.head('transfer-encoding: chunked'), unfinished(b' ' * (LIMIT + 1))),
        413,
        'request_too_large',
    ),
    'a body without end': (lambda caller: (caller.head('content-length: 1000000000000'),), 413, 'request_too_large'),
    'invalid JSON': (lambda caller: (caller.post(GOOD[:-1]),), 400, 'invalid_request'),
    'a wrong type': (lambda caller: (caller.post(b'{"model": "echo", "messages": 7}'),), 400, 'invalid_request'),
    'nesting of 1,000': (lambda caller: (caller.post(nested(1000)),), 400, 'invalid_request'),
    'nesting of 100,000': (lambda caller: (caller.post(nested(100_000)),), 400, 'invalid_request'),
    'lists of 100,000': (lambda caller: (caller.post(b'[' * 100_000),), 400, 'invalid_request'),
    'invalid UTF-8': (lambda caller: (caller.post(GOOD.replace(b'hello', b'\xff\xfe')),), 400, 'invalid_request'),
    'not a number': (lambda caller: (caller.post(GOOD[:-1] + b', "seed": NaN}'),), 400, 'invalid_request'),
    'infinity': (lambda caller: (caller.post(GOOD[:-1] + b', "top_p": -Infinity}'),), 400, 'invalid_request'),
    'a header of 100 KB': (lambda caller: (caller.post(GOOD, f'x-long: {"a" * 100_000}'),), 431, 'headers_too_large'),
    'a header of 100 KB that goes on': (
        lambda caller: (caller.head()[:-2] + b'x-long: ' + b'a' * 100_000, b'a' * 300_000),
        431,
        'headers_too_large',
    ),
    'many headers': (
        lambda caller: (caller.post(GOOD, *(f'x-{number}: {"a" * 50}' for number in range(2000))),),
        431,
        'headers_too_large',
    ),
    'a header of 20 MB': (lambda caller: (caller.post(GOOD, f'x: {"a" * 20_000_000}'),), 431, 'headers_too_large'),
    'an address of 100 KB': (
        lambda caller: (caller.post(GOOD, path=f'{CHAT}?{"a" * 100_000}'),),
        431,
        'headers_too_large',
    ),
    'a trailer of 100 KB': (
        lambda caller: (
            caller.head('transfer-encoding: chunked') + unfinished(GOOD) + b'\r\n0\r\nx: ',
            b'a' * 100_000 + b'\r\n\r\n',
        ),
        431,
        'headers_too_large',
    ),
    'no HTTP': (lambda caller: (b'HELLO there\r\n\r\n',), 400, 'invalid_request'),
    'two lengths': (
        lambda caller: (caller.post(GOOD, 'content-length: 5'),),
        400,
        'invalid_request',
    ),
}


@pytest.mark.parametrize('name', BAD)
def test_bad_input_is_refused_soon_in_the_right_shape_and_does_no_harm(caller: Caller, name: str):
    make, status, code = BAD[name]
    parts = make(caller)
    took = []
    for _ in range(5):
        found, error, seconds = caller.call(*parts)
        assert (found, error['code']) == (status, code)
        assert set(error) == {'message', 'type', 'param', 'code'}
        took.append(seconds)
    assert statistics.median(took) < SOON


@pytest.mark.parametrize('item', [b'{}', b'{"":1}', b'9' * 4300])
@pytest.mark.parametrize('path', [CHAT, '/v1/embeddings'])
def test_a_body_of_very_many_or_very_long_values_costs_no_time(caller: Caller, item: bytes, path: str):
    start, end = GOOD[:-1] + b', "input": [', b']}'
    values = b','.join([item] * ((LIMIT - len(start) - len(end)) // (len(item) + 1)))
    before = caller.processor_seconds()
    status, error, _ = caller.call(caller.post(start + values + end, path=path))
    assert (status, error['code']) == (400, 'invalid_request')
    assert caller.processor_seconds() - before < 1


def test_a_body_of_exactly_the_limit_is_taken(caller: Caller):
    assert caller.call(caller.post(GOOD + b' ' * (LIMIT - len(GOOD))))[0] == 200


def test_the_largest_head_that_is_taken_and_the_next(caller: Caller):
    for size, status in ((60_000, 200), (66_000, 431)):
        assert caller.call(caller.post(GOOD, f'x-long: {"a" * size}'))[0] == status


def test_a_refused_body_may_still_be_sent_and_the_connection_serves_on(caller: Caller):
    body = b' ' * (LIMIT + 1)
    with caller.connect() as connection:
        connection.sendall(caller.post(body))
        assert read_answer(connection)[0] == 413
        connection.sendall(caller.post(GOOD))
        assert read_answer(connection)[0] == 200


def test_who_sends_a_refused_body_without_end_is_hung_up_on(caller: Caller):
    piece = b'%x\r\n' % 1_000_000 + b' ' * 1_000_000 + b'\r\n'
    sent_mb = 0
    with caller.connect() as connection:
        connection.sendall(caller.head('transfer-encoding: chunked'))
        with suppress(ConnectionError):
            while sent_mb < 1000:
                connection.sendall(piece)
                sent_mb += 1
    assert LIMIT / 1_000_000 < sent_mb < 400


def test_a_bad_second_request_does_not_answer_the_first(caller: Caller):
    slow = GOOD[:-1] + b', "echo": {"delay_seconds": 0.5}}'
    with caller.connect() as connection:
        connection.sendall(caller.post(slow))
        connection.sendall(b'HELLO there\r\n\r\n')
        assert read_answer(connection)[0] == 200
        assert connection.recv(1000) == b''


def test_callers_who_send_slowly_hold_nothing_and_hold_up_nobody(caller: Caller):
    half_sent = [caller.head('content-length: 500') + b'{"model"', caller.head()[:-4], b'PO']
    connections = [caller.connect() for _ in range(60)]
    for number, connection in enumerate(connections):
        connection.sendall(half_sent[number % 3])
    assert hold_count(caller.server.database_url) == 0
    took = [caller.call(caller.post(GOOD))[2] for _ in range(5)]
    assert statistics.median(took) < SOON
    for connection in connections:
        connection.close()
    wait_until(caller.is_served)


def test_a_body_that_is_still_coming_does_not_hold_up_the_end(server: Server):
    caller = Caller(server, server.new_key('bot'))
    with caller.connect() as connection:
        connection.sendall(caller.head('content-length: 500') + b'{"model"')
        assert caller.is_served()
        told_at = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - told_at < 15
