"""What a demo is asked for. The same wish on the same database and configuration gives the same rows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property

MINUTE_US = 60_000_000
HOUR_US = 60 * MINUTE_US
DAY_US = 24 * HOUR_US
HISTORY_DAYS = 365
"""How long before the days of usage the first clients may have been made."""


@dataclass(frozen=True)
class Wish:
    """`requests` are spread over the `days` before `until`; the working hours are those of its time zone."""

    clients: int
    days: int
    requests: int
    seed: int
    until: datetime

    @cached_property
    def end(self) -> int:
        """`until` in microseconds since the epoch."""
        return (self.until - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)

    @cached_property
    def start(self) -> int:
        """When usage begins."""
        return self.end - self.days * DAY_US

    @cached_property
    def beginning(self) -> int:
        """Before this there were no clients."""
        return self.start - HISTORY_DAYS * DAY_US

    @cached_property
    def utc_offset_us(self) -> int:
        return (self.until.utcoffset() or timedelta()) // timedelta(microseconds=1)
