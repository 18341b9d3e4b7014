"""Numbers that grow with every change, so that other processes know when to empty their caches."""

from __future__ import annotations

import models

KEYS = 'keys'
ACCOUNTS = 'accounts'
HEALTH = 'health'


def bump(topic: str) -> None:
    """Within a write: say that something of `topic` changed."""
    models.Revision.insert(topic=topic, number=1).on_conflict(
        conflict_target=[models.Revision.topic], update={models.Revision.number: models.Revision.number + 1}
    ).execute()


def number(topic: str) -> int:
    """Within a read: how often something of `topic` changed."""
    row = models.Revision.get_or_none(models.Revision.topic == topic)
    return 0 if row is None else int(row.number)


def numbers() -> dict[str, int]:
    """Within a read: the present number of every topic that decides what a key opens, if it ever changed."""
    row = models.Revision
    return {found.topic: found.number for found in row.select().where(row.topic.in_((KEYS, ACCOUNTS)))}
