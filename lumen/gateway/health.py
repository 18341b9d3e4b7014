"""What live calls tell of the health of endpoints, written down when it changes, for the pages of every process."""

from __future__ import annotations

import time
from concurrent.futures import Future

import structlog

from lumen.config.places import place_of
from lumen.database import Database
from lumen.records import health

log = structlog.get_logger()

ANSWERED = frozenset({'success', 'usage_missing'})
FAILED = frozenset({'upstream_error', 'upstream_error_midstream', 'timeout'})
BUSY = 429
SAID_AGAIN_SECONDS = 15.0
"""How often what did not change is said again: another process may have seen otherwise meanwhile."""


class HealthNotes:
    """Of one process. `saw` only queues, so it may be called from a `finally`."""

    def __init__(self, database: Database):
        self._database = database
        self._last: dict[tuple[str, str], tuple[bool, float]] = {}

    def saw(self, model: str, url: str, outcome: str, status: int) -> None:
        """Take in how a call ended. What was the caller's doing, or ours, or only a busy server, says nothing."""
        healthy = _is_healthy(outcome, status)
        if healthy is None:
            return
        key, now = (model, place_of(url)), time.monotonic()
        before, said_at = self._last.get(key, (None, 0.0))
        if before is healthy and now < said_at + SAID_AGAIN_SECONDS:
            return
        self._last[key] = (healthy, now)
        try:
            written = self._database.submit(health.note, *key, healthy, '' if healthy else f'{outcome} {status}')
        except RuntimeError:
            return  # the database is closed: this process ends
        written.add_done_callback(_say_if_failed)


def _is_healthy(outcome: str, status: int) -> bool | None:
    if outcome in ANSWERED:
        return True
    if outcome not in FAILED or status == BUSY:
        return None
    return status < 500  # a model server that refuses a request has understood it


def _say_if_failed(written: Future[None]) -> None:
    if (error := written.exception()) is not None:
        log.error('the health of an endpoint could not be written down', error=str(error))
