"""Waiting in an event loop for what threads do."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from typing import TypeVar
from weakref import WeakKeyDictionary

T = TypeVar('T')


def awaitable(future: Future[T]) -> asyncio.Future[T]:
    """`asyncio.wrap_future`, but what many futures bring at once wakes the event loop once.

    The two do not refer to each other in a circle, which would leave them to the garbage collector.
    """
    loop = asyncio.get_running_loop()
    waiter: asyncio.Future[T] = loop.create_future()
    future.add_done_callback(partial(_arrived, loop, waiter))
    waiter.add_done_callback(partial(_given_up, future))
    return waiter


def _arrived(loop: asyncio.AbstractEventLoop, waiter: asyncio.Future[T], future: Future[T]) -> None:
    _wakers.wake(loop, partial(_deliver, waiter, future))


def _deliver(waiter: asyncio.Future[T], future: Future[T]) -> None:
    if waiter.done():
        return
    if future.cancelled():
        waiter.cancel()
    elif (error := future.exception()) is not None:
        waiter.set_exception(error)
    else:
        waiter.set_result(future.result())


def _given_up(future: Future[T], waiter: asyncio.Future[T]) -> None:
    if waiter.cancelled():
        future.cancel()


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
