"""Which clients there are: since when, whose, how busy, and which were deactivated or run out of coins."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from random import Random

from lumen import access
from lumen.config.settings import Model, Pool, Settings
from lumen.demo import names
from lumen.demo.rhythm import OFFICE, Rhythm
from lumen.demo.wish import HOUR_US, MINUTE_US, Wish
from lumen.errors import Invalid
from lumen.records import clients

MADE_BEFORE = 0.6
"""The share of clients that is older than the days of usage."""
DEACTIVATED = 0.06
EXHAUSTED = 0.05
TAIL = 2.0
"""How unequal clients are: the deviation of the logarithm of their use. At 2, a hundredth of them makes a third."""


@dataclass(slots=True)
class Planned:
    """A client to be. `models` are those that it may call, `deactivated_at` is None for one that is active."""

    name: str
    created_at: int
    pool: Pool
    models: list[Model]
    weight: float
    deactivated_at: int | None = None
    is_exhausted: bool = False
    calls: int = 0

    def end(self, wish: Wish) -> int:
        """Until when it was active."""
        return wish.end if self.deactivated_at is None else self.deactivated_at


def plan(random: Random, wish: Wish, settings: Settings) -> list[Planned]:
    """The clients of a demo in the order of their making; their requests add up to what is wished for.

    Raises Invalid when there is nobody who could make them.
    """
    office = Rhythm(wish.beginning, wish.end, OFFICE, wish.utc_offset_us)
    latest = wish.end - 2 * HOUR_US
    moments = sorted(
        office.one(random, wish.beginning, wish.start)
        if random.random() < MADE_BEFORE
        else office.one(random, wish.start, latest)
        for _ in range(wish.clients)
    )
    names_in_order = list(_names(random, wish.clients, settings))
    random.shuffle(names_in_order)
    models_by_scope: dict[str, list[Model]] = {}
    found = [
        _planned(random, name, moment, settings, models_by_scope)
        for name, moment in zip(names_in_order, moments, strict=True)
    ]
    _deactivate(random, found, office, wish)
    _share_out(found, wish)
    _exhaust(random, found)
    return found


def _names(random: Random, count: int, settings: Settings) -> Iterator[str]:
    """Those that the configuration has an entry for come first, so that their pools and rules can be looked at."""
    taken: set[str] = {'default'}
    for name in settings.clients:
        with suppress(Invalid):
            if len(taken) <= count and name.casefold() not in taken:
                taken.add(clients.check_name(name).casefold())
                yield name
    for _ in range(count + 1 - len(taken)):
        yield names.client_name(random, taken)


def _planned(
    random: Random, name: str, created_at: int, settings: Settings, models_by_scope: dict[str, list[Model]]
) -> Planned:
    handle = name.casefold()
    scope = settings.scope('client', handle)
    if scope not in models_by_scope:
        visible = access.visible(settings, 'client', handle)
        models_by_scope[scope] = [model for model in visible if not (model.needs_ack and settings.api.consent)]
    pool = settings.pool('client', handle)
    usable = [] if pool.is_none else models_by_scope[scope]
    return Planned(name, created_at, pool, usable, random.lognormvariate(0, TAIL) if usable else 0.0)


def _deactivate(random: Random, found: list[Planned], office: Rhythm, wish: Wish) -> None:
    """At least one of four, never all."""
    count = max(round(len(found) * DEACTIVATED), len(found) >= 4)
    for planned in random.sample(found, count):
        planned.deactivated_at = office.one(random, planned.created_at + HOUR_US, wish.end - MINUTE_US)
        if planned.deactivated_at < wish.start + HOUR_US:
            planned.weight = 0.0


def _share_out(found: list[Planned], wish: Wish) -> None:
    """Give each client its requests by weight. Those that came late have had less time."""
    for planned in found:
        planned.weight *= max(0, planned.end(wish) - max(planned.created_at, wish.start)) / (wish.end - wish.start)
    total = sum(planned.weight for planned in found)
    if not wish.requests:
        return
    if not total:
        raise Invalid(
            'No client could make a request: there is none, or the configuration gives them no budget or no model that '
            'they may use without an acknowledgement.',
            param='requests',
        )
    shared, so_far = 0, 0.0
    last = max(index for index, planned in enumerate(found) if planned.weight)
    for index, planned in enumerate(found[: last + 1]):
        so_far += planned.weight
        upto = wish.requests if index == last else min(wish.requests, int(wish.requests * so_far / total))
        planned.calls = upto - shared
        shared = upto


def _exhaust(random: Random, found: list[Planned]) -> None:
    """From the busier quarter: those who never call do not run out."""
    able = [
        planned
        for planned in found
        if planned.calls and planned.deactivated_at is None and not planned.pool.is_unlimited
    ]
    able.sort(key=lambda planned: planned.calls, reverse=True)
    busier = able[: max(len(able) // 4, min(len(able), 4))]
    count = min(len(busier), max(round(len(found) * EXHAUSTED), len(found) >= 4))
    for planned in random.sample(busier, count):
        planned.is_exhausted = True
