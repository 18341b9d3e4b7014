"""What would be said too often, for whoever causes it decides how often it happens."""

from __future__ import annotations

import time


class Seldom:
    """At most one line in so many seconds, so that nobody fills the disk with them."""

    def __init__(self, seconds: float = 1.0):
        self._seconds = seconds
        self._next = 0.0
        self._untold = 0

    def turn(self) -> int | None:
        """How many were not told since the last one, when it may be told now; None when it may not."""
        moment = time.monotonic()
        if moment < self._next:
            self._untold += 1
            return None
        untold, self._untold, self._next = self._untold, 0, moment + self._seconds
        return untold
