"""How answers are written to callers."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import uvloop

from lumen.server.cycle import Corked


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
