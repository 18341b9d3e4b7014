"""What an open page reads, one after the other: however often it is asked for, one runs and at most one more follows.

All pages of a process share few reader threads. Whoever sends events without end may keep one of them busy, no more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable


class OneRead:
    """`read` begins to look when it is called, so that the one that follows sees all that was asked for until then."""

    def __init__(self, read: Callable[[], Awaitable[None]]) -> None:
        self._read = read
        self._reading = asyncio.Lock()
        self._asked = 0
        self._begun = 0

    async def __call__(self) -> None:
        """Return when a read is over that began after this. What it raises, one of those who wait for it gets."""
        self._asked += 1
        asked = self._asked
        async with self._reading:
            if self._begun < asked:
                self._begun = self._asked
                await self._read()
