"""The calls that have an idempotency key, and the answers that are kept of them, which nobody here can read."""

from __future__ import annotations

from typing import NamedTuple

import models
from lumen.database import now
from lumen.ledger.known import untouched

KEPT_US = 24 * 3_600_000_000
LONGEST_START_US = 600_000_000
"""So long a call may wait for coins before anything of it is in the books."""

ANSWERED = ('success', 'usage_missing')


class Repeat(NamedTuple):
    """The first call with an idempotency key. `asked` is a fingerprint of what it asked for."""

    request_id: str
    asked: str
    has_ended: bool
    answer: bytes | None


def begin(name: str, key_id: int, request_id: str, asked: str) -> Repeat | None:
    """Within a write: begin a call unless one was begun under this name within a day. Returns that one."""
    row, moment = models.Repeat, now()
    found = row.get_or_none(row.name == name)
    if found is None or found.created_at < moment - KEPT_US or not _stands(found, moment):
        with untouched():
            if found is not None:  # and nothing that another process has put there since
                row.delete().where(row.name == name, row.request_id == found.request_id).execute()
            made = row.insert(name=name, key=key_id, request_id=request_id, asked=asked, created_at=moment)
            if made.on_conflict_ignore().as_rowcount().execute():
                return None
        found = row.get(row.name == name)  # another process was there just now
    answer = None if found.answer is None else bytes(found.answer)
    return Repeat(found.request_id, found.asked, bool(found.ended) or _has_run(found.request_id), answer)


def forget_old() -> None:
    """Within a write: forget what is older than a day."""
    with untouched():
        models.Repeat.delete().where(models.Repeat.created_at < now() - KEPT_US).execute()


def keep(name: str, request_id: str, answer: bytes) -> None:
    """Within a write: keep the answer of a call that ran."""
    row = models.Repeat
    with untouched():
        row.update(ended=True, answer=answer).where(row.name == name, row.request_id == request_id).execute()


def end(name: str, request_id: str) -> None:
    """Within a write: note that a call is over. One that came to nothing is forgotten, so that it may run."""
    row = models.Repeat
    mine = (row.name == name) & (row.request_id == request_id) & (row.ended == False)  # noqa: E712 - it is SQL
    has_run = _has_run(request_id)
    with untouched():
        if has_run:
            row.update(ended=True).where(mine).execute()
        else:
            row.delete().where(mine).execute()


def _stands(found: models.Repeat, moment: int) -> bool:
    """Whether the call ran, runs, or is about to: not when its process died before it had cost anything."""
    if found.ended or _has_run(found.request_id):
        return True
    is_settled = models.Request.select().where(models.Request.request_id == found.request_id).exists()
    is_held = models.Hold.select().where(models.Hold.request_id == found.request_id).exists()
    return not is_settled and (is_held or moment - found.created_at < LONGEST_START_US)


def _has_run(request_id: str) -> bool:
    """Whether it is settled as one that was answered or charged."""
    row = models.Request
    ran = row.outcome.in_(ANSWERED) | (row.cost > 0)
    return bool(row.select().where(row.request_id == request_id, ran).exists())
