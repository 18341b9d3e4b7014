"""Coin pools: opening an account's, refilling it, and saying what it holds.

A refill is worked out when a pool is read or charged. What time brings below one nanocoin is kept as a remainder in
units of 1/3,600,000,000 nanocoin (refresh is per hour, time is in microseconds), so frequent touching loses nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import models
from lumen.coins import MAX_NANOCOINS
from lumen.config.settings import Pool, Settings
from lumen.database import now

HOUR_US = 3_600_000_000


class Refill(NamedTuple):
    """What time did to a pool: the new balance, what was added, and where the next refill starts."""

    balance: int
    accrued: int
    remainder: int
    touched_at: int


@dataclass(frozen=True, slots=True)
class PoolState:
    """A pool for people to read, in nanocoins, accrued to the moment of asking.

    `balance` includes held coins; `available` does not; both are None for an unlimited pool. `full_at` is microseconds
    since the epoch, None when the pool is full, unlimited or never fills.
    """

    balance: int | None
    held: int
    available: int | None
    maximum: int | None
    refresh: int
    spent: int
    unlimited: bool
    none: bool
    full_at: int | None


def new_account(kind: str, handle: str, name: str, email: str, created_by: str, *, settings: Settings) -> int:
    """Insert an account with its starting grant; return its id. Raises peewee.IntegrityError for a taken handle."""
    moment = now()
    pool = settings.pool(kind, handle)
    account = models.Account.create(
        kind=kind,
        handle=handle,
        name=name,
        email=email,
        created_at=moment,
        created_by=created_by,
        touched_at=moment,
        balance=pool.starting,
        granted=pool.starting,
    )
    return int(account.id)


def refill(*, balance: int, touched_at: int, remainder: int, pool: Pool, moment: int, brought_in: int = 0) -> Refill:
    """`min(max, balance + refresh x hours)` to the nanocoin; time that runs backwards counts as none.

    `brought_in` is what was granted and accrued so far: a pool that took in as much as 64 bits count refills no more.
    """
    if moment <= touched_at:
        return Refill(balance, 0, remainder, touched_at)
    if pool.max is None:
        return Refill(balance, 0, 0, moment)
    full = min(pool.max, balance + MAX_NANOCOINS - brought_in)
    if balance >= full:
        return Refill(balance, 0, 0, moment)
    accrued, remainder = divmod(pool.refresh * (moment - touched_at) + remainder, HOUR_US)
    if balance + accrued >= full:
        return Refill(full, full - balance, 0, moment)
    return Refill(balance + accrued, accrued, remainder, moment)


def state(account: models.Account, pool: Pool, moment: int) -> PoolState:
    """What `account`'s pool holds at `moment` (microseconds since the epoch)."""
    refilled = refill(
        balance=account.balance,
        touched_at=account.touched_at,
        remainder=account.refill_remainder,
        pool=pool,
        moment=moment,
        brought_in=account.granted + account.accrued,
    )
    return PoolState(
        balance=None if pool.is_unlimited else refilled.balance,
        held=account.held,
        available=None if pool.is_unlimited else refilled.balance - account.held,
        maximum=pool.max,
        refresh=pool.refresh,
        spent=account.spent,
        unlimited=pool.is_unlimited,
        none=pool.is_none,
        full_at=_full_at(refilled, pool),
    )


def microseconds_until(amount: int, refresh: int, remainder: int = 0) -> int:
    """How long a refill of `refresh` nanocoins per hour takes to bring `amount` whole nanocoins, rounded up."""
    return max(0, -((remainder - amount * HOUR_US) // refresh))


def _full_at(refilled: Refill, pool: Pool) -> int | None:
    if pool.max is None or pool.refresh == 0 or refilled.balance >= pool.max:
        return None
    return refilled.touched_at + microseconds_until(pool.max - refilled.balance, pool.refresh, refilled.remainder)
