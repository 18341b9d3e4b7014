"""How much may be said over one socket: far above what hands can do, far below what keeps the server busy."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any
from weakref import WeakKeyDictionary

import structlog
from nicegui import core

log = structlog.get_logger()

MESSAGES_A_SECOND = 50.0
BURST = 200.0
MOST_BYTES = 64 * 1024
"""Of one message: pages send some hundreds. What is larger closes the socket before it is parsed."""

BYTES_OF_ONE = 4096
"""A message of more counts as several."""

CLOSED_AFTER = 1000
"""So many dropped messages without a quiet moment between them are no hand that rests on a key."""


def install() -> None:
    """Once, after what else looks at messages: what is dropped here is not even read."""
    handlers, rates = core.sio.eio.handlers, SocketRates()
    core.sio.eio.max_http_buffer_size = MOST_BYTES
    handlers['message'] = _within(rates, handlers['message'])


@dataclass(slots=True)
class _Said:
    """What a socket may still say, as of `at`, and how many messages were dropped since it last might say all."""

    at: float
    room: float = BURST
    dropped: int = 0


class SocketRates:
    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._sockets: WeakKeyDictionary[Any, _Said] = WeakKeyDictionary()

    def may_say(self, socket: Any, size: int = 0) -> bool:
        """Count one more message, of so many bytes or characters."""
        moment = self._clock()
        said = self._sockets.setdefault(socket, _Said(moment))
        said.room = min(BURST, said.room + (moment - said.at) * MESSAGES_A_SECOND)
        said.at = moment
        if said.room == BURST:
            said.dropped = 0
        cost = 1 + size // BYTES_OF_ONE
        if said.room >= cost:
            said.room -= cost
            return True
        said.dropped += 1
        return False

    def is_too_much(self, socket: Any) -> bool:
        """Whether it goes on although its messages are dropped."""
        return self._sockets[socket].dropped >= CLOSED_AFTER


def _within(rates: SocketRates, handle: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    @wraps(handle)
    async def run(socket_id: str, message: Any) -> Any:
        socket = core.sio.eio.sockets.get(socket_id)
        if socket is None or socket.closed:
            return None
        if rates.may_say(socket, len(message) if isinstance(message, str | bytes) else 0):
            return await handle(socket_id, message)
        if rates.is_too_much(socket):
            log.warning('a socket that said too much was closed', dropped=CLOSED_AFTER)
            await socket.close(wait=False)
            socket.queue.put_nowait(None)  # a browser would hang up by itself now; others are hung up on
        return None

    return run
