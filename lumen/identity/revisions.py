"""Numbers that grow with every change, so that other processes know when to empty their caches."""

from __future__ import annotations

import models

KEYS = 'keys'
ACCOUNTS = 'accounts'


def bump(topic: str) -> None:
    """Within a write: say that something of `topic` changed."""
    models.Revision.insert(topic=topic, number=1).on_conflict(
        conflict_target=[models.Revision.topic], update={models.Revision.number: models.Revision.number + 1}
    ).execute()


def numbers() -> dict[str, int]:
    """Within a read: the present number of every topic that ever changed."""
    return {row.topic: row.number for row in models.Revision.select()}
