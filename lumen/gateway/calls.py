"""The calls in flight: each runs until it is answered, its caller leaves, or the process must end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

from starlette.types import Receive

from lumen.errors import ShuttingDown
from lumen.gateway.exchange import Direct

Work = Callable[[Callable[[], bool]], Coroutine[Any, Any, None]]
"""A call. It is given a function that says whether the caller has left."""


class Calls:
    def __init__(self) -> None:
        self.running: set[asyncio.Task[Any]] = set()
        self.cut: set[asyncio.Task[Any]] = set()
        self.is_over = False

    def here(self, direct: Direct) -> Here:
        """Within the block runs one call whose body was read, cancelled when its caller leaves. It is told of that.

        Raises ShuttingDown when the calls were cut off.
        """
        return Here(self, direct)

    async def beside(self, receive: Receive, work: Work) -> None:
        """Run one call whose body was read, while another task listens for its caller to leave.

        Raises ShuttingDown when the calls were cut off.
        """
        if self.is_over:
            raise ShuttingDown
        gone = asyncio.create_task(_disconnect(receive))
        task = asyncio.create_task(work(gone.done))
        self.running.add(task)
        task.add_done_callback(self.running.discard)
        try:
            await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not task.done():
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
            gone.cancel()
            was_cut = task in self.cut
            self.cut.discard(task)
        if not task.cancelled():
            task.result()
        elif was_cut:
            raise ShuttingDown

    async def finish(self, grace_seconds: float) -> None:
        """Wait for the calls in flight, at most `grace_seconds`, then cut them off."""
        timer = asyncio.get_running_loop().call_later(grace_seconds, self.cut_off)
        while self.running:
            await asyncio.wait(set(self.running))
        timer.cancel()

    def cut_off(self) -> None:
        """Cut off the calls in flight, and whatever would still become one."""
        self.is_over = True
        for task in self.running - self.cut:
            self.cut.add(task)
            task.cancel()


class Here:
    """A call within the present task. Its cancellation ends at the end of the block, by whichever of us it was made."""

    __slots__ = ('_calls', '_direct', '_has_left', '_task')

    def __init__(self, calls: Calls, direct: Direct):
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - this is called within a coroutine
        self._task = task
        self._calls = calls
        self._direct = direct
        self._has_left = False

    def has_left(self) -> bool:
        """Whether the caller has."""
        return self._has_left

    def __enter__(self) -> Here:
        if self._calls.is_over:
            raise ShuttingDown
        self._calls.running.add(self._task)
        self._direct.when_gone(self._leave)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: object) -> bool:
        task, calls = self._task, self._calls
        self._direct.when_gone(None)
        calls.running.discard(task)
        if kind is None:
            calls.cut.discard(task)
            return False
        was_cut = task in calls.cut
        calls.cut.discard(task)
        if not (self._has_left or was_cut) or not issubclass(kind, asyncio.CancelledError):
            return False
        task.uncancel()
        if not self._has_left:
            raise ShuttingDown from None
        return True

    def _leave(self) -> None:
        self._has_left = True
        self._task.cancel()


async def _disconnect(receive: Receive) -> None:
    while (await receive())['type'] != 'http.disconnect':
        pass
