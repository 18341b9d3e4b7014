"""Transactions that got in each other's way: PostgreSQL takes one of them back as a whole, and it can be repeated.

After https://www.postgresql.org/docs/current/mvcc-serialization-failure-handling.html. At READ COMMITTED only deadlocks
do that; at REPEATABLE READ and SERIALIZABLE, and on engines that are always serializable, it is part of everyday life.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

CONFLICTS = ('40001', '40P01')
"""The SQLSTATEs of a serialization failure and of a deadlock, also when it is COMMIT that fails."""
REPETITIONS = 30
FIRST_SECONDS, LONGEST_SECONDS = 0.002, 0.2


def is_conflict(error: BaseException) -> bool:
    """Whether the transaction was taken back only because of another one: then nothing of it was done, for certain."""
    found: BaseException | None = error
    while found is not None:
        if getattr(found, 'sqlstate', None) in CONFLICTS:
            return True
        found = found.__cause__ or found.__context__
    return False


def pauses() -> Iterator[float]:
    """How many seconds to wait before each repetition; ends when it was repeated often enough.

    Chosen at random below a bound that doubles ("full jitter"), so that those who met once do not meet again.
    """
    for number in range(REPETITIONS):
        yield random.uniform(0, min(LONGEST_SECONDS, FIRST_SECONDS * 2**number))  # noqa: S311 - it keeps no secret
