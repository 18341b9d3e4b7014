"""What threads bring is delivered in the event loop, always."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from concurrent.futures import Future
from typing import Any

import pytest

from lumen import waking
from lumen.waking import awaitable

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
