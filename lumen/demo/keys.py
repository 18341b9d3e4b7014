"""The keys of one client: when each could be used, and which were revoked or expired. Nobody knows any of them."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from lumen.demo import names
from lumen.demo.people import Staff
from lumen.demo.plan import Planned
from lumen.demo.rhythm import Rhythm
from lumen.demo.wish import DAY_US, MINUTE_US, Wish
from lumen.identity import keys
from lumen.identity.permissions import Person
from lumen.ledger.past import PastKey

LIFETIMES_DAYS = (30, 90, 90, 365)
FIRST_USE_US = 3 * MINUTE_US
"""Nothing is called with a key right after it was made; longer than any call takes."""


@dataclass(frozen=True, slots=True)
class PlannedKey:
    """A key that has no id yet, who made it, and when it could be used: never unless `start` is before `end`."""

    key: PastKey
    maker: Person
    start: int
    end: int


def plan_keys(random: Random, planned: Planned, staff: Staff, office: Rhythm, wish: Wish) -> list[PlannedKey]:
    """The keys in the order of their making. One of a client that makes requests works for as long as the client does.

    Of a client that runs dry that is the newest, of others the oldest.
    """
    end = planned.end(wish)
    span = (end - planned.created_at) // 2
    first = office.one(random, planned.created_at + MINUTE_US, planned.created_at + min(3 * DAY_US, span))
    count = _count(random, planned.calls)
    moments = [first, *sorted(office.one(random, first, end - 10 * MINUTE_US) for _ in range(count - 1))][:count]
    main = count - 1 if planned.is_exhausted else 0
    return [
        _planned_key(random, created_at, staff.any_at(random, created_at), end, office, wish, is_main=number == main)
        for number, created_at in enumerate(moments)
    ]


def _count(random: Random, requests: int) -> int:
    if not requests:
        return int(random.random() < 0.7)
    return 1 + sum(random.random() < 0.6 for limit in (20, 100, 500, 2000, 10_000) if requests > limit)


def _planned_key(
    random: Random, created_at: int, maker: Person, end: int, office: Rhythm, wish: Wish, *, is_main: bool
) -> PlannedKey:
    characters = ''.join(random.choices(keys.ALPHABET, k=8))
    key = PastKey(
        id=0,
        name=random.choice(names.KEYS),
        digest=f'{random.getrandbits(256):064x}',  # the HMAC of no key that anybody could find
        hint=keys.hint(keys.PREFIX + characters),
        created_at=created_at,
        created_by=maker.label,
    )
    if not is_main:
        if random.random() < 0.3:
            key.expires_at = created_at + random.choice(LIFETIMES_DAYS) * DAY_US
        if random.random() < 0.25:
            key.revoked_at = office.one(random, created_at + MINUTE_US, wish.end - MINUTE_US)
    ends = [moment for moment in (end, key.expires_at, key.revoked_at) if moment is not None]
    return PlannedKey(key, maker, max(created_at + FIRST_USE_US, wish.start), min(ends))


def moments(random: Random, planned: Planned, keys: list[PlannedKey], rhythm: Rhythm) -> list[tuple[int, PastKey]]:
    """When the client's requests were settled, each with its key, in the order of time."""
    usable = [key for key in keys if key.start < key.end]
    shares = [random.random() * (key.end - key.start) for key in usable]
    total, so_far, shared = sum(shares), 0.0, 0
    found: list[tuple[int, PastKey]] = []
    for key, share in zip(usable, shares, strict=True):
        so_far += share
        upto = planned.calls if key is usable[-1] else int(planned.calls * so_far / total)
        found += [(moment, key.key) for moment in rhythm.many(random, upto - shared, key.start, key.end)]
        shared = upto
    if planned.is_exhausted:
        last = keys[-1]
        found[-1] = (random.randrange(max(last.start, last.end - 40 * MINUTE_US), last.end), last.key)
    found.sort(key=lambda call: call[0])
    return found
