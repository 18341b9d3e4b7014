"""Calls whose process died: their holds are settled by whoever is alive, at the expected cost, as *interrupted*."""

from __future__ import annotations

import models
from lumen.config.settings import Settings
from lumen.database import now
from lumen.ledger.settlement import Outcome, settle

DEAD_AFTER_US = 30_000_000
"""A process whose last sign of life is older than this is gone."""


def register(process_id: str, role: str, *, alone: bool) -> None:
    """Write down a starting process. One that is `alone` with its database declares every other one dead."""
    moment = now()
    if alone:
        models.Process.delete().execute()
    models.Process.create(id=process_id, role=role, started_at=moment, heartbeat_at=moment)


def beat(process_id: str, role: str) -> None:
    """Give a sign of life, and forget those who gave none for long."""
    moment = now()
    models.Process.delete().where(models.Process.heartbeat_at < moment - DEAD_AFTER_US).execute()
    models.Process.insert(id=process_id, role=role, started_at=moment, heartbeat_at=moment).on_conflict(
        conflict_target=[models.Process.id], update={models.Process.heartbeat_at: moment}
    ).execute()


def leave(process_id: str) -> None:
    """Take a process that ends in order off the list."""
    models.Process.delete().where(models.Process.id == process_id).execute()


def orphans(limit: int = 500) -> list[str]:
    """The request ids of holds whose process is gone."""
    alive = models.Process.select(models.Process.id).where(models.Process.heartbeat_at >= now() - DEAD_AFTER_US)
    query = models.Hold.select(models.Hold.request_id).where(models.Hold.process_id.not_in(alive))
    return [row.request_id for row in query.order_by(models.Hold.account, models.Hold.id).limit(limit)]


def interrupt(request_id: str, *, settings: Settings) -> None:
    """Settle one such call at its expected cost. A call that was settled meanwhile is left as it is."""
    hold = models.Hold.get_or_none(models.Hold.request_id == request_id)
    if hold is None:
        return
    outcome = Outcome(
        outcome='interrupted',
        status=0,
        input_tokens=hold.expected_input_tokens,
        output_tokens=hold.expected_output_tokens,
        estimated=True,
        endpoint='',
        duration_us=max(0, now() - hold.created_at),
    )
    settle(request_id, outcome, settings=settings)
