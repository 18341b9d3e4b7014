"""When a call that failed before its first byte is asked for again: how often, after how long, and when not at all."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from random import Random

MOST_RETRIES = 2
SHORTEST_PAUSE_SECONDS = 0.05
LONGEST_PAUSE_SECONDS = 0.25
MOST_PATIENCE_SECONDS = 2.0
"""An endpoint that wants to be left alone for longer is not asked again for the same call."""

SHARE = 0.2
BURST = 10.0


class Budget:
    """The retries that calls of one model have earned, a token bucket: where all fails, they must not multiply it."""

    __slots__ = ('_left',)

    def __init__(self) -> None:
        self._left = BURST

    def earn(self) -> None:
        """A call is made."""
        if self._left < BURST:
            self._left = min(BURST, self._left + SHARE)

    def spend(self) -> bool:
        """Take one retry, if there is one."""
        if self._left < 1 - 1e-9:  # five times a fifth
            return False
        self._left -= 1
        return True


def seconds_of(retry_after: str) -> float | None:
    """How long `Retry-After` (RFC 9110, section 10.2.3) asks to wait, in seconds or until a date.

    None when nothing is said; for ever when it is neither.
    """
    text = retry_after.strip()
    if not text:
        return None
    if text.isascii() and text.isdigit() and len(text) < 10:
        return float(text)
    return _seconds_until(text)


def pause(retry_after_seconds: float | None, random: Random) -> float | None:
    """How long to wait before the same endpoint is asked again, in seconds; None when it is too long."""
    if retry_after_seconds is not None and retry_after_seconds > MOST_PATIENCE_SECONDS:
        return None
    return max(retry_after_seconds or 0, random.uniform(SHORTEST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS))


def _seconds_until(date: str) -> float:
    try:
        moment = parsedate_to_datetime(date)
    except (ValueError, OverflowError):
        return math.inf
    if moment.tzinfo is None:  # of the old format, which names no zone: it is GMT
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())
