"""Waiting for coins: one line an account, first come first served.

Who stands first tries again when a call of the account was settled, when the refill will have brought enough, and now
and then, for other processes settle too. Who leaves gives the place to the next. Each process has its own lines; whose
first came first of all is in the database, and the others stand behind it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

from lumen.errors import InsufficientCoins, ShuttingDown
from lumen.ledger.holds import Held

LOOK_AGAIN_SECONDS = 0.2
SOONEST_SECONDS = 0.002

Place = Callable[[int], Awaitable[Held]]
"""Tries to place the hold of a call that waited for so many microseconds."""


class Lines:
    """Used from one event loop."""

    def __init__(self) -> None:
        self._lines: dict[int, deque[_Waiting]] = {}
        self._is_closed = False

    def is_empty(self, account_id: int) -> bool:
        """Whether nobody waits for this account's coins. Any thread may ask."""
        return account_id not in self._lines

    def settled(self, account_id: int) -> None:
        """A call of the account was settled: whoever stands first tries again."""
        if line := self._lines.get(account_id):
            line[0].wake()

    def close(self) -> None:
        """Let nobody wait any more."""
        self._is_closed = True
        for line in self._lines.values():
            for waiting in line:
                waiting.wake()

    async def wait(self, account_id: int, refusal: InsufficientCoins, seconds: float, place: Place) -> Held:
        """Wait behind all others for the hold that was refused so, at most `seconds`; see `holds.place`.

        Raises InsufficientCoins when the pool cannot pay in that time, whatever becomes of the calls in flight,
        ShuttingDown once the lines are closed, and whatever else `place` does.
        """
        loop = asyncio.get_running_loop()
        begun = loop.time()
        end = begun + seconds
        line = self._lines.setdefault(account_id, deque())
        me = _Waiting(loop)
        if not line:
            me.wake()  # what was settled since the refusal had nobody to wake
        line.append(me)
        try:
            while True:
                if self._is_closed:
                    raise ShuttingDown
                left = end - loop.time()
                if not can_come(refusal, left):
                    raise refusal
                is_first = line[0] is me
                await me.turn(min(left, _pause(refusal)) if is_first else left)
                is_last_try = loop.time() >= end
                if not self._is_closed and (line[0] is me or is_last_try):
                    try:
                        return await place(int((loop.time() - begun) * 1e6))
                    except InsufficientCoins as error:
                        refusal = error
        finally:
            line.remove(me)
            if line:
                line[0].wake()
            else:
                del self._lines[account_id]


class _Waiting:
    def __init__(self, loop: asyncio.AbstractEventLoop):
        self._loop = loop
        self._woken = asyncio.Event()

    def wake(self) -> None:
        self._woken.set()

    async def turn(self, seconds: float) -> None:
        """Return when woken, or after `seconds`."""
        try:
            async with asyncio.timeout(seconds):
                await self._woken.wait()
        except TimeoutError:
            pass
        self._woken.clear()


def can_come(refusal: InsufficientCoins, seconds: float) -> bool:
    """Whether the coins can be there within so long."""
    return refusal.obtainable_in_us is not None and seconds > 0 and refusal.obtainable_in_us <= seconds * 1e6


def _pause(refusal: InsufficientCoins) -> float:
    """How long the first one sleeps, if nobody wakes it."""
    due = refusal.obtainable_in_us or 0
    return max(SOONEST_SECONDS, due / 1e6) if 0 < due < LOOK_AGAIN_SECONDS * 1e6 else LOOK_AGAIN_SECONDS
