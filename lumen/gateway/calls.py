"""The calls in flight: each runs until it is answered, its caller leaves, or the process must end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

from starlette.types import Receive, Scope

WHEN_GONE = 'lumen.when_gone'
"""The extension of ASGI that `lumen.server.http` has; no import, for the gateway runs on any other server, too."""

Work = Callable[[Callable[[], bool]], Coroutine[Any, Any, None]]
"""A call. It is given a function that says whether the caller has left."""


class Calls:
    def __init__(self) -> None:
        self._running: set[asyncio.Task[Any]] = set()
        self._cut_off: set[asyncio.Task[Any]] = set()

    async def run(self, scope: Scope, receive: Receive, work: Work) -> None:
        """Run one call whose body was read. It is cancelled, and has come to its end, when its caller leaves.

        Lumen's own server tells of that by itself (`WHEN_GONE`); any other is listened to by a second task.
        """
        when_gone = (scope.get('extensions') or {}).get(WHEN_GONE)
        if when_gone is None:
            await self._run_beside(receive, work)
            return
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - this is a coroutine
        has_left = False

        def leave() -> None:
            nonlocal has_left
            has_left = True
            task.cancel()

        self._running.add(task)
        when_gone(leave)
        try:
            await work(lambda: has_left)
        except asyncio.CancelledError:
            if not has_left and task not in self._cut_off:
                raise
            task.uncancel()
        finally:
            when_gone(None)
            self._running.discard(task)
            self._cut_off.discard(task)

    async def _run_beside(self, receive: Receive, work: Work) -> None:
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
            self._cut_off.add(task)
            task.cancel()
        if left:
            await asyncio.wait(left)


async def _disconnect(receive: Receive) -> None:
    while (await receive())['type'] != 'http.disconnect':
        pass
