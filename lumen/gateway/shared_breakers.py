"""What processes tell each other of endpoints that rest, through the database."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import structlog

from lumen.database import Database
from lumen.errors import LumenError
from lumen.gateway.endpoints import Endpoints
from lumen.gateway.health import HealthNotes
from lumen.gateway.turn import Standing, Turn
from lumen.records import breakers
from lumen.records.breakers import Known
from lumen.records.health import Place
from lumen.waking import Patience

log = structlog.get_logger()

POLL_SECONDS = 0.5
CLAIMED_WITHIN_SECONDS = 2.0
"""So long a trial waits for the database, and then begins without it."""

LONGEST_LEASE_SECONDS = 30.0
"""One process tries an endpoint at most for so long before another may: it may have died."""

MICROSECONDS = 1_000_000


class Telling:
    """What this process tells the others. Nothing of it waits, but for `claimed`."""

    def __init__(self, database: Database):
        self.told: dict[Place, Future[int | None]] = {}
        """What was told last of each endpoint, which is known to the others once that is done."""
        self._database = database
        self._patience = Patience(CLAIMED_WITHIN_SECONDS)

    async def claimed(self, turn: Turn, seconds: float, untried_seconds: float = 0.0) -> bool:
        """Whether this process is the one that tries the endpoint of `turn`, within so many seconds.

        While the database does not answer, each process finds out for itself.
        """
        standing, lease = turn.standing, min(seconds, LONGEST_LEASE_SECONDS)
        times = int(lease * MICROSECONDS), int(untried_seconds * MICROSECONDS)
        try:
            asked = self._database.submit(breakers.claim, standing.model, standing.place, *times)
            turn.claimed = await self._patience.awaitable(asked)
        except (LumenError, TimeoutError, RuntimeError) as error:
            log.warning('an endpoint is tried though the database does not answer', error=repr(error))
            return True
        return turn.claimed is not None

    def opened(self, standing: Standing, rest_seconds: float) -> None:
        rest_us = int(rest_seconds * MICROSECONDS)
        self._tell(standing, breakers.opened, rest_us, standing.breaker.is_down)

    def closed(self, standing: Standing) -> None:
        self._tell(standing, breakers.closed)

    def gave_up(self, standing: Standing, claimed: int) -> None:
        self._tell(standing, breakers.give_up, claimed)

    def _tell(self, standing: Standing, call: Callable[..., int | None], *what: Any) -> None:
        place = standing.model, standing.place
        try:
            told = self.told[place] = self._database.submit(call, *place, *what)
        except RuntimeError:
            return  # the database is closed: this process ends
        told.add_done_callback(_say_if_failed)

    def has_told(self, place: Place, rests_until: int) -> bool:
        """Whether this rest is one that this process told of."""
        told = self.told.get(place)
        return told is not None and told.done() and told.exception() is None and told.result() == rests_until


class Learning:
    """What this process learns from the others, within POLL_SECONDS and the time of a read."""

    def __init__(self, database: Database, endpoints: Endpoints, telling: Telling, notes: HealthNotes):
        self._database = database
        self._telling = telling
        self._endpoints = endpoints
        self._notes = notes
        self._number = -1
        self._known: dict[Place, Known] = {}
        self._read_at = 0.0
        endpoints.fresh = self._fresh

    async def watch(self) -> None:
        """Look until cancelled."""
        while True:
            try:
                await self.look()
            except LumenError:
                pass  # that the database does not answer is said by who looks after keys
            except Exception:
                log.exception('what other processes know of endpoints cannot be read')
            await asyncio.sleep(POLL_SECONDS)

    async def look(self) -> None:
        """Take in what changed since the last look."""
        told = dict(self._telling.told)
        untold = {place for place, future in told.items() if not future.done()}
        found = await self._database.read(breakers.look, self._number)
        if found is None:
            return
        self._number, self._read_at = found.number, time.monotonic()
        for place, known in found.known.items():
            if place in untold or self._telling.told.get(place) is not told.get(place):
                self._number = -1  # this is from before what this process tells: look again
            else:
                self._take_in(place, known)

    def _take_in(self, place: Place, known: Known) -> None:
        before, self._known[place] = self._known.get(place), known
        if known.healthy is not None:
            self._notes.learn(*place, known.healthy)
        is_news = known.rests_until != (before.rests_until if before is not None else 0)
        if is_news and not self._telling.has_told(place, known.rests_until):
            standing = self._endpoints.known().get(place)
            if standing is not None:
                self._set(standing, known)

    def _fresh(self, standing: Standing) -> None:
        known = self._known.get((standing.model, standing.place))
        if known is not None and known.rests_until:
            self._set(standing, known)

    def _set(self, standing: Standing, known: Known) -> None:
        breaker, now = standing.breaker, time.monotonic()
        if known.rest_us is not None:
            seconds = known.rest_us / MICROSECONDS - (now - self._read_at)
            breaker.rest(now, seconds, is_unreachable=known.is_unreachable)
        elif breaker.rests_until:
            breaker.answered()


def _say_if_failed(written: Future[int | None]) -> None:
    if (error := written.exception()) is not None:
        log.error('other processes could not be told how an endpoint is', error=str(error))
