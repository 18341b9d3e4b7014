from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

import models
from lumen.config.settings import Pool
from lumen.database import Database, now
from lumen.ledger import pools
from tests.conftest import Clock
from tests.lumen.ledger.accounts import COIN, account, open_client, settings

HOUR_US = pools.HOUR_US
amounts = st.integers(0, 10**15)
steps = st.lists(st.integers(0, 10**10), min_size=1, max_size=30)


def refill_in_steps(balance: int, pool: Pool, steps: list[int]) -> pools.Refill:
    state = pools.Refill(balance, 0, 0, 0)
    accrued = moment = 0
    for step in steps:
        moment += step
        state = pools.refill(
            balance=state.balance, touched_at=state.touched_at, remainder=state.remainder, pool=pool, moment=moment
        )
        accrued += state.accrued
    return pools.Refill(state.balance, accrued, state.remainder, state.touched_at)


@given(balance=amounts, maximum=amounts, refresh=amounts, steps=steps)
def test_frequent_touching_loses_nothing(balance: int, maximum: int, refresh: int, steps: list[int]):
    pool = Pool(max=maximum, refresh=refresh, starting=0)
    touched_often = refill_in_steps(balance, pool, steps)
    touched_once = refill_in_steps(balance, pool, [sum(steps)])
    assert (touched_often.balance, touched_often.accrued) == (touched_once.balance, touched_once.accrued)


@given(balance=amounts, maximum=amounts, refresh=amounts, elapsed=st.integers(0, 10**12))
def test_a_refill_is_the_formula_to_the_nanocoin(balance: int, maximum: int, refresh: int, elapsed: int):
    pool = Pool(max=maximum, refresh=refresh, starting=0)
    refilled = refill_in_steps(balance, pool, [elapsed])
    exact = Fraction(balance) + Fraction(refresh * elapsed, HOUR_US)
    assert refilled.balance == max(balance, min(maximum, int(exact)))
    assert refilled.balance == balance + refilled.accrued


@given(balance=amounts, refresh=amounts, back=st.integers(1, 10**12))
def test_time_that_runs_backwards_counts_as_none(balance: int, refresh: int, back: int):
    pool = Pool(max=None, refresh=refresh, starting=0)
    limited = Pool(max=10**16, refresh=refresh, starting=0)
    for each in (pool, limited):
        refilled = pools.refill(balance=balance, touched_at=back, remainder=7, pool=each, moment=0)
        assert refilled == pools.Refill(balance, 0, 7, back)


@given(missing=st.integers(1, 10**15), refresh=st.integers(1, 10**15), remainder=st.integers(0, HOUR_US - 1))
def test_the_time_until_an_amount_is_the_shortest_that_brings_it(missing: int, refresh: int, remainder: int):
    pool = Pool(max=10**18, refresh=refresh, starting=0)
    wait = pools.microseconds_until(missing, refresh, remainder)

    def after(moment: int) -> int:
        return pools.refill(balance=0, touched_at=0, remainder=remainder, pool=pool, moment=moment).balance

    assert after(wait) >= missing or wait == 0
    if wait > 1:
        assert after(wait - 1) < missing


def test_an_account_starts_with_its_grant_and_fills_to_the_maximum(database: Database, clock: Clock):
    configured = settings(max='10', refresh='2', starting='4')
    account_id, _ = database.write_now(open_client, configured)
    pool = configured.pool('client', 'any')
    opened = database.read_now(account, account_id)
    assert (opened.balance, opened.granted) == (4 * COIN, 4 * COIN)
    state = pools.state(opened, pool, clock())
    assert state.full_at == clock() + 3 * HOUR_US
    assert pools.state(opened, pool, clock() + HOUR_US).balance == 6 * COIN
    assert pools.state(opened, pool, clock() + 30 * HOUR_US).balance == 10 * COIN
    assert pools.state(opened, pool, clock() + 30 * HOUR_US).full_at is None


def test_lowering_the_maximum_takes_no_coins_away():
    pool = Pool(max=3 * COIN, refresh=COIN, starting=0)
    refilled = pools.refill(balance=5 * COIN, touched_at=0, remainder=0, pool=pool, moment=10 * HOUR_US)
    assert (refilled.balance, refilled.accrued) == (5 * COIN, 0)


def test_an_unlimited_pool_has_no_balance_and_one_of_nothing_no_budget(database: Database):
    account_id, _ = database.write_now(open_client, settings(max='-2'))
    opened = database.read_now(account, account_id)
    moment = database.read_now(now)
    unlimited = pools.state(opened, settings(max='-2').pool('client', 'x'), moment)
    assert (unlimited.unlimited, unlimited.balance, unlimited.available) == (True, None, None)
    assert pools.state(opened, settings(max='0').pool('client', 'x'), moment).none
    assert database.read_now(models.Account.select().count) == 1
