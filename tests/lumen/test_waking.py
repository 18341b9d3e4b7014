"""What threads bring is delivered in the event loop, always."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from concurrent.futures import CancelledError, Future, InvalidStateError
from typing import Any

import pytest

from lumen import waking
from lumen.waking import Patience, Promise, awaitable

LONG = 10


def test_a_result_that_comes_while_the_last_one_is_taken_out_is_delivered(monkeypatch: pytest.MonkeyPatch):
    # A thread is held up exactly between looking at what waits and adding its own, or before it does either.
    adds, emptied = threading.Event(), threading.Event()

    class HeldUp(deque[Any]):
        def append(self, call: Any) -> None:
            if self:
                adds.set()
                assert emptied.wait(LONG)
            super().append(call)

    monkeypatch.setattr(waking, 'deque', HeldUp)
    first: Future[int] = Future()
    second: Future[int] = Future()
    thread = threading.Thread(target=second.set_result, args=(2,))

    async def both() -> tuple[int, int]:
        waits_for_first, waits_for_second = awaitable(first), awaitable(second)
        waits_for_first.add_done_callback(lambda _: emptied.set())  # called in the turn after the one that drains
        # While the first is delivered, it is still the one in front.
        monkeypatch.setattr(waking, '_deliver', lambda waiter, future: (_begin(thread, adds), deliver(waiter, future)))
        first.set_result(1)
        async with asyncio.timeout(LONG):
            return await waits_for_first, await waits_for_second

    deliver = waking._deliver
    assert asyncio.run(both()) == (1, 2)
    thread.join()


def _begin(thread: threading.Thread, adds: threading.Event) -> None:
    if thread.ident is None:
        thread.start()
        assert adds.wait(LONG)


def test_one_that_cannot_be_delivered_does_not_hold_up_the_others(monkeypatch: pytest.MonkeyPatch):
    def fail(waiter: asyncio.Future[int], future: Future[int]) -> None:
        raise LookupError

    async def two() -> int:
        bad: Future[int] = Future()
        good: Future[int] = Future()
        awaitable(bad)
        waits_for_good = awaitable(good)
        with monkeypatch.context() as broken:
            broken.setattr(waking, '_deliver', fail)
            bad.set_result(1)
        good.set_result(2)
        async with asyncio.timeout(LONG):
            return await waits_for_good

    assert asyncio.run(two()) == 2


def test_whoever_waits_hears_of_an_iteration_that_ended():
    async def wait() -> None:
        future: Future[int] = Future()
        waits = awaitable(future)
        future.set_exception(StopIteration())
        async with asyncio.timeout(LONG):
            await waits

    with pytest.raises(RuntimeError, match='StopIteration'):
        asyncio.run(wait())


def test_a_promise_is_kept_to_threads_and_event_loops_alike():
    promise: Promise[int] = Promise()
    found: list[int] = []
    waiting = threading.Thread(target=lambda: found.append(promise.result(LONG)))
    waiting.start()

    async def wait() -> tuple[int, int]:
        both = awaitable(promise), asyncio.wrap_future(promise)
        promise.set_result(7)
        async with asyncio.timeout(LONG):
            return await both[0], await both[1]

    assert promise.set_running_or_notify_cancel()
    assert asyncio.run(wait()) == (7, 7)
    waiting.join(LONG)
    assert found == [7]
    assert promise.done()
    assert not promise.cancelled()


def test_a_promise_that_fails_says_how():
    promise: Promise[int] = Promise()
    promise.set_exception(ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        promise.result(LONG)
    with pytest.raises(InvalidStateError):
        promise.set_result(1)
    assert isinstance(promise.exception(), ZeroDivisionError)


def test_a_promise_that_nobody_keeps_is_not_waited_for_for_ever():
    with pytest.raises(TimeoutError):
        Promise[int]().result(0.01)


def test_what_has_begun_cannot_be_cancelled_and_what_was_cancelled_does_not_begin():
    begun, given_up = Promise[int](), Promise[int]()
    told: list[str] = []
    given_up.add_done_callback(lambda _: told.append('given up'))
    assert begun.set_running_or_notify_cancel()
    assert begun.running()
    assert not begun.cancel()
    begun.set_result(1)
    assert begun.result() == 1
    assert given_up.cancel()
    assert given_up.cancel()
    assert told == ['given up']
    assert not given_up.set_running_or_notify_cancel()
    with pytest.raises(CancelledError):
        given_up.result(LONG)


def test_of_a_promise_either_its_beginning_or_its_end_is_had_and_whoever_waits_is_told_once():
    for _ in range(200):
        promise: Promise[int] = Promise()
        had: list[str] = []
        told: list[int] = []
        both = threading.Barrier(3)

        def begin(promise: Promise[int] = promise, had: list[str] = had, both: threading.Barrier = both) -> None:
            both.wait(LONG)
            if promise.set_running_or_notify_cancel():
                had.append('begun')
                promise.set_result(1)

        def cancel(promise: Promise[int] = promise, had: list[str] = had, both: threading.Barrier = both) -> None:
            both.wait(LONG)
            if promise.cancel():
                had.append('cancelled')

        threads = [threading.Thread(target=begin), threading.Thread(target=cancel)]
        for thread in threads:
            thread.start()
        both.wait(LONG)
        for number in range(20):
            promise.add_done_callback(lambda _, number=number, told=told: told.append(number))  # type: ignore[misc]
        for thread in threads:
            thread.join(LONG)
        assert len(had) == 1
        assert promise.cancelled() is (had == ['cancelled'])
        assert sorted(told) == list(range(20))


async def test_who_waits_too_long_is_told_and_what_has_not_begun_is_not_done():
    patience = Patience(0.05)
    unbegun: Promise[int] = Promise()
    begun: Promise[int] = Promise()
    begun.set_running_or_notify_cancel()
    waits = [patience.awaitable(future) for future in (unbegun, begun)]
    done, _ = await asyncio.wait(waits, timeout=LONG)
    assert [type(each.exception()) for each in waits] == [TimeoutError, TimeoutError]
    assert (len(done), unbegun.cancelled(), begun.cancelled()) == (2, True, False)
    begun.set_result(1)  # nobody minds
    later: Promise[int] = Promise()
    waits_for_later = patience.awaitable(later)
    with pytest.raises(TimeoutError):  # there is a timer again, when none was left
        await asyncio.wait_for(asyncio.shield(waits_for_later), LONG)
    assert later.cancelled()


async def test_one_that_waits_long_does_not_keep_others_from_their_time_nor_those_that_are_done():
    patience = Patience(LONG)
    first: Promise[int] = Promise()
    waits_for_first = patience.awaitable(first)
    for number in range(100):
        promise: Promise[int] = Promise()
        waits = patience.awaitable(promise)
        promise.set_result(number)
        assert await waits == number
    first.set_result(-1)
    assert await waits_for_first == -1
    last: Promise[int] = Promise()
    waits_for_last = patience.awaitable(last)
    assert len(patience._waiting) == 1
    last.set_result(0)
    assert await waits_for_last == 0
