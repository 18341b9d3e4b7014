"""Counts for rate limits in the memory of one process, as a storage of `limits`.

The storage that comes with `limits` looks through all its counts a hundred times a second.
"""

from __future__ import annotations

import time
from collections.abc import Hashable
from dataclasses import dataclass
from math import floor, inf
from time import monotonic

from limits.aio.storage import SlidingWindowCounterSupport, Storage

SWEPT_EVERY_SECONDS = 60.0


@dataclass(slots=True)
class _Count:
    value: int
    ends_at: float


@dataclass(slots=True)
class _Window:
    number: int
    current: int
    previous: int


class InMemory(Storage, SlidingWindowCounterSupport):
    """For one event loop. Times are those of the monotonic clock: a clock that is set does not empty any window."""

    STORAGE_SCHEME = None

    def __init__(self) -> None:
        super().__init__()
        self._counts: dict[str, _Count] = {}
        self._windows: dict[tuple[Hashable, int], _Window] = {}
        self._swept_at = monotonic()

    @property
    def base_exceptions(self) -> type[Exception]:
        return ValueError

    async def incr(self, key: str, expiry: float, amount: int = 1) -> int:
        moment = self._moment()
        count = self._counts.get(key)
        if count is None or count.ends_at <= moment:
            count = self._counts[key] = _Count(0, moment + expiry)
        count.value += amount
        return count.value

    async def get(self, key: str) -> int:
        count = self._counts.get(key)
        return count.value if count is not None and count.ends_at > monotonic() else 0

    async def get_expiry(self, key: str) -> float:
        count = self._counts.get(key)
        return time.time() + (max(0.0, count.ends_at - monotonic()) if count is not None else 0.0)

    async def check(self) -> bool:
        return True

    async def reset(self) -> int:
        number = len(self._counts) + len(self._windows)
        self._counts.clear()
        self._windows.clear()
        return number

    async def clear(self, key: str) -> None:
        self._counts.pop(key, None)

    async def acquire_sliding_window_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        window, weight = self._window(key, expiry)
        if floor(window.previous * weight + window.current) + amount > limit:
            return False
        window.current += amount
        return True

    async def get_sliding_window(self, key: str, expiry: int) -> tuple[int, float, int, float]:
        window, weight = self._window(key, expiry)
        return window.previous, weight * expiry, window.current, weight * expiry + expiry

    async def clear_sliding_window(self, key: str, expiry: int) -> None:
        self._windows.pop((key, expiry), None)

    def has_room(self, key: Hashable, limit: int, expiry: int) -> bool:
        """Whether one more may be counted."""
        window, weight = self._window(key, expiry)
        return floor(window.previous * weight + window.current) < limit

    def hit(self, key: Hashable, limit: int, expiry: int) -> tuple[bool, int, float]:
        """Count one more if there is room: whether there was, how many are left, in how many seconds there is more.

        As `limits` works it out from what a storage tells it, at a fifth of the time.
        """
        window, weight = self._window(key, expiry)
        used = window.previous * weight + window.current
        is_admitted = floor(used) < limit
        if is_admitted:
            window.current += 1
            used += 1
        seconds = weight * expiry % (expiry / window.previous) if window.previous else inf
        if window.current:
            seconds = min(seconds, weight * expiry)
        return is_admitted, max(0, limit - floor(used)), 0.0 if seconds == inf else seconds

    def _window(self, key: Hashable, expiry: int) -> tuple[_Window, float]:
        """The window that runs now, and which share of the one before it still counts."""
        number, passed = divmod(self._moment(), expiry)
        window = self._windows.get((key, expiry))
        if window is None:
            window = self._windows[key, expiry] = _Window(int(number), 0, 0)
        elif window.number != number:
            window.previous = window.current if window.number == number - 1 else 0
            window.number, window.current = int(number), 0
        return window, 1 - passed / expiry

    def _moment(self) -> float:
        moment = monotonic()
        if moment - self._swept_at > SWEPT_EVERY_SECONDS:
            self._swept_at = moment
            self._counts = {key: count for key, count in self._counts.items() if count.ends_at > moment}
            self._windows = {
                (key, expiry): window
                for (key, expiry), window in self._windows.items()
                if (window.number + 2) * expiry > moment
            }
        return moment
