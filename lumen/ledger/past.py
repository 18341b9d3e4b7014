"""Accounts and keys as their past made them: calls settled by the rules of the ledger, at moments long gone.

Nothing is written here; `imported.py` does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from lumen.bulk import Row
from lumen.coins import Price
from lumen.config.settings import Pool
from lumen.ledger.pools import refill


@dataclass(slots=True)
class PastKey:
    """A key and what was used with it. Times are microseconds since the epoch."""

    id: int
    name: str
    digest: str
    hint: str
    created_at: int
    created_by: str
    expires_at: int | None = None
    revoked_at: int | None = None
    last_used_at: int | None = None
    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    spent: int = 0


class PastCall(NamedTuple):
    """How one call went; see `models.Request` for the units."""

    request_id: str
    model: str
    price: Price
    endpoint: str
    outcome: str
    status: int
    streamed: bool
    input_tokens: int
    output_tokens: int
    estimated: bool
    started_at: int
    settled_at: int
    duration_us: int
    time_to_first_byte_us: int | None


@dataclass(slots=True)
class PastAccount:
    """An account from its starting grant on. Its calls must be settled in the order of time."""

    id: int
    kind: str
    handle: str
    name: str
    email: str
    created_at: int
    created_by: str
    pool: Pool
    active: bool = True
    balance: int = 0
    granted: int = 0
    accrued: int = 0
    spent: int = 0
    spent_unlimited: int = 0
    touched_at: int = 0
    refill_remainder: int = 0
    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0

    def __post_init__(self) -> None:
        self.balance = self.granted = self.pool.starting
        self.touched_at = self.created_at

    def available_at(self, moment: int) -> int | None:
        """What the pool could pay at `moment`, refilled until then; None when it is unlimited."""
        if self.pool.max is None:
            return None
        if moment > self.touched_at:
            refilled = refill(
                balance=self.balance,
                touched_at=self.touched_at,
                remainder=self.refill_remainder,
                pool=self.pool,
                moment=moment,
            )
            self.balance = refilled.balance
            self.accrued += refilled.accrued
            self.refill_remainder = refilled.remainder
            self.touched_at = refilled.touched_at
        return self.balance

    def adjust(self, nanocoins: int) -> None:
        """Give (or, when negative, take) coins by hand. Never takes more than there are."""
        nanocoins = max(nanocoins, -self.balance)
        self.balance += nanocoins
        self.granted += nanocoins

    def settle(self, key: PastKey, call: PastCall) -> Row:
        """Charge `call`, which `key` made, and return its row. What the pool cannot pay is its shortfall."""
        moment = call.settled_at
        available = self.available_at(moment)
        due = call.price.cost(call.input_tokens, call.output_tokens)
        if available is None:
            cost = due
            self.spent_unlimited += cost
            self.touched_at = moment
        else:
            cost = min(due, available)
            self.balance -= cost
        self.spent += cost
        self.requests += 1
        self.input_tokens += call.input_tokens
        self.output_tokens += call.output_tokens
        key.spent += cost
        key.requests += 1
        key.input_tokens += call.input_tokens
        key.output_tokens += call.output_tokens
        key.last_used_at = moment
        return (
            call.request_id,
            self.id,
            key.id,
            call.model,
            call.endpoint,
            call.outcome,
            call.status,
            call.streamed,
            call.input_tokens,
            call.output_tokens,
            call.estimated,
            cost,
            due - cost,
            call.started_at,
            moment,
            call.duration_us,
            call.time_to_first_byte_us,
        )
