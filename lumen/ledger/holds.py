"""Setting coins aside before a call: the most that it could cost, so that the budget is hard.

A hold does not change the balance; it narrows what is available: `available = balance - held`, never below zero.
"""

from __future__ import annotations

from typing import NamedTuple

from lumen.coins import MAX_NANOCOINS, Price, stated
from lumen.config.settings import Pool, Settings
from lumen.errors import Forbidden, InsufficientCoins, NotAuthenticated, RateLimited
from lumen.ledger.books import Books
from lumen.ledger.known import AccountState, HoldState
from lumen.ledger.pools import microseconds_until


class Ask(NamedTuple):
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
    most_at_once: int | None = None
    """So many calls of the key may be in flight."""

    dearest: Price | None = None
    """What it may cost where others than `model` may answer; `price` is what `model` does."""

    audio_bound_us: int = 0
    expected_audio_us: int = 0
    """Microseconds of audio, where that is what costs."""

    @property
    def most(self) -> Price:
        """What is held for."""
        return self.dearest or self.price

    @property
    def bound(self) -> int:
        """The most that it could cost."""
        return self.most.cost(self.input_bound, self.output_bound * self.choices, self.audio_bound_us)

    def expected(self, output_tokens: int) -> int:
        """What it costs with so much output and all else as expected."""
        return self.most.cost(self.expected_input_tokens, output_tokens, self.expected_audio_us)


class Held(NamedTuple):
    """A call that may start. When `bounded_by_pool`, the model server must be told `output_bound` (tokens a choice)."""

    request_id: str
    amount: int
    output_bound: int
    bounded_by_pool: bool
    started_at: int
    unlimited: bool = False


def place(
    books: Books,
    ask: Ask,
    process_id: str,
    settings: Settings,
    others_wait: bool = False,
    waited_us: int | None = None,
) -> Held:
    """Set aside what `ask` could cost at most.

    Raises NotAuthenticated (key revoked or expired), Forbidden (`account_deactivated`, `no_budget`) or
    InsufficientCoins, before it changes anything. Near empty, when the bound does not fit but nothing else is pending
    and the expected cost does, the call holds all that is left, with its output bounded to it. Placing a hold again
    returns it as it is. When `others_wait`, or one in another process came first, a call that could be placed is
    refused too, as one that may wait. One that did, for so many microseconds, stands first from then on.
    """
    account, key, moment = books.accounts.get(ask.account_id), books.keys.get(ask.key_id), books.moment
    if account is None or key is None or key[1] != ask.account_id:
        raise NotAuthenticated('The API key is not known.')
    placed = books.holds.get(ask.request_id)
    if placed is not None and (placed.account_id, placed.key_id) == (ask.account_id, ask.key_id):
        return _as_placed(ask, placed)
    _, _, revoked_at, expires_at = key
    if revoked_at is not None or (expires_at is not None and expires_at <= moment):
        raise NotAuthenticated('The API key has been revoked or has expired.')
    if not account.active:
        raise Forbidden('This account is deactivated.', code='account_deactivated')
    if ask.most_at_once is not None and books.in_flight[ask.key_id] >= ask.most_at_once:
        raise RateLimited(
            f'This key may make {ask.most_at_once:,} calls at once. Try again when one of them has ended.',
            retry_after_seconds=1,
        )
    pool = account.pool(settings)
    if pool.max == 0:
        raise Forbidden('This account has no budget.', code='no_budget')
    books.refill(account, pool)
    unlimited = pool.max is None
    try:
        amount, output_bound = (0, ask.output_bound) if unlimited else _afford(ask, account, pool, moment)
        if amount and (others_wait or account.stands_behind(process_id, waited_us, moment)):
            raise _insufficient(ask, amount, account, pool, moment)
    except InsufficientCoins:
        if waited_us is not None:
            books.stand_first(account, process_id, waited_us)
        raise
    if waited_us is not None:
        books.leave_line(account, process_id)
    books.add_hold(
        HoldState(
            ask.request_id,
            ask.account_id,
            ask.key_id,
            process_id,
            ask.model,
            amount,
            unlimited,
            ask.price.input,
            ask.price.output,
            ask.price.audio,
            min(ask.expected_input_tokens, MAX_NANOCOINS),  # any column holds 64 bits
            min(ask.expected_output_tokens, MAX_NANOCOINS),
            min(ask.expected_audio_us, MAX_NANOCOINS),
            ask.streamed,
            moment,
        )
    )
    return Held(ask.request_id, amount, output_bound, output_bound < ask.output_bound, moment, unlimited)


def extend(books: Books, request_id: str, amount: int, *, settings: Settings) -> int | None:
    """Set aside up to `amount` for a call that costs more than was held for it. Returns what is held for it now.

    None when nothing limits it: its pool is unlimited, or the call is settled.
    """
    hold = books.holds.get(request_id)
    if hold is None or hold.unlimited:
        return None
    account = books.accounts[hold.account_id]
    books.refill(account, account.pool(settings))
    more = min(amount - hold.amount, account.balance - account.held)
    if more > 0:
        books.extend_hold(hold, more)
    return hold.amount


def _afford(ask: Ask, account: AccountState, pool: Pool, moment: int) -> tuple[int, int]:
    """The amount to hold and the output bound per choice that it pays for. Raises InsufficientCoins."""
    bound = ask.bound
    if bound <= account.balance - account.held:
        return bound, ask.output_bound
    if account.held == 0 and ask.expected(ask.expected_output_tokens) <= account.balance:
        tokens = _output_paid_by(ask, account.balance)
        if tokens >= 1 or ask.output_bound == 0:
            return account.balance, min(ask.output_bound, tokens)
    raise _insufficient(ask, bound, account, pool, moment)


def _output_paid_by(ask: Ask, amount: int) -> int:
    tokens = ask.most.affordable_output_tokens(amount, ask.expected_input_tokens, ask.expected_audio_us)
    return tokens // ask.choices


def _as_placed(ask: Ask, hold: HoldState) -> Held:
    """The hold as it was returned when it was placed: only near empty is less set aside than the bound costs."""
    is_bounded = not hold.unlimited and hold.amount < ask.bound
    output_bound = min(ask.output_bound, _output_paid_by(ask, hold.amount)) if is_bounded else ask.output_bound
    return Held(
        ask.request_id,
        hold.amount,
        output_bound,
        output_bound < ask.output_bound,
        hold.created_at,
        bool(hold.unlimited),
    )


def _insufficient(ask: Ask, needed: int, account: AccountState, pool: Pool, moment: int) -> InsufficientCoins:
    balance, held = account.balance, account.held
    seconds: int | None = None
    message = (
        f'The coin pool cannot pay for this call: {stated(balance)} coins are there, '
        f'{stated(held)} of them held for calls in flight, and up to {stated(needed)} are needed.'
    )
    if pool.max is not None and needed > pool.max:
        input_alone = ask.most.cost(ask.input_bound, 0, ask.audio_bound_us) > pool.max
        advice = 'send less input' if input_alone else 'ask for fewer output tokens (max_tokens)'
        message += f' The pool never holds that much: {advice}.'
    elif pool.refresh == 0:
        message += ' The pool does not refill.'
    else:
        missing = needed + held - balance
        microseconds = microseconds_until(missing, pool.refresh, account.remainder)
        seconds = -(-(account.touched_at + microseconds - moment) // 1_000_000)
        message += f' The refill will cover it in {seconds:,} seconds.'
    return InsufficientCoins(
        message,
        balance=balance,
        held=held,
        needed=needed,
        available_in_seconds=seconds,
        obtainable_in_us=_obtainable_in(ask, account, pool, moment),
    )


def _obtainable_in(ask: Ask, account: AccountState, pool: Pool, moment: int) -> int | None:
    """When the least that would do (the expected cost, or the bound) could be there; None when never."""
    least_output = ask.choices if ask.output_bound else 0
    least = min(ask.bound, ask.expected(max(ask.expected_output_tokens, least_output)))
    if least <= account.balance:
        return 0
    if pool.refresh == 0 or (pool.max is not None and least > pool.max):
        return None
    due = account.touched_at + microseconds_until(least - account.balance, pool.refresh, account.remainder)
    return max(1, due - moment)
