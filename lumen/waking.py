"""Waiting in an event loop for what threads do."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import CancelledError, Future, InvalidStateError
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import structlog

T = TypeVar('T')

log = structlog.get_logger()

Waiting = tuple[float, Future[Any], asyncio.Future[Any]]
"""Until when, by the loop's clock, for what, and who waits."""


def awaitable(future: Future[T]) -> asyncio.Future[T]:
    """`asyncio.wrap_future`, but what many futures bring at once wakes the event loop once.

    When one stops waiting, `future` is cancelled if it has not begun. The two do not refer to each other in a circle,
    which would leave them to the garbage collector.
    """
    loop = asyncio.get_running_loop()
    waiter: asyncio.Future[T] = loop.create_future()
    future.add_done_callback(partial(_arrived, loop, waiter))
    waiter.add_done_callback(partial(_given_up, future))
    return waiter


class Patience:
    """Gives up what an event loop has waited for too long, with TimeoutError. A timer for each costs more than waiting.

    All wait equally long, so that whoever came first is due first.
    """

    def __init__(self, seconds: float):
        self.seconds = seconds
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting: deque[Waiting] = deque()
        self._is_looking = False

    def awaitable(self, future: Future[T]) -> asyncio.Future[T]:
        """`awaitable`, but not for ever. Then `future` is cancelled if it has not begun."""
        waiter = awaitable(future)
        loop = waiter.get_loop()
        if loop is not self._loop:
            self._loop, self._is_looking = loop, False
            self._waiting = deque()
        waiting = self._waiting
        while waiting and waiting[0][2].done():
            waiting.popleft()
        waiting.append((loop.time() + self.seconds, future, waiter))
        if not self._is_looking:
            self._is_looking = True
            loop.call_later(self.seconds, self._look, loop, waiting)
        return waiter

    def _look(self, loop: asyncio.AbstractEventLoop, waiting: deque[Waiting]) -> None:
        now = loop.time()
        while waiting and (waiting[0][2].done() or waiting[0][0] <= now):
            _, future, waiter = waiting.popleft()
            if not waiter.done():
                waiter.set_exception(TimeoutError())
                future.cancel()
        if waiting:
            loop.call_at(waiting[0][0], self._look, loop, waiting)
        elif loop is self._loop:
            self._is_looking = False


def _arrived(loop: asyncio.AbstractEventLoop, waiter: asyncio.Future[T], future: Future[T]) -> None:
    _wakers.wake(loop, partial(_deliver, waiter, future))


def _deliver(waiter: asyncio.Future[T], future: Future[T]) -> None:
    if waiter.done():
        return
    if future.cancelled():
        waiter.cancel()
    elif (error := future.exception()) is not None:
        # No asyncio future takes a StopIteration: what waits for it would take it for an end.
        waiter.set_exception(RuntimeError(repr(error)) if isinstance(error, StopIteration) else error)
    else:
        waiter.set_result(future.result())


def _given_up(future: Future[T], waiter: asyncio.Future[T]) -> None:
    if waiter.cancelled():
        future.cancel()


class Promise(Future[T]):
    """A future without a lock, of which making one is dear: a thread that waits for it brings its own.

    One thread sets the result. What two may do at once, is done by taking the one thing there is: out of `_unbegun`
    by whoever begins or cancels it, out of `_callbacks` by whoever calls it. `concurrent.futures.wait` needs the lock.
    """

    def __init__(self) -> None:
        self._unbegun = [None]
        self._callbacks: deque[Callable[[Future[T]], object]] = deque()
        self._is_cancelled = self._is_done = False
        self._value: T | None = None
        self._error: BaseException | None = None

    def __repr__(self) -> str:
        return f'<Promise {"cancelled" if self._is_cancelled else "done" if self._is_done else "pending"}>'

    def set_running_or_notify_cancel(self) -> bool:
        return self._take()

    def set_result(self, result: T) -> None:
        self._end(result, None)

    def set_exception(self, exception: BaseException | None) -> None:
        self._end(None, exception)

    def cancel(self) -> bool:
        if self._take():
            self._is_cancelled = self._is_done = True
            self._call_back()
        return self._is_cancelled

    def cancelled(self) -> bool:
        return self._is_cancelled

    def running(self) -> bool:
        return not self._is_done and not self._unbegun

    def done(self) -> bool:
        return self._is_done

    def result(self, timeout: float | None = None) -> T:
        if (error := self.exception(timeout)) is not None:
            raise error
        return self._value  # type: ignore[return-value]  # None only where that is the result

    def exception(self, timeout: float | None = None) -> BaseException | None:
        if not self._is_done:
            ended = threading.Event()
            self.add_done_callback(lambda _: ended.set())
            if not ended.wait(timeout):
                raise TimeoutError
        if self._is_cancelled:
            raise CancelledError
        return self._error

    def add_done_callback(self, fn: Callable[[Future[T]], object]) -> None:
        self._callbacks.append(fn)
        if self._is_done:  # looked at only now: whoever ends it meanwhile finds what was added, or is found here
            self._call_back()

    def _take(self) -> bool:
        try:
            self._unbegun.pop()
        except IndexError:
            return False
        return True

    def _end(self, value: T | None, error: BaseException | None) -> None:
        if self._is_done:
            raise InvalidStateError(f'{self!r} has its answer')
        self._unbegun.clear()
        self._value, self._error = value, error
        self._is_done = True
        self._call_back()

    def _call_back(self) -> None:
        while self._callbacks:
            try:
                callback = self._callbacks.popleft()
            except IndexError:  # another thread was faster
                return
            try:
                callback(self)
            except Exception:
                log.exception('a result could not be told')


class _Wakers:
    """For each event loop what is to be called in it. A loop that was woken already takes along what came meanwhile."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: WeakKeyDictionary[asyncio.AbstractEventLoop, deque[Callable[[], None]]] = WeakKeyDictionary()

    def wake(self, loop: asyncio.AbstractEventLoop, call: Callable[[], None]) -> None:
        with self._lock:
            waiting = self._waiting.setdefault(loop, deque())
            # Added first, looked at then: whatever is still in front of it is taken out only later, by a loop that
            # then finds this one. The other way round the last in front may be taken out between the two.
            waiting.append(call)
            is_first = len(waiting) == 1
        if is_first:
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(_drain, waiting)


def _drain(waiting: deque[Callable[[], None]]) -> None:
    # The one at the front stays there while it runs, so that who adds behind it need not wake the loop.
    while waiting:
        try:
            waiting[0]()
        except Exception:  # what stays behind it would never be called
            log.exception('a result could not be delivered')
        waiting.popleft()


_wakers = _Wakers()
