"""Charging what a call did cost and freeing the rest of its hold: one transaction for every figure that it moves."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import structlog

from lumen.coins import MAX_NANOCOINS, Price
from lumen.config.settings import Settings
from lumen.ledger.books import Books

log = structlog.get_logger()


class Outcome(NamedTuple):
    """How a call ended. Tokens are those of the whole call; `estimated` when the model server did not report them."""

    outcome: str
    status: int
    input_tokens: int
    output_tokens: int
    estimated: bool
    endpoint: str
    duration_us: int
    time_to_first_byte_us: int | None = None


@dataclass(slots=True)
class Settled:
    """Nanocoins charged, and those that the pool could not pay. Not `is_new` when somebody had settled it before."""

    cost: int
    shortfall: int
    is_new: bool = field(default=True, compare=False)


def settle(books: Books, request_id: str, outcome: Outcome, *, settings: Settings) -> Settled:
    """Charge the held call `request_id` and write it down. Settling twice charges once.

    A call that cost more than its hold takes from what is available besides; what even that cannot pay is the
    shortfall, recorded on the request. The balance never goes below zero.

    It succeeds whatever was reported: what would not fit in the account's 64-bit totals is shortfall too, tokens that
    would not are not counted, and a shortfall is recorded up to 64 bits.
    """
    hold = books.holds.get(request_id)
    if hold is None:
        return _recorded(books, request_id, outcome)
    account = books.accounts[hold.account_id]
    account.refill(account.pool(settings), books.moment)
    due = Price(hold.input_price, hold.output_price).cost(outcome.input_tokens, outcome.output_tokens)
    # Keys, hours and requests count parts of what the account counts: what fits there fits everywhere.
    countable = MAX_NANOCOINS - account.spent
    available = hold.amount + account.balance - account.held
    cost = min(due, countable if hold.unlimited else min(countable, available))
    shortfall = min(due - cost, MAX_NANOCOINS)
    input_tokens = min(outcome.input_tokens, MAX_NANOCOINS - account.input_tokens)
    output_tokens = min(outcome.output_tokens, MAX_NANOCOINS - account.output_tokens)
    books.free_hold(hold)
    account.charge(cost, input_tokens, output_tokens, unlimited=bool(hold.unlimited))
    books.record(
        hold,
        outcome.outcome,
        (input_tokens, output_tokens, cost),
        (
            request_id,
            hold.account_id,
            hold.key_id,
            hold.model,
            outcome.endpoint,
            outcome.outcome,
            outcome.status,
            bool(hold.streamed),
            input_tokens,
            output_tokens,
            outcome.estimated,
            cost,
            shortfall,
            hold.created_at,
            books.moment,
            outcome.duration_us,
            outcome.time_to_first_byte_us,
        ),
    )
    books.settled[request_id] = cost, shortfall, outcome.outcome
    return Settled(cost, shortfall)


def interrupted(books: Books, request_id: str, *, settings: Settings) -> Settled:
    """Charge a call that nobody will settle any more what was expected of it. One that is settled stays as it is."""
    hold = books.holds.get(request_id)
    outcome = Outcome(
        outcome='interrupted',
        status=0,
        input_tokens=hold.expected_input_tokens if hold else 0,
        output_tokens=hold.expected_output_tokens if hold else 0,
        estimated=True,
        endpoint='',
        duration_us=max(0, books.moment - hold.created_at) if hold else 0,
    )
    return settle(books, request_id, outcome, settings=settings)


def _recorded(books: Books, request_id: str, outcome: Outcome) -> Settled:
    """What a call was charged that is settled already; nothing for one that was never held."""
    found = books.recorded(request_id)
    if found is None:
        return Settled(0, 0, is_new=False)
    cost, shortfall, recorded = found
    if recorded == 'interrupted' != outcome.outcome:
        log.error(
            'a call ended after it had been settled as interrupted: that estimate stands',
            request_id=request_id,
            outcome=outcome.outcome,
            input_tokens=outcome.input_tokens,
            output_tokens=outcome.output_tokens,
        )
    return Settled(cost, shortfall, is_new=False)
