"""How much of what is said over one socket is heard: far above what hands can do, far below what keeps the server busy.

Whoever goes on all the same is hung up on by the server (`lumen/server/websocket.py`), which counts more than messages.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any
from weakref import WeakKeyDictionary

from nicegui import core

MESSAGES_A_SECOND = 50.0
BURST = 200.0
BYTES_OF_ONE = 4096
"""A message of more counts as several."""


def install() -> None:
    """Once, after what else looks at messages: what is dropped here is not even read."""
    handlers, rates = core.sio.eio.handlers, SocketRates()
    handlers['message'] = _within(rates, handlers['message'])


@dataclass(slots=True)
class _Said:
    """What a socket may still say, as of `at`."""

    at: float
    room: float = BURST


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
        cost = 1 + size // BYTES_OF_ONE
        if said.room < cost:
            return False
        said.room -= cost
        return True


def _within(rates: SocketRates, handle: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    @wraps(handle)
    async def run(socket_id: str, message: Any) -> Any:
        socket = core.sio.eio.sockets.get(socket_id)
        if socket is None or socket.closed:
            return None
        if rates.may_say(socket, len(message) if isinstance(message, str | bytes) else 0):
            return await handle(socket_id, message)
        return None

    return run
