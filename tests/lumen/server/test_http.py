"""How answers are written to callers, and how many requests of one caller wait for them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import uvloop
from uvicorn.server import ServerState

from lumen.server.cycle import Corked, Cycle
from lumen.server.http import DIRECT, MOST_WAITING, Http
from lumen.server.listening import configured


class Caller(asyncio.Protocol):
    def __init__(self) -> None:
        self.transport: Any = None
        self.made, self.lost = asyncio.Event(), asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.made.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set()


@pytest.mark.parametrize('leaves', [False, True])
def test_the_head_of_an_answer_reaches_whoever_is_still_there(leaves: bool):
    faults: list[dict[str, Any]] = []
    got: list[bytes] = []

    async def answer() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: faults.append(context))
        protocol = Caller()
        server = await loop.create_server(lambda: protocol, '127.0.0.1', 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        await protocol.made.wait()
        if leaves:
            protocol.transport.abort()
            await protocol.lost.wait()
        Corked(protocol.transport, loop).write(b'HTTP/1.1 200 OK\r\n\r\n')
        await asyncio.sleep(0)  # the head waits one turn for what may go with it
        await asyncio.sleep(0)
        if not leaves:
            got.append(await reader.readline())
        writer.close()
        protocol.transport.abort()
        server.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(answer())
    assert faults == []
    assert got == ([] if leaves else [b'HTTP/1.1 200 OK\r\n'])


class Gate:
    """An app that answers as many requests as it is told to."""

    def __init__(self) -> None:
        self.open = asyncio.Semaphore(0)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.open.acquire()
        await receive()
        scope['extensions'][DIRECT].answer(200, {'content-length': str(len(CONTENT))}, CONTENT)

    def let(self, number: int) -> None:
        for _ in range(number):
            self.open.release()


CONTENT = b'x' * 1000
ASKS = b'GET / HTTP/1.1\r\nhost: lumen\r\n\r\n'


def served(talk: Callable[[Gate, list[Http], asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]) -> None:
    """Let `talk` speak to a server over one connection, which it can look into."""

    async def run() -> None:
        gate, connections = Gate(), list[Http]()
        config = configured(gate, lifespan=False, grace_seconds=5)
        config.load()

        def connection() -> Http:
            connections.append(Http(config, ServerState(), {}))
            return connections[-1]

        server = await asyncio.get_running_loop().create_server(connection, '127.0.0.1', 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        try:
            async with asyncio.timeout(20):
                await talk(gate, connections, reader, writer)
        finally:
            gate.let(10_000)  # so that nothing is left that would have to be cancelled
            writer.transport.abort()
            connections[0].transport.abort()
            server.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())


async def answered(reader: asyncio.StreamReader, number: int) -> None:
    for _ in range(number):
        head = await reader.readuntil(b'\r\n\r\n')
        assert head.startswith(b'HTTP/1.1 200 ')
        await reader.readexactly(len(CONTENT))


def test_a_head_alone_is_written_before_the_refusal_of_what_comes_behind_it():
    async def talk(
        gate: Gate, connections: list[Http], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        (connection,) = connections
        scope = {'type': 'http', 'method': 'HEAD', 'http_version': '1.1'}
        connection.scope, connection.expect_100_continue = scope, False  # type: ignore[assignment]  # all that is asked of it
        cycle = Cycle(connection, keep_alive=True)
        cycle.more_body = False
        connection.cycle = cycle
        await cycle.send({'type': 'http.response.start', 'status': 200, 'headers': [(b'content-length', b'0')]})
        await cycle.send({'type': 'http.response.body', 'body': b''})
        connection.send_400_response('')
        found = await reader.read()
        assert found.index(b'HTTP/1.1 200 ') < found.index(b'HTTP/1.1 400 ')

    served(talk)


def test_an_answer_given_early_is_not_lost_when_the_rest_of_its_request_cannot_be_read():
    async def talk(
        gate: Gate, connections: list[Http], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        writer.write(b'POST / HTTP/1.1\r\nhost: lumen\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n')
        gate.let(1)
        await answered(reader, 1)
        assert connections[0].cycle.more_body
        writer.write(b'no length\r\n' + b'x' * 3_000_000)
        await writer.drain()
        assert await reader.read() == b''  # an end in order: a connection that is reset takes with it what was not read

    served(talk)


def test_no_more_is_read_while_requests_wait():
    async def talk(
        gate: Gate, connections: list[Http], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        writer.write(ASKS * 80)
        gate.let(1)
        await answered(reader, 1)
        assert len(connections[0].pipeline) == 78
        writer.write(ASKS * 80)
        gate.let(1)
        await answered(reader, 1)
        await asyncio.sleep(0.2)  # if it read on, it would have by now
        assert len(connections[0].pipeline) == 77
        gate.let(200)
        await answered(reader, 158)

    served(talk)


def test_what_comes_behind_a_hundred_that_wait_is_not_answered():
    async def talk(
        gate: Gate, connections: list[Http], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        writer.write(ASKS * 1000)
        gate.let(1000)
        await answered(reader, 1 + MOST_WAITING)
        assert await reader.read() == b''

    served(talk)


def test_nobody_asks_on_who_takes_no_answers():
    async def talk(
        gate: Gate, connections: list[Http], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        sent = 0
        gate.let(1_000_000)
        while not (connections and connections[0].flow.write_paused):
            writer.write(ASKS)
            sent += 1
            await asyncio.sleep(0)
            assert sent < 100_000
        await asyncio.sleep(0.1)
        taken = connections[0].transport.get_write_buffer_size()
        for _ in range(1000):
            writer.write(ASKS)
            await asyncio.sleep(0)
        await asyncio.sleep(0.2)  # if it read on, it would have by now
        assert connections[0].transport.get_write_buffer_size() < taken + MOST_WAITING * 2 * len(CONTENT)

    served(talk)
