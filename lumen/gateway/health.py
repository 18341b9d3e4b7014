"""What live calls and probes tell of the health of endpoints, written down when it changes, for every process."""

from __future__ import annotations

from concurrent.futures import Future

import structlog

from lumen.database import Database
from lumen.records import health
from lumen.records.health import Place

log = structlog.get_logger()

ANSWERED = frozenset({'success', 'usage_missing'})
FAILED = frozenset({'upstream_error', 'upstream_error_midstream', 'timeout'})
BUSY = 429


class HealthNotes:
    """Of one process. `saw` and `found` only queue, so they may be called from a `finally`."""

    def __init__(self, database: Database):
        self._database = database
        self._last: dict[Place, bool] = {}

    def saw(self, model: str, place: str, outcome: str, status: int) -> None:
        """Take in how a call ended. What was the caller's doing, or ours, or only a busy server, says nothing."""
        healthy = _is_healthy(outcome, status)
        if healthy is not None and self._last.get((model, place)) is not healthy:
            self.found(model, place, healthy, '' if healthy else f'{outcome} {status}')

    def found(self, model: str, place: str, healthy: bool, detail: str) -> None:
        """Take in how an endpoint is. Nothing is written that is known already."""
        key = model, place
        if self._last.get(key) is healthy:
            return
        self._last[key] = healthy
        try:
            written = self._database.submit(health.note, *key, healthy, detail)
        except RuntimeError:
            return  # the database is closed: this process ends

        def say_again_if_failed(written: Future[None]) -> None:
            if (error := written.exception()) is not None:
                self._last.pop(key, None)
                log.error('the health of an endpoint could not be written down', error=str(error))

        written.add_done_callback(say_again_if_failed)

    def learn(self, model: str, place: str, healthy: bool) -> None:
        """Take in what is written down, maybe by another process: what is seen otherwise is said again."""
        self._last[model, place] = healthy


def _is_healthy(outcome: str, status: int) -> bool | None:
    if outcome in ANSWERED:
        return True
    if outcome not in FAILED or status == BUSY:
        return None
    return status < 500  # a model server that refuses a request has understood it
