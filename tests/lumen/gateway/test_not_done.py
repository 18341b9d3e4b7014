"""What no model server did is not paid for, what it began is not asked for again, and nothing too often."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from lumen.config.settings import Settings
from lumen.gateway.settling import Settling
from tests.lumen.gateway.conftest import Running, ScriptedServer, configured, wait_until
from tests.lumen.gateway.test_failures import STREAM, call
from tests.lumen.gateway.test_outcomes import assert_nothing_charged, ended, impatient, leave_when
from tests.lumen.gateway.test_trying_again import WHOLE

Run = Callable[[Settings], Running]
HEAD = b'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n' % len(WHOLE)

pytestmark = pytest.mark.parametrize('database_url', ['sqlite'], indirect=True)


class Raw:
    """A model server that answers the first call of a connection, and closes it at the second."""

    def __init__(self, listener: socket.socket):
        self.listener = listener
        self.requests = 0
        self.address = f'http://127.0.0.1:{listener.getsockname()[1]}/v1'

    def serve(self) -> None:
        while True:
            try:
                connection = self.listener.accept()[0]
            except OSError:
                return
            threading.Thread(target=self._connection, args=(connection,)).start()

    def _connection(self, connection: socket.socket) -> None:
        with connection, connection.makefile('rb') as file:
            for number in range(2):
                length = 0
                while (line := file.readline()) not in (b'\r\n', b''):
                    name, _, value = line.partition(b':')
                    length = int(value) if name.lower() == b'content-length' else length
                if not line:
                    return
                file.read(length)
                self.requests += 1
                if number == 0:
                    connection.sendall(HEAD + WHOLE)

    def end(self) -> None:
        """Take no connection any more; those that are there stay."""
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Meanwhile whoever connects waits in vain."""
        place = self.listener.getsockname()
        self.end()
        with socket.socket() as full, socket.socket() as one, socket.socket() as another:
            full.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            full.bind(place)
            full.listen(0)
            for connection in (one, another):
                connection.setblocking(False)
                connection.connect_ex(place)
            yield


@pytest.fixture
def raw() -> Iterator[Raw]:
    with raw_server() as server:
        yield server


@contextmanager
def raw_server() -> Iterator[Raw]:
    with socket.create_server(('127.0.0.1', 0)) as listener:
        server = Raw(listener)
        thread = threading.Thread(target=server.serve)
        thread.start()
        yield server
        if listener.fileno() >= 0:
            server.end()
        thread.join()


@pytest.mark.parametrize('stream', [False, True])
def test_a_call_for_which_only_a_dead_connection_was_there_costs_nothing(run: Run, raw: Raw, stream: bool):
    running = run(impatient(raw.address))
    assert call(running).status_code == 200
    with raw.taken():
        assert call(running, stream=stream).status_code == 504
        request = running.wait_for_requests(2)[1]
        assert request.outcome == 'timeout'
        assert_nothing_charged(request)


def test_who_leaves_while_a_dead_connection_is_replaced_pays_nothing(run: Run, raw: Raw):
    running = run(configured(raw.address))
    assert call(running).status_code == 200
    with raw.taken():
        leave_when(running, lambda: raw.requests == 2)
        request = running.wait_for_requests(2)[1]
    assert request.outcome == 'disconnected'
    assert_nothing_charged(request)


def test_a_call_is_sent_no_more_often_than_there_are_tries_but_for_a_connection_that_was_closed(run: Run, raw: Raw):
    """The server of this test closes each connection at its second call: four are kept, and one is tried."""
    running = run(configured(raw.address))
    calls = [threading.Thread(target=call, args=(running,)) for _ in range(4)]
    for thread in calls:
        thread.start()
    for thread in calls:
        thread.join()
    before = raw.requests
    assert call(running).status_code == 200
    assert raw.requests - before == 2


@pytest.mark.parametrize('stream', [False, True])
@pytest.mark.parametrize('status', [400, 404, 413, 422])
@pytest.mark.parametrize('stalls', [False, True], ids=['breaks off', 'stalls'])
def test_a_refusal_that_is_not_said_to_its_end_is_a_refusal(
    run: Run, scripted: ScriptedServer, status: int, stream: bool, stalls: bool
):
    scripted.script.status = status
    scripted.script.parts = [b'{"error": {"message": "too mu']
    scripted.script.length = 1000
    scripted.script.waits_after = 0 if stalls else None
    running = run(impatient(scripted.address))
    answer = call(running, stream=stream)
    assert answer.status_code == status
    assert answer.json()['error']['code'] == 'upstream_refusal'
    assert len(scripted.script.received) == 1
    request = ended(running)
    assert (request.outcome, request.status) == ('upstream_error', status)
    assert_nothing_charged(request)


@pytest.mark.parametrize('stream', [False, True])
def test_who_leaves_during_a_refusal_pays_nothing(
    run: Run, scripted: ScriptedServer, stream: bool, monkeypatch: pytest.MonkeyPatch
):
    refuses, begun = Settling.refused, threading.Event()

    def refused(settling: Settling) -> None:
        refuses(settling)
        begun.set()

    monkeypatch.setattr(Settling, 'refused', refused)
    scripted.script.status = 400
    scripted.script.parts = [b'{"error": ']
    scripted.script.length = 1000
    scripted.script.waits_after = 0
    running = run(configured(scripted.address))
    leave_when(running, begun.is_set, stream=stream)
    assert_nothing_charged(ended(running))


@pytest.mark.parametrize(
    ('headers', 'parts', 'length'),
    [
        (STREAM, [b'data: {"choices": [{"delta": {"content": "' + b'x' * 2000], None),
        ({'content-type': 'application/json'}, [], len(WHOLE)),
        ({'content-type': 'application/json'}, [WHOLE[:10]], len(WHOLE)),
    ],
    ids=['half an event', 'the head of an answer', 'half an answer'],
)
def test_what_a_server_began_is_not_asked_for_again(
    run: Run, scripted: ScriptedServer, headers: dict[str, str], parts: list[bytes], length: int | None
):
    scripted.script.headers, scripted.script.parts, scripted.script.length = headers, parts, length
    running = run(configured(scripted.address))
    call(running, stream=headers is STREAM)
    assert len(scripted.script.received) == 1
    ended(running)


def waiting_for_coins(running: Running, scripted: ScriptedServer, meanwhile: Callable[[], None]) -> Any:
    """The answer to a call that waited for the coins of another, during which something happened."""
    scripted.script.waits_after = -1
    scripted.script.parts = [WHOLE]
    first = threading.Thread(target=call, args=(running,), kwargs={'max_tokens': 20})
    first.start()
    wait_until(lambda: len(scripted.script.received) == 1)
    found: list[Any] = []
    second = threading.Thread(target=lambda: found.append(call(running, max_tokens=20)))
    second.start()
    wait_until(lambda: not running.gateway._admission._ledger._lines.is_empty(running.client_id))
    meanwhile()
    scripted.script.proceed.set()
    first.join()
    second.join()
    return found[0]


SMALL = {'max': '1000', 'refresh': '0', 'starting': '0.1'}


def test_a_call_that_waited_starts_as_the_configuration_is_then(
    run: Run, scripted: ScriptedServer, other: ScriptedServer
):
    running = run(configured(scripted.address, pool=SMALL))
    other.script.parts = [WHOLE]

    def change() -> None:
        running.source.current = configured(other.address, pool=SMALL, input_cost_per_million='2000')

    assert waiting_for_coins(running, scripted, change).status_code == 200
    assert (len(scripted.script.received), len(other.script.received)) == (1, 1)
    first, second = running.requests()
    assert second.cost - first.cost == 7_000_000


def test_a_call_that_waited_for_a_model_that_is_not_there_any_more_is_told_so(run: Run, scripted: ScriptedServer):
    running = run(configured(scripted.address, pool=SMALL))

    def change() -> None:
        running.source.current = configured(scripted.address, pool=SMALL, disabled='true')

    answer = waiting_for_coins(running, scripted, change)
    assert (answer.status_code, answer.json()['error']['code']) == (404, 'model_not_found')
    assert len(running.requests()) == 1
    running.assert_settled()
