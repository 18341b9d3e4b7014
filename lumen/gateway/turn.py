"""The place of one call at an endpoint, and what its end tells of that endpoint."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import structlog

from lumen.config.endpoint import Endpoint
from lumen.config.places import place_of
from lumen.gateway.breaker import LONGEST_REST_SECONDS, Breaker
from lumen.gateway.errors import UpstreamError

log = structlog.get_logger()

BUSY_SECONDS = 1.0
"""How long an endpoint that has too many requests is left out when it does not say for how long."""


class Told(Protocol):
    """Who is told what becomes of breakers, which must not take any time."""

    def opened(self, standing: Standing, rest_seconds: float) -> None: ...

    def closed(self, standing: Standing) -> None: ...

    def gave_up(self, standing: Standing, claimed: int) -> None:
        """One that was claimed may be tried by others, whatever was found out."""


class Standing:
    """How one endpoint of a model is. `place` is what the database calls it."""

    __slots__ = ('breaker', 'busy_until', 'endpoint', 'in_flight', 'model', 'place')

    def __init__(self, model: str, endpoint: Endpoint, breaker: Breaker):
        self.model = model
        self.endpoint = endpoint
        self.place = place_of(endpoint.url)
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
    """The place of one call at an endpoint, from when it is made until `end`, which gives it back.

    `is_trial` is whether it finds out how an endpoint is that rested. Before that is asked it must be `claimed` (what
    `breakers.claim` returned), or `denied`. A probe is no call, and takes no place.
    """

    __slots__ = ('_clock', '_is_over', '_places', '_told', 'claimed', 'endpoint', 'is_trial', 'standing')

    def __init__(self, standing: Standing, told: Told | None, clock: Callable[[], float], *, places: int = 1):
        self.standing = standing
        self.endpoint = standing.endpoint
        self.claimed: int | None = None
        self.is_trial = bool(standing.breaker.rests_until) and standing.breaker.begin(clock())
        self._told = told
        self._clock = clock
        self._is_over = False
        self._places = places
        standing.in_flight += places

    def denied(self, seconds: float) -> None:
        """Another process finds out. It is to be asked again after so long."""
        self.is_trial = False
        self.standing.breaker.postpone(self._clock() + seconds)
        self.end()

    def answered(self) -> None:
        """The endpoint begins to answer with success."""
        if self.is_trial:
            self.standing.breaker.answered()
            self._say_it_is_well()

    def succeeded(self) -> None:
        """It answered well, or understood the call and refused it."""
        breaker = self.standing.breaker
        if not breaker.is_spotless:
            rested = bool(breaker.rests_until)
            breaker.succeeded()
            if rested or self.is_trial:
                self._say_it_is_well()

    def failed(self, error: UpstreamError, retry_after_seconds: float | None) -> None:
        """It failed like that. One that is busy is left out for a while, but not suspected."""
        standing, now = self.standing, self._clock()
        if error.status == 429 or retry_after_seconds is not None:
            wanted = BUSY_SECONDS if retry_after_seconds is None else retry_after_seconds
            standing.busy_until = now + min(wanted, LONGEST_REST_SECONDS)
        if error.status == 429:
            return
        rest = standing.breaker.failed(now, is_probe=self.is_trial, is_unreachable=error.is_unreachable)
        self.is_trial = False
        if rest is None:
            return
        log.warning(
            'an endpoint failed repeatedly and is left out for a while',
            model=standing.model,
            endpoint=place_of(self.endpoint.url),
            seconds=round(rest, 1),
        )
        self.claimed = None
        if self._told is not None:
            self._told.opened(standing, rest)

    def end(self) -> None:
        """The call is over, or goes elsewhere. May be said twice."""
        if self._is_over:
            return
        self._is_over = True
        self.standing.in_flight -= self._places
        if self.is_trial:
            self.is_trial = False
            self.standing.breaker.gave_up()
        if self.claimed is not None and self._told is not None:
            self._told.gave_up(self.standing, self.claimed)

    def _say_it_is_well(self) -> None:
        self.is_trial, self.claimed = False, None
        log.info('an endpoint answers again', model=self.standing.model, endpoint=place_of(self.endpoint.url))
        if self._told is not None:
            self._told.closed(self.standing)
