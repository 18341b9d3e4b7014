"""The audit: who did what, when, with what was before and after. Written in the transaction of the change itself."""

from __future__ import annotations

import json
from collections.abc import Mapping

import models
from lumen.bulk import Row
from lumen.database import now
from lumen.identity.permissions import Person

Value = str | int | bool | None

COLUMNS = ('at', 'actor', 'actor_account_id', 'via', 'action', 'account_id', 'subject', 'before', 'after')
NOTHING = '{}'

_as_json = json.JSONEncoder(ensure_ascii=False).encode


def record(
    person: Person,
    action: str,
    *,
    account_id: int | None,
    subject: str,
    before: Mapping[str, Value] | None = None,
    after: Mapping[str, Value] | None = None,
) -> None:
    """Within a write: note what `person` did. Never hand over a secret."""
    values = row(person, action, now(), account_id=account_id, subject=subject, before=before, after=after)
    models.AuditEvent.create(**dict(zip(COLUMNS, values, strict=True)))


def row(
    person: Person,
    action: str,
    at: int,
    *,
    account_id: int | None,
    subject: str,
    before: Mapping[str, Value] | None = None,
    after: Mapping[str, Value] | None = None,
) -> Row:
    """An event at a moment of its own, as a row of `COLUMNS`."""
    return (
        at,
        person.label,
        person.account_id,
        person.via,
        action,
        account_id,
        subject,
        _as_json(before) if before else NOTHING,
        _as_json(after) if after else NOTHING,
    )
