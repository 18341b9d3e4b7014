"""Which endpoints rest, for all processes, and which of them finds out how one is.

A row of `endpoint_health` is changed by single statements that say what it must be like (compare and set): there is
nothing to lock, and nothing that a pooler or a distributed engine would not have.
"""

from __future__ import annotations

from typing import NamedTuple

import models
from lumen.database import now, tuples
from lumen.identity import revisions
from lumen.ledger.known import untouched
from lumen.records.health import Place, add

UNREACHABLE = 'unreachable'
"""The `detail` of an endpoint that rests because there was no connection to it."""

EARLY_US = 250_000
"""So much before the end of a rest it may be tried: who began it counts from a little earlier."""


class Known(NamedTuple):
    """Of one endpoint: whether it works, and for how much longer it rests, in microseconds. That is negative when it
    is over, and None while it does not. `rests_until` tells one rest from another; 0 is none.
    """

    healthy: bool | None
    rests_until: int
    rest_us: int | None
    is_unreachable: bool


class Look(NamedTuple):
    """What all processes know. `number` tells whether it changed since another look."""

    number: int
    known: dict[Place, Known]


def look(number: int) -> Look | None:
    """Within a read: what is known of every endpoint, or None if that is what was known at `number`."""
    newest = revisions.number(revisions.HEALTH)
    if newest == number:
        return None
    row, moment = models.EndpointHealth, now()
    query = row.select(row.model, row.url, row.healthy, row.changed_at, row.rests_until, row.detail)
    return Look(
        newest,
        {
            (model, place): Known(
                bool(healthy) if changed_at else None,
                rests_until,
                rests_until - moment if rests_until else None,
                detail == UNREACHABLE,
            )
            for model, place, healthy, changed_at, rests_until, detail in tuples(query)
        },
    )


def opened(model: str, place: str, rest_us: int, is_unreachable: bool) -> int:
    """Within a write: an endpoint failed repeatedly, and rests for so long from now on. A longer rest stays.

    Returns until when.
    """
    row, moment = models.EndpointHealth, now()
    with untouched():
        add(model, place)
        row.update(healthy=False, changed_at=moment).where(
            row.model == model,
            row.url == place,
            (row.healthy == True) | (row.changed_at == 0),  # noqa: E712 - it is SQL
        ).execute()
        row.update(
            rests_until=moment + rest_us, tried_until=moment, detail=UNREACHABLE if is_unreachable else 'it failed'
        ).where(row.model == model, row.url == place, row.rests_until < moment + rest_us).execute()
        revisions.bump(revisions.HEALTH)
    return moment + rest_us


def closed(model: str, place: str) -> None:
    """Within a write: it answers again, and rests no longer."""
    row = models.EndpointHealth
    with untouched():
        changed = row.update(rests_until=0, tried_until=now())
        if changed.where(row.model == model, row.url == place, row.rests_until != 0).execute():
            revisions.bump(revisions.HEALTH)


def claim(model: str, place: str, lease_us: int, untried_us: int = 0) -> int | None:
    """Within a write: be the one who tries an endpoint, for at most so long. None if it rests, another tries it, or one
    did within `untried_us`; else what `give_up` wants.
    """
    row, moment = models.EndpointHealth, now()
    with untouched():
        add(model, place)
        mine = row.update(tried_until=moment + lease_us).where(
            row.model == model,
            row.url == place,
            row.rests_until <= moment + EARLY_US,
            row.tried_until <= moment - untried_us,
        )
        return moment + lease_us if mine.execute() else None


def give_up(model: str, place: str, claimed: int) -> None:
    """Within a write: it was tried, for now. Others may."""
    row = models.EndpointHealth
    with untouched():
        row.update(tried_until=now()).where(row.model == model, row.url == place, row.tried_until == claimed).execute()
