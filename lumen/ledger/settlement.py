"""Charging what a call did cost and freeing the rest of its hold: one transaction for every figure that it moves."""

from __future__ import annotations

from dataclasses import dataclass, field

import structlog

from lumen.coins import MAX_NANOCOINS, Price
from lumen.config.settings import Settings
from lumen.ledger.books import Books
from lumen.ledger.outcome import Outcome

log = structlog.get_logger()


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
    books.refill(account, account.pool(settings))
    model, price = outcome.answered_by or (
        hold.model,
        Price(hold.input_price, hold.output_price, hold.audio_price),
    )
    due = price.cost(outcome.input_tokens, outcome.output_tokens, outcome.audio_us)
    # Keys, hours and requests count parts of what the account counts: what fits there fits everywhere.
    countable = MAX_NANOCOINS - account.spent
    cost = min(due, countable)
    if not hold.unlimited:
        cost = min(cost, hold.amount + account.balance - account.held)
    shortfall = min(due - cost, MAX_NANOCOINS)
    books.settle(
        hold,
        outcome,
        model,
        cost=cost,
        shortfall=shortfall,
        input_tokens=min(outcome.input_tokens, MAX_NANOCOINS - account.input_tokens),
        output_tokens=min(outcome.output_tokens, MAX_NANOCOINS - account.output_tokens),
    )
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
        audio_us=hold.expected_audio_us if hold else 0,
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
