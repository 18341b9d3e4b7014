from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

import models
from lumen.coins import Price
from lumen.config.settings import Settings
from lumen.database import Database
from lumen.errors import InsufficientCoins
from lumen.ledger import Settled
from lumen.ledger.check import differences
from lumen.ledger.operations import place, settle
from tests.conftest import Clock
from tests.lumen.ledger.accounts import COIN, account, ask, open_client, outcome, settings

TEN = settings(max='10', refresh='1', starting='10')


def hold(database: Database, client: tuple[int, int], settings: Settings = TEN, **changes: Any) -> str:
    return database.write_now(lambda: place(ask(*client, **changes), settings=settings, process_id='here')).request_id


def charge(database: Database, request_id: str, input_tokens: int, output_tokens: int, **changes: Any) -> Settled:
    settings = changes.pop('settings', TEN)
    return database.write_now(settle, request_id, outcome(input_tokens, output_tokens, **changes), settings=settings)


def test_a_settlement_charges_what_the_call_did_cost_and_frees_the_rest(database: Database):
    client = database.write_now(open_client, TEN)
    settled = charge(database, hold(database, client), 10, 20)
    assert settled == Settled(cost=COIN // 10, shortfall=0)
    row = database.read_now(account, client[0])
    assert (row.balance, row.held, row.spent) == (10 * COIN - COIN // 10, 0, COIN // 10)
    assert (row.requests, row.input_tokens, row.output_tokens) == (1, 10, 20)
    assert database.read_now(lambda: models.Hold.select().count()) == 0
    assert database.read_now(differences) == []


def test_one_transaction_moves_account_key_hour_and_request(database: Database, clock: Clock):
    client = database.write_now(open_client, TEN)
    charge(database, hold(database, client), 10, 20, outcome='disconnected', status=499, estimated=True)
    key = database.read_now(lambda: models.ApiKey.get_by_id(client[1]))
    hour = database.read_now(lambda: models.HourlyUsage.get())
    request = database.read_now(lambda: models.Request.get())
    assert (key.requests, key.input_tokens, key.output_tokens, key.spent) == (1, 10, 20, COIN // 10)
    assert key.last_used_at == clock()
    assert (hour.requests, hour.input_tokens, hour.output_tokens, hour.spent) == (1, 10, 20, COIN // 10)
    assert (hour.outcome, hour.hour, hour.model) == ('disconnected', clock() // 3_600_000_000, 'echo')
    assert (request.outcome, request.status, request.estimated, request.cost) == ('disconnected', 499, True, COIN // 10)


TIMED = {
    'price': Price(0, 0, 36 * COIN // 100),
    'input_bound': 0,
    'output_bound': 0,
    'expected_input_tokens': 0,
    'expected_output_tokens': 0,
    'audio_bound_us': 10 * 3_600_000_000,
    'expected_audio_us': 3_600_000_000,
}


def test_audio_is_held_and_charged_by_its_duration(database: Database):
    client = database.write_now(open_client, TEN)
    request_id = hold(database, client, **TIMED)
    assert database.read_now(account, client[0]).held == 36 * COIN // 10
    settled = charge(database, request_id, 0, 0, audio_us=8_470_000)
    assert settled == Settled(cost=847_000, shortfall=0)
    request = database.read_now(lambda: models.Request.get())
    assert (request.audio_us, request.cost) == (8_470_000, 847_000)
    assert database.read_now(account, client[0]).held == 0
    assert database.read_now(differences) == []


def test_audio_of_a_call_that_nobody_settles_is_charged_as_expected(database: Database):
    client = database.write_now(open_client, TEN)
    request_id = hold(database, client, **TIMED)
    settled = database.write_now(settle, request_id, None, settings=TEN)
    assert settled == Settled(cost=36 * COIN // 100, shortfall=0)
    request = database.read_now(lambda: models.Request.get())
    assert (request.outcome, request.estimated, request.audio_us) == ('interrupted', True, 3_600_000_000)


def test_near_empty_what_audio_usually_costs_is_enough(database: Database):
    client = database.write_now(open_client, settings(max='1', refresh='0', starting='0.4'))
    small = settings(max='1', refresh='0', starting='0.4')
    assert hold(database, client, small, **TIMED)
    assert database.read_now(account, client[0]).held == 4 * COIN // 10
    with pytest.raises(InsufficientCoins, match=r'up to 3\.60 are needed'):
        hold(database, client, small, **TIMED)


def test_audio_longer_than_the_pool_can_pay_leaves_a_shortfall(database: Database):
    small = settings(max='1', refresh='0', starting='0.4')
    client = database.write_now(open_client, small)
    request_id = hold(database, client, small, **TIMED)
    settled = charge(database, request_id, 0, 0, audio_us=2 * 3_600_000_000, settings=small)
    assert settled == Settled(cost=4 * COIN // 10, shortfall=32 * COIN // 100)
    assert database.read_now(account, client[0]).balance == 0
    assert database.read_now(differences) == []


def test_settling_twice_charges_once(database: Database):
    client = database.write_now(open_client, TEN)
    request_id = hold(database, client)
    assert charge(database, request_id, 10, 20) == charge(database, request_id, 90, 90)
    assert database.read_now(account, client[0]).requests == 1
    assert database.read_now(differences) == []


def test_what_costs_more_than_its_hold_is_charged_while_the_pool_can(database: Database):
    client = database.write_now(open_client, TEN)
    assert charge(database, hold(database, client), 1000, 1000) == Settled(6 * COIN, 0)
    assert charge(database, hold(database, client), 1000, 1000) == Settled(4 * COIN, 2 * COIN)
    row = database.read_now(account, client[0])
    assert (row.balance, row.spent) == (0, 10 * COIN)
    request = database.read_now(lambda: models.Request.get(models.Request.shortfall > 0))
    assert (request.cost, request.shortfall) == (4 * COIN, 2 * COIN)
    assert database.read_now(differences) == []


def test_an_overrun_does_not_touch_what_others_hold(database: Database):
    client = database.write_now(open_client, TEN)
    held = [hold(database, client) for _ in range(9)]
    assert charge(database, held[0], 2000, 0) == Settled(2 * COIN, 2 * COIN)
    assert database.read_now(account, client[0]).held == 8 * COIN
    assert database.read_now(differences) == []


def test_an_unlimited_pool_keeps_only_what_was_spent(database: Database):
    unlimited = settings(max='-2')
    client = database.write_now(open_client, unlimited)
    charge(database, hold(database, client, unlimited), 1000, 1000, settings=unlimited)
    row = database.read_now(account, client[0])
    assert (row.balance, row.spent, row.granted, row.accrued) == (0, 6 * COIN, 0, 0)
    assert database.read_now(differences) == []


def test_a_call_keeps_the_prices_it_was_held_at(database: Database):
    client = database.write_now(open_client, TEN)
    request_id = hold(database, client, price=Price(COIN * 1000, 0))
    assert charge(database, request_id, 7, 7).cost == 7 * COIN // 1000


LARGEST = 2**63 - 1
DEAR = 10**16
"""10,000,000 coins a million tokens."""


@pytest.mark.parametrize('maximum', ['-2', '10', '9223372036'])
@pytest.mark.parametrize('tokens', [9 * 10**8, 10**9, LARGEST, 10**40])
def test_a_settlement_succeeds_whatever_was_reported(database: Database, clock: Clock, maximum: str, tokens: int):
    pool = settings(max=maximum, refresh='9223372036', starting='1')
    client = database.write_now(open_client, pool)
    for number in range(1, 4):
        request_id = hold(database, client, pool, price=Price(0, 0))
        database.write_now(lambda: models.Hold.update(input_price=DEAR, output_price=DEAR).execute())
        clock.advance(hours=1)
        settled = charge(database, request_id, tokens, tokens, settings=pool)
        assert 0 <= settled.cost <= LARGEST
        assert settled.shortfall == min(2 * tokens * 10**10 - settled.cost, LARGEST)
        row = database.read_now(account, client[0])
        assert (row.requests, row.held) == (number, 0)
        assert row.input_tokens == min(number * tokens, LARGEST)
        assert all(isinstance(figure, int) for figure in (row.spent, row.balance, row.accrued, row.output_tokens))
        assert row.granted + row.accrued - (row.spent - row.spent_unlimited) == row.balance
    assert database.read_now(differences) == []
    assert hold(database, client, pool, price=Price(0, 0))


calls = st.lists(
    st.tuples(
        st.integers(0, 4_000),  # input tokens reported
        st.integers(0, 4_000),  # output tokens reported
        st.integers(0, 20_000),  # seconds before the hold
        st.integers(0, 20_000),  # seconds before the settlement
        st.booleans(),  # settled at once, or after the others
    ),
    min_size=1,
    max_size=8,
)


@given(
    calls=calls,
    maximum=st.sampled_from(['-2', '0.9', '3', '12']),
    later=st.sampled_from(['-2', '0.9', '3', '12']),
    refresh=st.sampled_from(['0', '0.333333333', '7']),
)
@hypothesis_settings(
    deadline=None,  # a transaction takes as long as the disk does
    max_examples=40,
    suppress_health_check=[HealthCheck.function_scoped_fixture],  # every example opens accounts of its own
)
def test_the_books_add_up_whatever_happens(
    database: Database, clock: Clock, calls: list[Any], maximum: str, later: str, refresh: str
):
    configured = settings(max=maximum, refresh=refresh, starting='2')
    changed = settings(max=later, refresh=refresh, starting='2')
    client = database.write_now(open_client, configured)
    open_calls = []
    for input_tokens, output_tokens, wait, work, at_once in calls:
        clock.advance(seconds=wait)
        try:
            request_id = hold(database, client, configured)
        except InsufficientCoins:
            continue
        clock.advance(seconds=work)
        if at_once:
            charge(database, request_id, input_tokens, output_tokens, settings=configured)
        else:
            open_calls.append((request_id, input_tokens, output_tokens))
        row = database.read_now(account, client[0])
        assert 0 <= row.held <= row.balance
    for request_id, input_tokens, output_tokens in open_calls:
        charge(database, request_id, input_tokens, output_tokens, settings=changed)
    row = database.read_now(account, client[0])
    assert row.held == 0
    assert row.granted + row.accrued - (row.spent - row.spent_unlimited) == row.balance >= 0
    assert database.read_now(differences) == []
