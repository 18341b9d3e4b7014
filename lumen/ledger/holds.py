"""Setting coins aside before a call: the most that it could cost, so that the budget is hard.

A hold does not change the balance; it narrows what is available: `available = balance - held`, never below zero.
"""

from __future__ import annotations

from dataclasses import dataclass

from lumen.coins import MAX_NANOCOINS, Price, short
from lumen.config.settings import Pool, Settings
from lumen.database import now, refuses_first
from lumen.errors import Forbidden, InsufficientCoins, NotAuthenticated
from lumen.ledger import statements
from lumen.ledger.pools import Refill, microseconds_until, refill


@dataclass(frozen=True, slots=True)
class Ask:
    """A call that wants to start. Bounds are tokens: input of the whole call, output of each of its `choices`.

    The expected tokens are of the whole call; they matter when the pool is nearly empty or the process dies.
    """

    request_id: str
    account_id: int
    key_id: int
    kind: str
    handle: str
    model: str
    price: Price
    input_bound: int
    output_bound: int
    choices: int
    expected_input_tokens: int
    expected_output_tokens: int
    streamed: bool


@dataclass(frozen=True, slots=True)
class Held:
    """A call that may start. When `bounded_by_pool`, the model server must be told `output_bound` (tokens a choice)."""

    request_id: str
    amount: int
    output_bound: int
    bounded_by_pool: bool
    started_at: int


@refuses_first
def place(ask: Ask, *, settings: Settings, process_id: str) -> Held:
    """Set aside what `ask` could cost at most.

    Raises NotAuthenticated (key revoked or expired), Forbidden (`account_deactivated`, `no_budget`) or
    InsufficientCoins. Near empty, when the bound does not fit but nothing else is pending and the expected cost does,
    the call holds all that is left, with its output bounded to it. Placing a hold again returns it as it is.
    """
    moment = now()
    row = statements.run(statements.ACCOUNT, (ask.request_id, ask.account_id, ask.key_id)).fetchone()
    if row is None:
        raise NotAuthenticated('The API key is not known.')
    active, balance, held, touched_at, remainder, brought_in, revoked_at, expires_at, *placed = row
    amount, unlimited, placed_at = placed
    if placed_at is not None:
        return _as_placed(ask, amount, bool(unlimited), placed_at)
    if revoked_at is not None or (expires_at is not None and expires_at <= moment):
        raise NotAuthenticated('The API key has been revoked or has expired.')
    if not active:
        raise Forbidden('This account is deactivated.', code='account_deactivated')
    pool = settings.pool(ask.kind, ask.handle)
    if pool.is_none:
        raise Forbidden('This account has no budget.', code='no_budget')
    refilled = refill(
        balance=balance,
        touched_at=touched_at,
        remainder=remainder,
        pool=pool,
        moment=moment,
        brought_in=brought_in,
    )
    amount, output_bound = (0, ask.output_bound) if pool.is_unlimited else _afford(ask, refilled, held, pool, moment)
    statements.run(
        statements.RESERVE,
        (refilled.balance, refilled.accrued, refilled.touched_at, refilled.remainder, amount, ask.account_id),
    )
    statements.run(
        statements.HOLD,
        (
            ask.request_id,
            ask.account_id,
            ask.key_id,
            process_id,
            ask.model,
            amount,
            pool.is_unlimited,
            ask.price.input,
            ask.price.output,
            min(ask.expected_input_tokens, MAX_NANOCOINS),  # any column holds 64 bits
            min(ask.expected_output_tokens, MAX_NANOCOINS),
            ask.streamed,
            moment,
        ),
    )
    return Held(ask.request_id, amount, output_bound, output_bound < ask.output_bound, moment)


def _afford(ask: Ask, refilled: Refill, held: int, pool: Pool, moment: int) -> tuple[int, int]:
    """The amount to hold and the output bound per choice that it pays for. Raises InsufficientCoins."""
    bound = ask.price.cost(ask.input_bound, ask.output_bound * ask.choices)
    if bound <= refilled.balance - held:
        return bound, ask.output_bound
    expected = ask.price.cost(ask.expected_input_tokens, ask.expected_output_tokens)
    if held == 0 and expected <= refilled.balance:
        tokens = _output_paid_by(ask, refilled.balance)
        if tokens >= 1 or ask.output_bound == 0:
            return refilled.balance, min(ask.output_bound, tokens)
    raise _insufficient(bound, refilled, held, pool, moment)


def _output_paid_by(ask: Ask, amount: int) -> int:
    return ask.price.affordable_output_tokens(amount, ask.expected_input_tokens) // ask.choices


def _as_placed(ask: Ask, amount: int, unlimited: bool, placed_at: int) -> Held:
    """The hold as it was returned when it was placed: only near empty is less set aside than the bound costs."""
    is_bounded = not unlimited and amount < ask.price.cost(ask.input_bound, ask.output_bound * ask.choices)
    output_bound = min(ask.output_bound, _output_paid_by(ask, amount)) if is_bounded else ask.output_bound
    return Held(ask.request_id, amount, output_bound, output_bound < ask.output_bound, placed_at)


def _insufficient(needed: int, refilled: Refill, held: int, pool: Pool, moment: int) -> InsufficientCoins:
    seconds: int | None = None
    message = (
        f'The coin pool cannot pay for this call: {short(refilled.balance)} coins are there, '
        f'{short(held)} of them held for calls in flight, and up to {short(needed)} are needed.'
    )
    if pool.max is not None and needed > pool.max:
        message += ' The pool never holds that much: ask for fewer output tokens (max_tokens).'
    elif pool.refresh == 0:
        message += ' The pool does not refill.'
    else:
        missing = needed + held - refilled.balance
        microseconds = microseconds_until(missing, pool.refresh, refilled.remainder)
        seconds = -(-(refilled.touched_at + microseconds - moment) // 1_000_000)
        message += f' The refill will cover it in {seconds:,} seconds.'
    return InsufficientCoins(message, balance=refilled.balance, held=held, needed=needed, available_in_seconds=seconds)
