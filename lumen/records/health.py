"""The health of models as their endpoints last showed it to live calls and to probes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import models
from lumen.config.settings import Model
from lumen.database import now, tuples
from lumen.identity import revisions
from lumen.ledger.known import untouched

State = Literal['ok', 'degraded', 'down', 'unknown', 'disabled']


@dataclass(frozen=True, slots=True)
class Health:
    """`state` of a model: *degraded* when some of its endpoints fail, *unknown* when nobody asked it yet.

    `since` is when that came about, in microseconds since the epoch; None where nothing is known.
    """

    state: State
    since: int | None = None


Place = tuple[str, str]
"""A model, and one of its `places`."""

Seen = dict[Place, tuple[bool, int]]


def note(model: str, place: str, healthy: bool, detail: str) -> None:
    """Within a write: how an endpoint is now. What it was already changes nothing."""
    row = models.EndpointHealth
    with untouched():
        add(model, place)
        is_news = (row.healthy != healthy) | (row.changed_at == 0)
        told = row.update(healthy=healthy, changed_at=now(), detail=detail)
        if told.where(row.model == model, row.url == place, is_news).execute():
            revisions.bump(revisions.HEALTH)


def add(model: str, place: str) -> None:
    """Within a write: make room for what will be known of an endpoint."""
    row = models.EndpointHealth
    if not row.select().where(row.model == model, row.url == place).exists():
        row.insert(model=model, url=place, changed_at=0).on_conflict_ignore().execute()


def seen() -> Seen:
    """Within a read: what is known of every endpoint, by model and address. One query."""
    row = models.EndpointHealth
    query = row.select(row.model, row.url, row.healthy, row.changed_at).where(row.changed_at > 0)
    return {(model, url): (bool(healthy), at) for model, url, healthy, at in tuples(query)}


def of_model(model: Model, known: Seen) -> Health:
    """What `known` says of a model with the endpoints that are configured now."""
    if model.disabled:
        return Health('disabled')
    found = [known[key] for place in model.places.values() if (key := (model.name, place)) in known]
    if not found:
        return Health('unknown')
    failing = [at for healthy, at in found if not healthy]
    if not failing:
        return Health('ok', max(at for _, at in found))
    everything_fails = len(failing) == len(model.places)
    return Health('down' if everything_fails else 'degraded', max(failing))
