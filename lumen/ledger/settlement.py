"""Charging what a call did cost and freeing the rest of its hold: one transaction for every figure that it moves."""

from __future__ import annotations

from dataclasses import dataclass

import structlog

from lumen.coins import MAX_NANOCOINS, Price
from lumen.config.settings import Settings
from lumen.database import now, refuses_first
from lumen.ledger import statements
from lumen.ledger.pools import HOUR_US, refill

log = structlog.get_logger()


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


@refuses_first
def settle(request_id: str, outcome: Outcome, *, settings: Settings) -> Settled:
    """Charge the held call `request_id` and write it down. Settling twice charges once.

    A call that cost more than its hold takes from what is available besides; what even that cannot pay is the
    shortfall, recorded on the request. The balance never goes below zero.

    It succeeds whatever was reported: what would not fit in the account's 64-bit totals is shortfall too, tokens that
    would not are not counted, and a shortfall is recorded up to 64 bits.
    """
    moment = now()
    row = statements.run(statements.HELD, (request_id,)).fetchone()
    if row is None:
        return _recorded(request_id, outcome)
    (hold_id, account_id, key_id, model, amount, unlimited, input_price, output_price, streamed, started_at) = row[:10]
    kind, handle, balance, held, touched_at, remainder, brought_in, spent, read, written = row[10:]
    refilled = refill(
        balance=balance,
        touched_at=touched_at,
        remainder=remainder,
        pool=settings.pool(kind, handle),
        moment=moment,
        brought_in=brought_in,
    )
    due = Price(input_price, output_price).cost(outcome.input_tokens, outcome.output_tokens)
    # Keys, hours and requests count parts of what the account counts: what fits there fits everywhere.
    countable = MAX_NANOCOINS - spent
    cost = min(due, countable if unlimited else min(countable, amount + refilled.balance - held))
    shortfall = min(due - cost, MAX_NANOCOINS)
    input_tokens = min(outcome.input_tokens, MAX_NANOCOINS - read)
    output_tokens = min(outcome.output_tokens, MAX_NANOCOINS - written)
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
            shortfall,
            started_at,
            moment,
            outcome.duration_us,
            outcome.time_to_first_byte_us,
        ),
    )
    return Settled(cost, shortfall)


def _recorded(request_id: str, outcome: Outcome) -> Settled:
    """What a call was charged that is settled already; nothing for one that was never held."""
    found = statements.run(statements.RECORDED, (request_id,)).fetchone()
    if found is None:
        return Settled(0, 0)
    cost, shortfall, recorded = found
    if recorded == 'interrupted' != outcome.outcome:
        log.error(
            'a call ended after it had been settled as interrupted: that estimate stands',
            request_id=request_id,
            outcome=outcome.outcome,
            input_tokens=outcome.input_tokens,
            output_tokens=outcome.output_tokens,
        )
    return Settled(cost, shortfall)
