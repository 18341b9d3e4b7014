"""A WebSocket as uvicorn speaks it, with what it leaves open: how much may come over one, of whatever kind.

Frames are counted where they are read, below messages: PING and PONG and the parts of a message are work too. One that
goes on is hung up on without a word, for whoever does not listen would go on through every farewell.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import structlog
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.exceptions import ProtocolError
from websockets.frames import CloseCode, Frame
from websockets.server import ServerProtocol

from lumen.seldom import Seldom

log = structlog.get_logger()

MOST_BYTES = 64 * 1024
"""Of one message: pages send some hundreds. What is larger closes the socket before it is gathered."""

COUNTS_A_SECOND = 120.0
"""What is read at once counts as one, and each frame in it: sixty keys a second, typed by nobody."""

BURST = 600.0
BYTES_OF_ONE = 4096
"""A read of more counts as several."""


class TooMuch(ProtocolError):
    """Raised inside the parser, which ends it."""


class Room:
    """How much may still come over one socket."""

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        self._clock = clock
        self._left = BURST
        self._at = clock()

    def take(self, counts: int) -> None:
        """Raises TooMuch when there is none left."""
        moment = self._clock()
        self._left = min(BURST, self._left + (moment - self._at) * COUNTS_A_SECOND) - counts
        self._at = moment
        if self._left < 0:
            raise TooMuch


class _Frames(ServerProtocol):
    """The parser, which counts what it reads."""

    def __init__(self, room: Room, **options: Any):
        super().__init__(**options)
        self._room = room

    def recv_frame(self, frame: Frame) -> None:
        self._room.take(1)
        super().recv_frame(frame)


class WebSocket(WebSocketsSansIOProtocol):
    """One connection, once its handshake has come."""

    def __init__(self, *arguments: Any, **named: Any):
        super().__init__(*arguments, **named)
        self._room = Room()
        self.conn = _Frames(self._room, max_size=self.config.ws_max_size, logger=self.logger)

    def data_received(self, data: bytes) -> None:
        try:
            self._room.take(1 + len(data) // BYTES_OF_ONE)
        except TooMuch:
            self._hang_up()
        else:
            super().data_received(data)

    async def send(self, message: Any) -> None:
        await super().send(message)
        if message['type'] == 'websocket.http.response.body' and not message.get('more_body'):
            self.handshake_complete = True  # as far as it goes: it was refused in words

    def handle_parser_exception(self) -> None:
        if isinstance(self.conn.parser_exc, TooMuch):
            self._hang_up()
        elif self.conn.close_sent is None:
            self.transport.abort()  # it did not wait for the answer to its handshake
        else:
            super().handle_parser_exception()

    def handle_cont(self, event: Frame) -> None:
        if event.data or event.fin:  # parts of nothing would be gathered without end
            super().handle_cont(event)

    def send_receive_event_to_app(self) -> None:
        if self.close_sent or self.curr_msg_data_type == 'bytes' or _is_text(b''.join(self.frames)):
            super().send_receive_event_to_app()
        else:
            self.frames = []
            self.conn.fail(CloseCode.INVALID_DATA)
            self.handle_parser_exception()

    def _hang_up(self) -> None:
        if (untold := _seldom.turn()) is not None:
            log.warning('a socket that said too much was closed', closed_before=untold)
        self.transport.abort()


_seldom = Seldom()


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
