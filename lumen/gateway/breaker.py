"""A circuit breaker: an endpoint that failed repeatedly rests for a while, then one call finds out how it is.

After Michael Nygard, *Release It!*. What rests would elsewhere be called open, the one call half-open. What one
process finds out `rest` and `answered` tell the breakers of the others.
"""

from __future__ import annotations

from random import Random

FAILURES = 5
UNREACHED = 3
"""So many failures in a row make it rest; fewer if it could not even be reached."""

FIRST_REST_SECONDS = 1.0
LONGEST_REST_SECONDS = 60.0
JITTER = 0.2
"""Rests differ by so much in either direction, so that processes do not all come back at once."""


SAME_SECONDS = 0.5
"""A rest that ends within so much of another is the same, told by another clock."""


class Breaker:
    """Times are those of one monotonic clock, in seconds."""

    __slots__ = ('_failures', '_is_probed', '_random', '_rest_seconds', '_unreached', 'rests_until')

    def __init__(self, random: Random):
        self._random = random
        self._failures = 0
        self._unreached = 0
        self._rest_seconds = 0.0
        self._is_probed = False
        self.rests_until = 0.0
        """0 while all is well. After that time one call is let through at a time."""

    def lets_through(self, now: float) -> bool:
        """Whether a call may go there."""
        return not self.rests_until or (self.rests_until <= now and not self._is_probed)

    def begin(self, now: float) -> bool:
        """A call goes there. Whether it is the one that finds out, which ends in `answered`, `failed` or `gave_up`."""
        if not self.rests_until or not self.lets_through(now):
            return False
        self._is_probed = True
        return True

    def answered(self) -> None:
        """The one that finds out has an answer coming, which may take long: the others are let through already."""
        self.rests_until = 0.0
        self._is_probed = False
        self._failures, self._unreached = FAILURES - 1, 0

    def succeeded(self) -> None:
        """A call ended well, whichever it was."""
        self._failures = self._unreached = 0
        self._rest_seconds = self.rests_until = 0.0
        self._is_probed = False

    def failed(self, now: float, *, is_probe: bool, is_unreachable: bool) -> float | None:
        """A call failed. Returns for how many seconds it rests, if that began just now."""
        if self.rests_until and not is_probe:
            return None  # it was begun before, or had no choice
        self._is_probed = False
        self._failures += 1
        self._unreached = self._unreached + 1 if is_unreachable else 0
        if not is_probe and self._failures < FAILURES and self._unreached < UNREACHED:
            return None
        self._rest_seconds = min(LONGEST_REST_SECONDS, self._rest_seconds * 2 or FIRST_REST_SECONDS)
        seconds = self._rest_seconds * self._random.uniform(1 - JITTER, 1 + JITTER)
        self.rests_until = now + seconds
        return seconds

    def gave_up(self) -> None:
        """The one that was to find out did not."""
        self._is_probed = False

    def rest(self, now: float, seconds: float, *, is_unreachable: bool) -> None:
        """Another process found that it fails. `seconds` are negative when that rest is over."""
        until = now + max(seconds, -SAME_SECONDS)
        if not self.rests_until or abs(self.rests_until - until) > SAME_SECONDS:
            self._rest_seconds = max(seconds, min(LONGEST_REST_SECONDS, self._rest_seconds * 2 or FIRST_REST_SECONDS))
        self._failures = max(self._failures, FAILURES)
        self._unreached = UNREACHED if is_unreachable else 0
        self.rests_until = max(self.rests_until, until)

    def postpone(self, until: float) -> None:
        """Another process finds out."""
        self._is_probed = False
        self.rests_until = until

    @property
    def is_down(self) -> bool:
        """Whether it rests because it could not be reached."""
        return self.rests_until > 0 and self._unreached >= UNREACHED

    @property
    def is_spotless(self) -> bool:
        """Whether nothing failed since the last success."""
        return not self._failures
