"""Waiting in an event loop for what threads do."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import TypeVar
from weakref import WeakKeyDictionary

T = TypeVar('T')


def awaitable(future: Future[T]) -> asyncio.Future[T]:
    """`asyncio.wrap_future`, but what many futures bring at once wakes the event loop once."""
    loop = asyncio.get_running_loop()
    waiter: asyncio.Future[T] = loop.create_future()

    def deliver() -> None:
        if waiter.done():
            return
        if future.cancelled():
            waiter.cancel()
        elif (error := future.exception()) is not None:
            waiter.set_exception(error)
        else:
            waiter.set_result(future.result())

    future.add_done_callback(lambda _: _wakers.wake(loop, deliver))
    waiter.add_done_callback(lambda waiter: waiter.cancelled() and future.cancel())
    return waiter


class _Wakers:
    """For each event loop what is to be called in it. A loop that was woken already takes along what came meanwhile."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: WeakKeyDictionary[asyncio.AbstractEventLoop, deque[Callable[[], None]]] = WeakKeyDictionary()

    def wake(self, loop: asyncio.AbstractEventLoop, call: Callable[[], None]) -> None:
        with self._lock:
            waiting = self._waiting.setdefault(loop, deque())
            is_awake = bool(waiting)
            waiting.append(call)
        if not is_awake:
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(_drain, waiting)


def _drain(waiting: deque[Callable[[], None]]) -> None:
    # The one at the front stays there while it runs, so that who adds behind it need not wake the loop.
    while waiting:
        waiting[0]()
        waiting.popleft()


_wakers = _Wakers()
