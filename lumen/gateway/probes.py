"""Endpoints are asked from time to time whether they work: by one process at a time, and with no call."""

from __future__ import annotations

import asyncio
import time
from random import Random

import structlog

from lumen.config.places import place_of
from lumen.gateway.breaker import FAILURES
from lumen.gateway.endpoints import Endpoints, Fleet
from lumen.gateway.errors import UpstreamError, UpstreamTimeout
from lumen.gateway.health import HealthNotes
from lumen.gateway.shared_breakers import POLL_SECONDS, Telling
from lumen.gateway.turn import Standing, Turn
from lumen.gateway.upstream import Upstream
from lumen.ledger.ledger import SettingsSource

log = structlog.get_logger()

JITTER = 0.2
"""Intervals differ by so much in either direction, so that endpoints and processes do not keep step."""

UNTRIED = 0.75
"""One that was tried within so much of its interval, by any process, is not asked again."""

FIRST_SECONDS = 3.0
"""So soon after the start of a process all have had their turn."""


DOUBT_SECONDS = 1.0
"""So soon one that failed is asked again, until it rests or has failed as often as makes one rest."""


class Plan:
    """When an endpoint is asked next: `due`, or when a rest is over after which it was not asked yet."""

    __slots__ = ('after_rest', 'doubts', 'due', 'task')

    def __init__(self, due: float):
        self.due = due
        self.after_rest = 0.0
        self.doubts = 0
        """How often in a row it failed and did not rest after that."""
        self.task: asyncio.Task[None] | None = None


class Probes:
    """Of one process, on one event loop."""

    def __init__(
        self,
        configuration: SettingsSource,
        upstream: Upstream,
        endpoints: Endpoints,
        telling: Telling,
        notes: HealthNotes,
        random: Random | None = None,
    ):
        self._configuration = configuration
        self._upstream = upstream
        self._endpoints = endpoints
        self._telling = telling
        self._notes = notes
        self._random = random or Random()  # noqa: S311 - it only spreads probes
        self._plans: dict[Standing, Plan] = {}

    async def watch(self) -> None:
        """Ask those that are due, until cancelled."""
        try:
            while True:
                self.begin(time.monotonic())
                await asyncio.sleep(POLL_SECONDS)
        finally:
            for plan in self._plans.values():
                if plan.task is not None:
                    plan.task.cancel()

    def begin(self, now: float) -> None:
        """Begin to ask those that are due at `now`. Who left the configuration, or is disabled, is not asked."""
        plans: dict[Standing, Plan] = {}
        for model in self._configuration.current.models:
            if model.disabled:
                continue
            fleet = self._endpoints.of(model)
            for standing in fleet.members:
                if (url := standing.endpoint.probe_url) is not None:
                    plan = plans[standing] = self._plans.get(standing) or self._first(standing, now)
                    if plan.task is None and _is_due(standing, plan, now):
                        plan.task = asyncio.create_task(self._see_to(fleet, standing, plan, url))
        self._plans = plans

    def _first(self, standing: Standing, now: float) -> Plan:
        most = min(FIRST_SECONDS, standing.endpoint.probe.interval_seconds)
        return Plan(now + self._random.uniform(0, most))

    async def _see_to(self, fleet: Fleet, standing: Standing, plan: Plan, url: str) -> None:
        plan.after_rest = standing.breaker.rests_until
        turn = fleet.probe(standing)
        has_failed = False
        try:
            has_failed = await self._claimed(turn, plan) and await self._fails(turn, url)
        except Exception:
            log.exception('an endpoint could not be probed')
        finally:
            turn.end()
            plan.task = None
        plan.doubts = plan.doubts + 1 if has_failed and not standing.breaker.rests_until else 0
        is_doubted = 0 < plan.doubts < FAILURES
        seconds = DOUBT_SECONDS if is_doubted else standing.endpoint.probe.interval_seconds
        plan.due = time.monotonic() + seconds * self._random.uniform(1 - JITTER, 1 + JITTER)

    async def _claimed(self, turn: Turn, plan: Plan) -> bool:
        probe = turn.endpoint.probe
        untried = 0.0 if turn.is_trial or plan.doubts else probe.interval_seconds * UNTRIED
        is_mine = await self._telling.claimed(turn, probe.timeout_seconds + 1, untried)
        if not is_mine and turn.is_trial:
            turn.denied(POLL_SECONDS)
        return is_mine

    async def _fails(self, turn: Turn, url: str) -> bool:
        """Ask, and tell what came of it. What answers neither well nor with a failure of its own says nothing."""
        standing = turn.standing
        try:
            async with asyncio.timeout(turn.endpoint.probe.timeout_seconds):
                status = await self._upstream.probe(turn.endpoint, url)
            if status >= 500:
                raise UpstreamError(f'The model server failed with status {status}.')
        except TimeoutError:
            self._failed(turn, UpstreamTimeout())
            return True
        except UpstreamError as error:
            self._failed(turn, error)
            return True
        if 200 <= status < 300:
            turn.answered()
            self._notes.found(standing.model, standing.place, True, '')
        return False

    def _failed(self, turn: Turn, error: UpstreamError) -> None:
        standing = turn.standing
        log.info('a probe failed', model=standing.model, endpoint=place_of(turn.endpoint.url), error=error.message)
        turn.failed(error, None)
        self._notes.found(standing.model, standing.place, False, f'probe {error.status}')


def _is_due(standing: Standing, plan: Plan, now: float) -> bool:
    rests_until = standing.breaker.rests_until
    if not rests_until:
        return plan.due <= now
    return standing.breaker.lets_through(now) and (plan.due <= now or plan.after_rest != rests_until)
