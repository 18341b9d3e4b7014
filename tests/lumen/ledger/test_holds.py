import pytest

import models
from lumen.coins import Price
from lumen.config.settings import Settings
from lumen.database import Database, now
from lumen.errors import Forbidden, InsufficientCoins, NotAuthenticated, RateLimited
from lumen.ledger import Held
from lumen.ledger.check import differences
from lumen.ledger.operations import Place, Settle, carry_out, place
from tests.conftest import Clock
from tests.lumen.ledger.accounts import COIN, account, ask, open_client, outcome, settings

TEN = settings(max='10', refresh='0.36', starting='10')


def place_for(database: Database, client: tuple[int, int], settings: Settings = TEN, **changes: object) -> Held:
    return database.write_now(lambda: place(ask(*client, **changes), settings=settings, process_id='here'))


def test_a_hold_sets_aside_the_most_that_the_call_could_cost(database: Database):
    client = database.write_now(open_client, TEN)
    held = place_for(database, client)
    assert (held.amount, held.output_bound, held.bounded_by_pool) == (COIN, 200, False)
    row = database.read_now(account, client[0])
    assert (row.balance, row.held) == (10 * COIN, COIN)
    assert database.read_now(differences) == []


@pytest.mark.parametrize('starting', ['10', '0.5', '0.9'])
@pytest.mark.parametrize('maximum', ['10', '-2'])
def test_placing_a_hold_again_returns_it_as_it_is(database: Database, clock: Clock, starting: str, maximum: str):
    pool = settings(max=maximum, refresh='1', starting=starting)
    client = database.write_now(open_client, pool)
    call = database.read_now(ask, *client, choices=2, output_bound=100)
    first = database.write_now(place, call, settings=pool, process_id='here')
    clock.advance(seconds=10)
    assert database.write_now(place, call, settings=pool, process_id='here') == first
    assert database.read_now(account, client[0]).held == first.amount
    assert database.read_now(lambda: models.Hold.select().count()) == 1


def test_every_choice_is_held_for(database: Database):
    client = database.write_now(open_client, TEN)
    assert place_for(database, client, choices=3).amount == COIN // 5 + 3 * COIN * 8 // 10


def test_holds_never_exceed_the_balance(database: Database):
    client = database.write_now(open_client, TEN)
    for _ in range(10):
        place_for(database, client)
    with pytest.raises(InsufficientCoins) as refused:
        place_for(database, client)
    assert (refused.value.balance, refused.value.held, refused.value.needed) == (10 * COIN, 10 * COIN, COIN)
    assert refused.value.available_in_seconds is not None
    assert '10.00 coins are there, 10.00 of them held' in refused.value.message
    assert database.read_now(lambda: models.Hold.select().count()) == 10
    assert database.read_now(differences) == []


def test_a_refusal_says_when_the_refill_will_cover_it_and_then_it_does(database: Database, clock: Clock):
    filling = settings(max='10', refresh='3.6', starting='0.2')
    client = database.write_now(open_client, filling)
    with pytest.raises(InsufficientCoins) as refused:
        place_for(database, client, filling)
    assert refused.value.available_in_seconds == 800
    clock.advance(seconds=800)
    assert place_for(database, client, filling).amount == COIN


@pytest.mark.parametrize(
    ('most', 'balance', 'advice'),
    [('0.5', '0.10 coins', 'ask for fewer output tokens'), ('0.1', '0.001000000 coins', 'send less input')],
)
def test_what_a_pool_can_never_hold_is_said_so(database: Database, most: str, balance: str, advice: str):
    small = settings(max=most, refresh='1', starting=balance.split()[0])
    client = database.write_now(open_client, small)
    with pytest.raises(InsufficientCoins, match=f'{balance} .*never holds that much: {advice}') as refused:
        place_for(database, client, small)
    assert refused.value.available_in_seconds is None


def test_near_empty_a_call_holds_all_that_is_left_and_its_output_is_bounded(database: Database):
    low = settings(max='10', refresh='0', starting='0.5')
    client = database.write_now(open_client, low)
    held = place_for(database, client, low)
    assert held.amount == COIN // 2
    assert held.bounded_by_pool
    assert held.output_bound == (500 - 25 * 2) // 4
    with pytest.raises(InsufficientCoins):
        place_for(database, client, low)


def test_near_empty_a_call_that_writes_nothing_needs_no_coins_for_output(database: Database):
    low = settings(max='10', refresh='0', starting='0.05')
    client = database.write_now(open_client, low)
    held = place_for(database, client, low, output_bound=0, expected_output_tokens=0)
    assert (held.amount, held.output_bound, held.bounded_by_pool) == (COIN // 20, 0, False)


def test_near_empty_is_refused_while_another_call_is_pending(database: Database):
    low = settings(max='10', refresh='0', starting='1.5')
    client = database.write_now(open_client, low)
    place_for(database, client, low)
    with pytest.raises(InsufficientCoins):
        place_for(database, client, low)


def test_a_free_model_works_on_an_empty_pool_but_not_without_a_budget(database: Database):
    empty = settings(max='10', refresh='0', starting='0')
    client = database.write_now(open_client, empty)
    assert place_for(database, client, empty, price=Price(0, 0)).amount == 0
    with pytest.raises(Forbidden) as refused:
        place_for(database, client, settings(max='0'), price=Price(0, 0))
    assert refused.value.code == 'no_budget'


def test_an_unlimited_pool_holds_nothing(database: Database):
    unlimited = settings(max='-2')
    client = database.write_now(open_client, unlimited)
    assert place_for(database, client, unlimited, output_bound=10**9).amount == 0


def test_a_deactivated_account_and_a_dead_key_get_no_hold(database: Database, clock: Clock):
    client = database.write_now(open_client, TEN)

    def change(**values: object) -> None:
        models.ApiKey.update(**values).where(models.ApiKey.id == client[1]).execute()

    database.write_now(change, expires_at=clock() + 1)
    place_for(database, client)
    clock.advance(microseconds=1)
    with pytest.raises(NotAuthenticated):
        place_for(database, client)
    database.write_now(change, expires_at=None, revoked_at=clock())
    with pytest.raises(NotAuthenticated):
        place_for(database, client)
    database.write_now(change, revoked_at=None)
    database.write_now(lambda: models.Account.update(active=False).execute())
    with pytest.raises(Forbidden) as refused:
        place_for(database, client)
    assert refused.value.code == 'account_deactivated'


def test_a_key_of_another_account_gets_no_hold(database: Database):
    first = database.write_now(open_client, TEN)
    second = database.write_now(open_client, TEN)
    with pytest.raises(NotAuthenticated):
        place_for(database, (first[0], second[1]))
    assert database.read_now(now) > 0


def test_a_key_has_no_more_calls_in_flight_than_it_may(database: Database):
    client = database.write_now(open_client, TEN)
    asks = [database.read_now(ask, *client, most_at_once=3) for _ in range(8)]
    results = database.write_now(carry_out, [Place(each, 'here', TEN) for each in asks])
    assert [refusal is None for _, refusal in results] == [True] * 3 + [False] * 5
    assert {type(refusal) for _, refusal in results if refusal} == {RateLimited}
    assert database.read_now(account, client[0]).held == 3 * COIN
    with pytest.raises(RateLimited, match='3 calls at once'):
        place_for(database, client, most_at_once=3)
    ended = [Settle(asks[0].request_id, outcome(10, 20), TEN), Place(asks[6], 'here', TEN), Place(asks[7], 'here', TEN)]
    results = database.write_now(carry_out, ended)
    assert [refusal is None for _, refusal in results] == [True, True, False]
    place_for(database, client)  # a key without a limit is not counted
    assert place_for(database, client, most_at_once=5).amount == COIN
    assert database.read_now(differences) == []
