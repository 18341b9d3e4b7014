"""Charging what a call did cost and freeing the rest of its hold: one transaction for every figure that it moves."""

from __future__ import annotations

from dataclasses import dataclass

from lumen.coins import Price
from lumen.config.settings import Settings
from lumen.database import now
from lumen.ledger import statements
from lumen.ledger.pools import HOUR_US, refill


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a call ended. Tokens are those of the whole call; `estimated` when the model server did not report them."""

    outcome: str
    status: int
    input_tokens: int
    output_tokens: int
    estimated: bool
    endpoint: str
    duration_us: int
    time_to_first_byte_us: int | None = None


@dataclass(frozen=True, slots=True)
class Settled:
    """Nanocoins charged, and those that the pool could not pay."""

    cost: int
    shortfall: int


def settle(request_id: str, outcome: Outcome, *, settings: Settings) -> Settled:
    """Charge the held call `request_id` and write it down. Settling twice charges once.

    A call that cost more than its hold takes from what is available besides; what even that cannot pay is the
    shortfall, recorded on the request. The balance never goes below zero.
    """
    moment = now()
    row = statements.run(statements.HELD, (request_id,)).fetchone()
    if row is None:
        recorded = statements.run(statements.RECORDED, (request_id,)).fetchone()
        return Settled(*recorded) if recorded else Settled(0, 0)
    (hold_id, account_id, key_id, model, amount, unlimited, input_price, output_price, streamed, started_at) = row[:10]
    kind, handle, balance, held, touched_at, remainder = row[10:]
    refilled = refill(
        balance=balance,
        touched_at=touched_at,
        remainder=remainder,
        pool=settings.pool(kind, handle),
        moment=moment,
    )
    input_tokens, output_tokens = outcome.input_tokens, outcome.output_tokens
    due = Price(input_price, output_price).cost(input_tokens, output_tokens)
    cost = due if unlimited else min(due, amount + refilled.balance - held)
    paid_from_pool = 0 if unlimited else cost
    statements.run(statements.FREE, (hold_id,))
    statements.run(
        statements.CHARGE,
        (
            refilled.balance - paid_from_pool,
            refilled.accrued,
            refilled.touched_at,
            refilled.remainder,
            amount,
            cost,
            cost - paid_from_pool,
            input_tokens,
            output_tokens,
            account_id,
        ),
    )
    statements.run(statements.COUNT_KEY, (cost, input_tokens, output_tokens, moment, key_id))
    statements.run(
        statements.COUNT_HOUR,
        (
            account_id,
            key_id,
            model,
            outcome.outcome,
            moment // HOUR_US,
            input_tokens,
            output_tokens,
            cost,
            moment,
        ),
    )
    statements.run(
        statements.RECORD,
        (
            request_id,
            account_id,
            key_id,
            model,
            outcome.endpoint,
            outcome.outcome,
            outcome.status,
            bool(streamed),
            input_tokens,
            output_tokens,
            outcome.estimated,
            cost,
            due - cost,
            started_at,
            moment,
            outcome.duration_us,
            outcome.time_to_first_byte_us,
        ),
    )
    return Settled(cost, due - cost)
