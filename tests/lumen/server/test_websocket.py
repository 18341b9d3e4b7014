"""How much may come over a WebSocket, whatever its app does with it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import uvloop
from uvicorn.server import ServerState

from lumen.server import http, websocket
from lumen.server.http import Http
from lumen.server.listening import configured
from lumen.server.websocket import BURST, COUNTS_A_SECOND, Room, TooMuch, WebSocket

SECONDS = 5.0
"""Half of what uvicorn waits for the answer to a farewell."""

SHAKE = (
    b'GET / HTTP/1.1\r\nhost: lumen\r\nupgrade: websocket\r\nconnection: upgrade\r\n'
    b'sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\r\n'
)
MASK = b'\x80\0\0\0\0'
PART, PONG = b'\0' + MASK, b'\x8a' + MASK
Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def served(app: Any, talk: Talk, answer: bytes = b' 101 ') -> None:
    """Let `talk` speak to `app` over a WebSocket, frame by frame."""

    async def run() -> None:
        config = configured(app, lifespan=False, grace_seconds=5)
        config.load()
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: Http(config, ServerState(), {}), '127.0.0.1', 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(SHAKE)
        assert answer in await reader.readuntil(b'\r\n\r\n')
        try:
            async with asyncio.timeout(SECONDS):
                await talk(reader, writer)
        finally:
            writer.transport.abort()
            server.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())


async def go_on(writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(PONG * 1000)
        await writer.drain()
        await asyncio.sleep(0)


def test_whoever_goes_on_after_a_farewell_is_hung_up_on():
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({'type': 'websocket.accept'})
        await send({'type': 'websocket.close'})

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await reader.readexactly(4) == b'\x88\x02\x03\xe8'
        with pytest.raises(ConnectionError):
            await go_on(writer)

    served(app, talk)


def test_a_socket_outlives_the_time_in_which_a_request_must_come(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(http, 'REST_SECONDS', 0.2)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({'type': 'websocket.accept'})
        await receive()
        await asyncio.sleep(0.5)
        await send({'type': 'websocket.send', 'text': 'x'})

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await reader.readexactly(3) == b'\x81\x01x'

    served(app, talk)


def test_a_handshake_that_is_refused_in_words_is_no_error(caplog: pytest.LogCaptureFixture):
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({'type': 'websocket.http.response.start', 'status': 404, 'headers': [(b'content-length', b'2')]})
        await send({'type': 'websocket.http.response.body', 'body': b'no'})

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await reader.read() == b'no'

    served(app, talk, b' 404 ')
    assert caplog.records == []


def test_parts_of_nothing_are_not_gathered(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(websocket, 'BURST', 100_000.0)
    gathered: list[int] = []
    handle = WebSocket.handle_cont

    def watched(self: WebSocket, event: Any) -> None:
        handle(self, event)
        gathered.append(len(self.frames))

    monkeypatch.setattr(WebSocket, 'handle_cont', watched)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({'type': 'websocket.accept'})
        await receive()
        message = await receive()
        await send({'type': 'websocket.send', 'text': message['text']})

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'\x01' + MASK + PART * 10_000 + b'\x80\x81\0\0\0\0x')
        assert await reader.readexactly(3) == b'\x81\x01x'

    served(app, talk)
    assert len(gathered) > 10_000
    assert max(gathered) <= 2


def test_there_is_room_for_a_burst_and_then_for_so_much_a_second():
    moment = 0.0
    room = Room(lambda: moment)
    for _ in range(int(BURST)):
        room.take(1)
    with pytest.raises(TooMuch):
        room.take(1)
    moment = 2.0
    room.take(int(COUNTS_A_SECOND))
    moment = 1000.0
    with pytest.raises(TooMuch):
        room.take(int(BURST) + 1)


def test_a_key_that_repeats_for_minutes_finds_room():
    moment = 0.0
    room = Room(lambda: moment)
    for number in range(10_000):
        moment = number / 45
        room.take(2)  # one read, one frame
