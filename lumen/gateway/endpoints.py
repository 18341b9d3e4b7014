"""Which endpoint of a model is asked: the least busy of those that work, as far as this process knows."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from random import Random

from lumen.config.endpoint import Identity
from lumen.config.settings import Model
from lumen.gateway.breaker import Breaker
from lumen.gateway.errors import AllBusy, NoHealthyEndpoint, UpstreamError
from lumen.gateway.retries import Budget
from lumen.gateway.turn import Standing, Told, Turn


class Endpoints:
    """The endpoints of all models. One thread only; the state of each outlives a change of the configuration."""

    def __init__(
        self,
        told: Told | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        random: Random | None = None,
    ):
        self.fresh: Callable[[Standing], None] = lambda standing: None
        """Called with each endpoint of a model that was not known before."""
        self._fleets: dict[str, Fleet] = {}
        self._told = told
        self._clock = clock
        self._random = random or Random()  # noqa: S311 - it only spreads calls

    def of(self, model: Model) -> Fleet:
        """The endpoints of the model as it is configured."""
        fleet = self._fleets.get(model.name)
        if fleet is None or fleet.model is not model:
            fleet = self._fleets[model.name] = self._built(model, fleet)
        return fleet

    def known(self) -> dict[tuple[str, str], Standing]:
        """Those that are configured and were asked for, by model and place."""
        return {
            (standing.model, standing.place): standing for fleet in self._fleets.values() for standing in fleet.members
        }

    def _built(self, model: Model, before: Fleet | None) -> Fleet:
        known = dict(before.standings) if before is not None else {}
        found: dict[Identity, Standing] = {}
        for endpoint in model.endpoints:
            key = endpoint.identity
            standing = found[key] = known.get(key) or Standing(model.name, endpoint, Breaker(self._random))
            standing.endpoint = endpoint
            standing.place = model.places[key]
            if before is None:
                self.fresh(standing)
        leaving = {key: standing for key, standing in known.items() if key not in found and standing.in_flight}
        budget = before.budget if before is not None else Budget()
        return Fleet(model, tuple(found.values()), found | leaving, budget, self._told, self._clock, self._random)


class Fleet:
    """The endpoints of one model."""

    __slots__ = ('_clock', '_only', '_random', '_told', 'budget', 'members', 'model', 'standings')

    def __init__(
        self,
        model: Model,
        members: tuple[Standing, ...],
        standings: dict[Identity, Standing],
        budget: Budget,
        told: Told | None,
        clock: Callable[[], float],
        random: Random,
    ):
        self.model = model
        self.standings = standings
        """Of those that are configured, and of others while calls are in flight there: they may come back."""
        self.budget = budget
        self.members = members
        self._only = members[0] if len(members) == 1 else None
        self._told = told
        self._clock = clock
        self._random = random

    def turn(self, asked: Collection[Standing] = ()) -> Turn | None:
        """A place for one call, at one that was not `asked` yet if there is any; None when `why_not` says why."""
        standing = self._only
        if standing is None:
            standing = self._chosen(asked)
        elif standing.is_full or (standing.breaker.is_down and not standing.is_fit(self._clock())):
            standing = None
        return None if standing is None else Turn(standing, self._told, self._clock)

    def probe(self, standing: Standing) -> Turn:
        """The same for a question that is no call."""
        return Turn(standing, self._told, self._clock, places=0)

    def why_not(self) -> UpstreamError:
        """Why no endpoint takes a call now."""
        if all(standing.breaker.is_down for standing in self.members):
            until = min(standing.rests_until for standing in self.members)
            return NoHealthyEndpoint(until - self._clock())
        return AllBusy()

    def _chosen(self, asked: Collection[Standing]) -> Standing | None:
        now = self._clock()
        fit = [standing for standing in self.members if standing.is_fit(now)]
        for among in ([standing for standing in fit if standing not in asked], fit):
            free = [standing for standing in among if not standing.is_full]
            if free:
                least = min(standing.load for standing in free)
                idlest = [standing for standing in free if standing.load == least]
                return self._random.choices(idlest, [standing.endpoint.weight for standing in idlest])[0]
        if fit:
            return None
        if all(standing.breaker.is_down for standing in self.members):
            return None
        free = [standing for standing in self.members if not standing.is_full]
        fresh = [standing for standing in free if standing not in asked]
        return min(fresh or free, key=lambda standing: standing.rests_until, default=None)
