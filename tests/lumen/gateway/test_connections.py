"""Connections whose other end is gone without a word, and names that lead elsewhere than they did."""

from __future__ import annotations

import asyncio
import ctypes
import json
import socket
import struct
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress

import pytest

from lumen.config.endpoint import Patience
from lumen.config.settings import Settings
from lumen.gateway import http1
from lumen.gateway.http1 import Client
from lumen.gateway.http1_response import Broken, Response, Unreachable
from tests.lumen.gateway.conftest import Running, ScriptedServer, configured
from tests.lumen.gateway.test_failures import call, chunk
from tests.lumen.gateway.test_outcomes import ended
from tests.lumen.gateway.test_trying_again import COST, WHOLE, good

Run = Callable[[Settings], Running]
Deed = Callable[[socket.socket], None]
SO_ATTACH_FILTER = 26
HEAD = b'HTTP/1.1 200 OK\r\ncontent-type: %b\r\ncontent-length: %d\r\n\r\n'
TOO_LONG_SECONDS = 30.0
"""What is told from a timeout of Lumen's own by being sooner."""

only_once = pytest.mark.parametrize('database_url', ['sqlite'], indirect=True)


def fall_silent(connection: socket.socket) -> None:
    """From now on its machine drops whatever comes, as if it were gone: a filter that lets nothing through, bpf(2)."""
    code = ctypes.create_string_buffer(struct.pack('HBBI', 6, 0, 0, 0))  # BPF_RET, 0 bytes
    connection.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack('HP', 1, ctypes.addressof(code)))


def read_request(connection: socket.socket) -> None:
    found = b''
    while b'\r\n\r\n' not in found:
        found += connection.recv(65536)
    head, _, content = found.partition(b'\r\n\r\n')
    length = int(head.lower().partition(b'content-length: ')[2].split(b'\r\n')[0])
    while len(content) < length:
        content += connection.recv(65536)


def answer_whole(connection: socket.socket) -> None:
    read_request(connection)
    connection.sendall(HEAD % (b'application/json', len(WHOLE)) + WHOLE)


class Server:
    """Does with each connection what the next of its deeds says, and keeps it open."""

    def __init__(self, *deeds: Deed):
        self._listening = socket.create_server(('127.0.0.1', 0))
        self.address = f'http://127.0.0.1:{self._listening.getsockname()[1]}/v1'
        self.connections: list[socket.socket] = []
        self._thread = threading.Thread(target=self._serve, args=(deeds,))
        self._thread.start()

    def _serve(self, deeds: tuple[Deed, ...]) -> None:
        for deed in deeds:
            with suppress(OSError):
                self.connections.append(self._listening.accept()[0])
                deed(self.connections[-1])

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        for connection in [self._listening, *self.connections]:
            connection.close()


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    servers: list[Server] = []

    def start(*deeds: Deed) -> Server:
        servers.append(Server(*deeds))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is silent for two seconds is gone."""
    monkeypatch.setattr(http1, 'DEAD_SECONDS', 2)
    options = zip(http1.KEEPALIVE, (1, 1, 1, 1), strict=True)
    monkeypatch.setattr(http1, 'KEEPALIVE', tuple((level, option, value) for (level, option, _), value in options))


def patient(address: str, *others: str) -> Settings:
    """Nothing of what Lumen waits for itself is over in time."""
    endpoints = [{'url': address, 'weight': '1000000'}, *({'url': other} for other in others)]
    return configured(address, endpoints=[one | {'idle_timeout_seconds': '60'} for one in endpoints])


@only_once
@pytest.mark.usefixtures('impatient')
def test_a_kept_connection_that_is_dead_costs_time_but_no_call(run: Run, serve: Callable[..., Server]):
    def answer_once(connection: socket.socket) -> None:
        answer_whole(connection)
        fall_silent(connection)

    server = serve(answer_once, answer_whole)
    running = run(patient(server.address))
    began = time.monotonic()
    assert [call(running).status_code for _ in range(2)] == [200, 200]
    assert time.monotonic() - began < TOO_LONG_SECONDS
    assert len(server.connections) == 2
    assert [(request.outcome, request.cost) for request in running.wait_for_requests(2)] == [('success', COST)] * 2
    running.assert_settled()


@only_once
@pytest.mark.usefixtures('impatient')
@pytest.mark.parametrize('stream', [False, True])
def test_a_machine_that_is_gone_before_its_first_byte_is_stood_in_for(
    run: Run, serve: Callable[..., Server], other: ScriptedServer, stream: bool
):
    def vanish(connection: socket.socket) -> None:
        read_request(connection)
        fall_silent(connection)

    server = serve(vanish)
    other.script = good(stream)
    running = run(patient(server.address, other.address))
    began = time.monotonic()
    assert call(running, stream=stream).status_code == 200
    assert time.monotonic() - began < TOO_LONG_SECONDS
    assert len(server.connections) == 1
    request = ended(running)
    assert (request.outcome, request.endpoint, request.cost) == ('success', other.address, COST)


@only_once
@pytest.mark.usefixtures('impatient')
def test_a_stream_from_a_machine_that_is_gone_ends_with_an_error_and_is_charged(
    run: Run, serve: Callable[..., Server], other: ScriptedServer
):
    begun = chunk('one two three', usage={'prompt_tokens': 7, 'completion_tokens': 3})

    def begin_and_vanish(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(HEAD % (b'text/event-stream', 10_000) + begun)
        fall_silent(connection)

    server = serve(begin_and_vanish)
    running = run(patient(server.address, other.address))
    began = time.monotonic()
    response = call(running, stream=True, stream_options={'include_usage': True})
    assert time.monotonic() - began < TOO_LONG_SECONDS
    assert response.content.startswith(begun)
    error = json.loads(response.content.removeprefix(begun).removeprefix(b'data: '))
    assert error['error']['code'] == 'upstream_error'
    assert other.script.received == []
    request = ended(running)
    assert (request.outcome, request.output_tokens, request.cost) == ('upstream_error_midstream', 3, COST)


def test_what_is_waited_for_a_machine():
    idle, interval, count = (value for _, option, value in http1.KEEPALIVE if option != socket.SO_KEEPALIVE)
    assert idle + interval * count == http1.DEAD_SECONDS


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    client = Client()
    yield client
    await client.close()


async def ask(client: Client, url: str, content: bytes = b'{}') -> Response:
    return await client.ask(
        http1.request(url, {}),
        content,
        connect_seconds=5,
        patience=Patience(60, 60),
        on_sent=lambda was_sent: None,
    )


async def text_of(response: Response) -> bytes:
    found = b''
    while (piece := await response.read()) is not None:
        found += piece
    response.close()
    return found


@pytest.mark.usefixtures('impatient')
async def test_a_server_that_takes_nothing_of_a_request_counts_as_gone(client: Client, serve: Callable[..., Server]):
    server = serve(lambda connection: None)
    async with asyncio.timeout(TOO_LONG_SECONDS):
        with pytest.raises(Broken):
            await ask(client, server.address, b'x' * 50_000_000)


class Names:
    """What the name of the model servers leads to, instead of what the system would say."""

    def __init__(self) -> None:
        self.address = ''
        self.asked = 0

    def getaddrinfo(self, host: str, port: int, *_: int, **__: int) -> list[tuple[int, int, int, str, tuple[str, int]]]:
        assert host == 'models.test'
        self.asked += 1
        if not self.address:
            raise socket.gaierror(socket.EAI_NONAME, 'Name or service not known')
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, '', (self.address, port))]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    names = Names()
    monkeypatch.setattr(socket, 'getaddrinfo', names.getaddrinfo)
    return names


Two = tuple[str, asyncio.Event]


@pytest.fixture
async def two_machines() -> AsyncIterator[Two]:
    """127.0.0.1 and 127.0.0.2, which answer with their number: half of it at once, the rest when told."""
    proceed = asyncio.Event()
    serving: list[asyncio.Task[None]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        serving.append(task)
        answer = writer.get_extra_info('sockname')[0][-1].encode()
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                while True:
                    await reader.readuntil(b'\r\n\r\n{}')
                    writer.write(b'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n' + answer)
                    await proceed.wait()
                    writer.write(answer)
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    first = await asyncio.start_server(serve, '127.0.0.1', 0)
    port = first.sockets[0].getsockname()[1]
    second = await asyncio.start_server(serve, '127.0.0.2', port)
    yield f'http://models.test:{port}/v1', proceed
    first.close()
    second.close()
    for task in serving:
        task.cancel()
    await asyncio.gather(*serving, return_exceptions=True)


async def test_a_name_that_leads_elsewhere_is_followed_once_connections_are_old(
    client: Client, names: Names, two_machines: Two, monkeypatch: pytest.MonkeyPatch
):
    url, proceed = two_machines
    proceed.set()
    names.address = '127.0.0.1'
    assert await text_of(await ask(client, url)) == b'11'
    names.address = '127.0.0.2'
    assert await text_of(await ask(client, url)) == b'11'  # over the connection that was kept
    assert names.asked == 1
    monkeypatch.setattr(http1, 'OLDEST_SECONDS', 0.0)
    assert await text_of(await ask(client, url)) == b'22'
    assert names.asked == 2


async def test_a_connection_that_is_always_in_use_grows_old_all_the_same(
    client: Client, names: Names, two_machines: Two, monkeypatch: pytest.MonkeyPatch
):
    url, proceed = two_machines
    proceed.set()
    names.address = '127.0.0.1'
    monkeypatch.setattr(http1, 'OLDEST_SECONDS', 0.2)
    began = time.monotonic()
    while names.asked < 2:
        assert await text_of(await ask(client, url)) == b'11'
    assert 0.2 <= time.monotonic() - began < 10
    assert not [one for one in client._all if one.loop.time() - one.made_at > 5]


async def test_a_call_in_flight_ends_where_it_began(
    client: Client, names: Names, two_machines: Two, monkeypatch: pytest.MonkeyPatch
):
    url, proceed = two_machines
    names.address = '127.0.0.1'
    begun = await ask(client, url)
    names.address = '127.0.0.2'
    monkeypatch.setattr(http1, 'OLDEST_SECONDS', 0.0)
    other = await ask(client, url)
    proceed.set()
    assert (await text_of(begun), await text_of(other)) == (b'11', b'22')
    assert not any(connection.is_open for connection in client._all)  # none is kept that is too old


async def test_a_name_that_leads_nowhere_any_more_cannot_be_reached(client: Client, names: Names, two_machines: Two):
    with pytest.raises(Unreachable):
        await ask(client, two_machines[0])
