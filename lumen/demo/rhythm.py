"""When things happen: by the hour of the week, so that days differ from nights and workdays from weekends."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from random import Random

from lumen.demo.wish import HOUR_US

EPOCH_HOUR_OF_WEEK = 72
"""The epoch was a Thursday; a week begins on Monday."""

_WORKDAY = (4, 3, 3, 2, 2, 3, 8, 25, 60, 90, 100, 95, 75, 90, 100, 95, 85, 60, 35, 25, 20, 15, 10, 6)
OFFICE = tuple(
    weight * share / 100 for share in (96, 104, 106, 102, 88, 22, 16) for weight in _WORKDAY
)  # people at work
STEADY = tuple(
    weight * share / 100 for share in (100, 100, 100, 100, 100, 85, 80) for weight in (45,) * 7 + (60,) * 12 + (50,) * 5
)  # programs that run around the clock


class Rhythm:
    """A line on which every hour is as long as it is busy. Moments are microseconds since the epoch."""

    def __init__(self, start: int, end: int, weights: Sequence[float], utc_offset_us: int = 0):
        self._first = start // HOUR_US
        self._sums = [0.0]
        for hour in range(self._first, end // HOUR_US + 1):
            local = (hour * HOUR_US + utc_offset_us) // HOUR_US
            self._sums.append(self._sums[-1] + weights[(local + EPOCH_HOUR_OF_WEEK) % len(weights)])

    def one(self, random: Random, start: int, end: int) -> int:
        """A moment from `start` to `end`; `start` when that is not before `end`."""
        return self.many(random, 1, start, end)[0]

    def many(self, random: Random, count: int, start: int, end: int) -> list[int]:
        """`count` moments from `start` to `end`, in any order."""
        if start >= end:
            return [start] * count
        sums, first = self._sums, self._first
        low = self._position(start)
        length = self._position(end) - low
        draw = random.random
        found = []
        for _ in range(count):
            position = low + draw() * length
            hour = bisect_right(sums, position, 0, len(sums) - 1) - 1
            share = (position - sums[hour]) / (sums[hour + 1] - sums[hour])
            found.append(min(max(int((first + hour + share) * HOUR_US), start), end))
        return found

    def _position(self, moment: int) -> float:
        hour, rest = divmod(moment - self._first * HOUR_US, HOUR_US)
        before, after = self._sums[hour], self._sums[hour + 1]
        return before + (after - before) * rest / HOUR_US
