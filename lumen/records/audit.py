"""The audit: who did what, when, with what was before and after. Written in the transaction of the change itself."""

from __future__ import annotations

import json
from collections.abc import Mapping

import models
from lumen.database import now
from lumen.identity.permissions import Person

Value = str | int | bool | None


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
    models.AuditEvent.create(
        at=now(),
        actor=person.label,
        actor_account=person.account_id,
        via=person.via,
        action=action,
        account=account_id,
        subject=subject,
        before=json.dumps(before or {}, ensure_ascii=False),
        after=json.dumps(after or {}, ensure_ascii=False),
    )
