"""The calls in flight: each runs until it is answered, its caller leaves, or the process must end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

from starlette.types import Receive

Work = Callable[[Callable[[], bool]], Coroutine[Any, Any, None]]
"""A call. It is given a function that says whether the caller has left."""


class Calls:
    def __init__(self) -> None:
        self._running: set[asyncio.Task[None]] = set()

    async def run(self, receive: Receive, work: Work) -> None:
        """Run one call whose body was read. It is cancelled, and waited for, when its caller leaves."""
        gone = asyncio.create_task(_disconnect(receive))
        task = asyncio.create_task(work(gone.done))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        try:
            await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not task.done():
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
            gone.cancel()
        if not task.cancelled():
            task.result()

    async def finish(self, grace_seconds: float) -> None:
        """Wait for the calls in flight, at most `grace_seconds`, then cut them off."""
        if not self._running:
            return
        _, left = await asyncio.wait(self._running, timeout=grace_seconds)
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left)


async def _disconnect(receive: Receive) -> None:
    while (await receive())['type'] != 'http.disconnect':
        pass
