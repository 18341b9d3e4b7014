"""The health of models as their endpoints last showed it to live calls."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import models
from lumen.config.places import place_of
from lumen.config.settings import Model
from lumen.database import now, tuples

State = Literal['ok', 'degraded', 'down', 'unknown', 'disabled']


@dataclass(frozen=True, slots=True)
class Health:
    """`state` of a model: *degraded* when some of its endpoints fail, *unknown* when nobody called it yet.

    `since` is when that came about, in microseconds since the epoch; None where nothing is known.
    """

    state: State
    since: int | None = None


Seen = dict[tuple[str, str], tuple[bool, int]]


def note(model: str, place: str, healthy: bool, detail: str) -> None:
    """Within a write: how an endpoint (its address without secrets) is now. What it was already changes nothing."""
    row = models.EndpointHealth
    row.insert(model=model, url=place, healthy=healthy, changed_at=now(), detail=detail).on_conflict(
        conflict_target=[row.model, row.url],
        update={row.healthy: healthy, row.changed_at: now(), row.detail: detail},
        where=row.healthy != healthy,
    ).execute()


def seen() -> Seen:
    """Within a read: what is known of every endpoint, by model and address. One query."""
    row = models.EndpointHealth
    query = row.select(row.model, row.url, row.healthy, row.changed_at)
    return {(model, url): (bool(healthy), at) for model, url, healthy, at in tuples(query)}


def of_model(model: Model, known: Seen) -> Health:
    """What `known` says of a model with the endpoints that are configured now."""
    if model.disabled:
        return Health('disabled')
    found = [known[key] for endpoint in model.endpoints if (key := (model.name, place_of(endpoint.url))) in known]
    if not found:
        return Health('unknown')
    failing = [at for healthy, at in found if not healthy]
    if not failing:
        return Health('ok', max(at for _, at in found))
    everything_fails = len(failing) == len(model.endpoints)
    return Health('down' if everything_fails else 'degraded', max(failing))
