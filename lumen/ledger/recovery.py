"""Calls that nobody will settle any more: their holds are settled at the expected cost, as *interrupted*.

A process gives a sign of life every few seconds. Who gives none for long is dead, and forgotten by another, but only by
one that could reach the database all that time: after an outage, everybody gets the time to give a sign again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import models
from lumen.database import now, tuples
from lumen.ledger.known import untouched

DEAD_AFTER_US = 30_000_000
"""A process whose last sign of life is older than this is gone."""
LONGEST_GAP_US = 10_000_000
"""Between two signs of life of one that judges others: two beats. A longer outage cannot pass unnoticed."""


@dataclass(frozen=True, slots=True)
class Pulse:
    """Since when a process has given signs of life without a gap, and the last one: the database's microseconds."""

    since: int
    last: int


class LeftBehind(NamedTuple):
    """A hold to look at: of a process that is gone, or of the process that asks (`is_own`)."""

    id: int
    request_id: str
    is_own: bool


def register(process_id: str, role: str, *, alone: bool) -> Pulse:
    """Write down a starting process. One that is `alone` with its database declares every other one dead."""
    moment = now()
    if alone:
        models.Process.delete().execute()
    models.Process.create(id=process_id, role=role, started_at=moment, heartbeat_at=moment)
    return Pulse(moment, moment)


def beat(process_id: str, role: str, pulse: Pulse | None) -> Pulse:
    """Give a sign of life after `pulse`, and forget those who gave none for long, if this one did all that time."""
    moment = now()
    is_unbroken = pulse is not None and 0 <= moment - pulse.last <= LONGEST_GAP_US
    since = pulse.since if pulse is not None and is_unbroken else moment
    with untouched():
        if moment - since >= DEAD_AFTER_US:
            models.Process.delete().where(models.Process.heartbeat_at < moment - DEAD_AFTER_US).execute()
            models.Line.delete().where(models.Line.seen_at < moment - DEAD_AFTER_US).execute()
        models.Process.insert(id=process_id, role=role, started_at=moment, heartbeat_at=moment).on_conflict(
            conflict_target=[models.Process.id], update={models.Process.heartbeat_at: moment}
        ).execute()
    return Pulse(since, moment)


def leave(process_id: str) -> None:
    """Take a process that ends in order off the list."""
    models.Process.delete().where(models.Process.id == process_id).execute()


def left_behind(process_id: str, after: int = 0, limit: int = 500) -> list[LeftBehind]:
    """Holds of processes that are gone and of `process_id` itself, which knows its own calls. Those after `after`."""
    hold = models.Hold
    living = models.Process.select(models.Process.id)
    is_gone = hold.process_id.not_in(living)
    query = (
        hold.select(hold.id, hold.request_id, ~is_gone)
        .where(hold.id > after, is_gone | (hold.process_id == process_id))
        .order_by(hold.id)
        .limit(limit)
    )
    return [LeftBehind(hold_id, request_id, bool(is_own)) for hold_id, request_id, is_own in tuples(query)]
