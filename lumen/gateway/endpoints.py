"""Which endpoint of a model is asked: the least busy of those that work, as this process sees them."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from random import Random
from typing import Any

import structlog

from lumen.config.endpoint import Endpoint
from lumen.config.places import place_of
from lumen.config.settings import Model
from lumen.gateway.breaker import LONGEST_REST_SECONDS, Breaker
from lumen.gateway.errors import AllBusy, NoHealthyEndpoint, UpstreamError
from lumen.gateway.retries import Budget

log = structlog.get_logger()

BUSY_SECONDS = 1.0
"""How long an endpoint that has too many requests is left out when it does not say for how long."""


class Endpoints:
    """The endpoints of all models. One thread only; the state of each outlives a change of the configuration."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic, random: Random | None = None):
        self._fleets: dict[str, Fleet] = {}
        self._clock = clock
        self._random = random or Random()  # noqa: S311 - it only spreads calls

    def of(self, model: Model) -> Fleet:
        """The endpoints of the model as it is configured."""
        fleet = self._fleets.get(model.name)
        if fleet is None or fleet.model is not model:
            fleet = self._fleets[model.name] = self._built(model, fleet)
        return fleet

    def _built(self, model: Model, before: Fleet | None) -> Fleet:
        known = dict(before.standings) if before is not None else {}
        found: dict[Any, Standing] = {}
        for endpoint in model.endpoints:
            key = (endpoint.url, endpoint.model, endpoint.api_key, endpoint.own_headers, endpoint.secured)
            standing = found[key] = known.get(key) or Standing(model.name, endpoint, Breaker(self._random))
            standing.endpoint = endpoint
        leaving = {key: standing for key, standing in known.items() if key not in found and standing.in_flight}
        budget = before.budget if before is not None else Budget()
        return Fleet(model, tuple(found.values()), found | leaving, budget, self._clock, self._random)


class Fleet:
    """The endpoints of one model."""

    __slots__ = ('_clock', '_members', '_only', '_random', 'budget', 'model', 'standings')

    def __init__(
        self,
        model: Model,
        members: tuple[Standing, ...],
        standings: dict[Any, Standing],
        budget: Budget,
        clock: Callable[[], float],
        random: Random,
    ):
        self.model = model
        self.standings = standings
        """Of those that are configured, and of others while calls are in flight there: they may come back."""
        self.budget = budget
        self._members = members
        self._only = members[0] if len(members) == 1 else None
        self._clock = clock
        self._random = random

    def turn(self, asked: Collection[Standing] = ()) -> Turn | None:
        """A place for one call, at one that was not `asked` yet if there is any; None when `why_not` says why."""
        standing = self._only
        if standing is None:
            standing = self._chosen(asked)
        elif standing.is_full or (standing.breaker.is_down and not standing.is_fit(self._clock())):
            standing = None
        return None if standing is None else Turn(standing, self._clock)

    def why_not(self) -> UpstreamError:
        """Why no endpoint takes a call now."""
        if all(standing.breaker.is_down for standing in self._members):
            until = min(standing.rests_until for standing in self._members)
            return NoHealthyEndpoint(until - self._clock())
        return AllBusy()

    def _chosen(self, asked: Collection[Standing]) -> Standing | None:
        now = self._clock()
        fit = [standing for standing in self._members if standing.is_fit(now)]
        for among in ([standing for standing in fit if standing not in asked], fit):
            free = [standing for standing in among if not standing.is_full]
            if free:
                least = min(standing.load for standing in free)
                idlest = [standing for standing in free if standing.load == least]
                return self._random.choices(idlest, [standing.endpoint.weight for standing in idlest])[0]
        if fit:
            return None
        if all(standing.breaker.is_down for standing in self._members):
            return None
        free = [standing for standing in self._members if not standing.is_full]
        fresh = [standing for standing in free if standing not in asked]
        return min(fresh or free, key=lambda standing: standing.rests_until, default=None)


class Standing:
    """How one endpoint of a model is."""

    __slots__ = ('breaker', 'busy_until', 'endpoint', 'in_flight', 'model')

    def __init__(self, model: str, endpoint: Endpoint, breaker: Breaker):
        self.model = model
        self.endpoint = endpoint
        self.breaker = breaker
        self.in_flight = 0
        self.busy_until = 0.0

    @property
    def load(self) -> float:
        return self.in_flight / self.endpoint.weight

    @property
    def is_full(self) -> bool:
        most = self.endpoint.concurrency
        return most is not None and self.in_flight >= most

    @property
    def rests_until(self) -> float:
        """When it is to be asked again; in the past if it may be now."""
        return max(self.breaker.rests_until, self.busy_until)

    def is_fit(self, now: float) -> bool:
        return self.busy_until <= now and self.breaker.lets_through(now)


class Turn:
    """The place of one call at an endpoint, from when it is made until `end`, which gives it back."""

    __slots__ = ('_clock', '_is_over', '_is_probe', 'endpoint', 'standing')

    def __init__(self, standing: Standing, clock: Callable[[], float]):
        self.standing = standing
        self.endpoint = standing.endpoint
        self._clock = clock
        self._is_over = False
        self._is_probe = bool(standing.breaker.rests_until) and standing.breaker.begin(clock())
        standing.in_flight += 1

    def answered(self) -> None:
        """The endpoint begins to answer with success."""
        if self._is_probe:
            self._is_probe = False
            self.standing.breaker.answered()

    def succeeded(self) -> None:
        """It answered well, or understood the call and refused it."""
        breaker = self.standing.breaker
        if not breaker.is_spotless:
            if breaker.rests_until or self._is_probe:
                log.info('an endpoint answers again', model=self.standing.model, endpoint=place_of(self.endpoint.url))
            self._is_probe = False
            breaker.succeeded()

    def failed(self, error: UpstreamError, retry_after_seconds: float | None) -> None:
        """It failed like that. One that is busy is left out for a while, but not suspected."""
        standing, now = self.standing, self._clock()
        if error.status == 429 or retry_after_seconds is not None:
            wanted = BUSY_SECONDS if retry_after_seconds is None else retry_after_seconds
            standing.busy_until = now + min(wanted, LONGEST_REST_SECONDS)
        if error.status == 429:
            return
        rest = standing.breaker.failed(now, is_probe=self._is_probe, is_unreachable=error.is_unreachable)
        self._is_probe = False
        if rest is not None:
            log.warning(
                'an endpoint failed repeatedly and is left out for a while',
                model=standing.model,
                endpoint=place_of(self.endpoint.url),
                seconds=round(rest, 1),
            )

    def end(self) -> None:
        """The call is over, or goes elsewhere. May be said twice."""
        if self._is_over:
            return
        self._is_over = True
        self.standing.in_flight -= 1
        if self._is_probe:
            self._is_probe = False
            self.standing.breaker.gave_up()
