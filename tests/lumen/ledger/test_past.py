from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

import models
from lumen.bulk import Row
from lumen.coins import Price
from lumen.config.settings import Settings
from lumen.database import Database
from lumen.ledger.check import differences
from lumen.ledger.imported import REQUEST, Import
from lumen.ledger.operations import place, settle
from lumen.ledger.past import PastAccount, PastCall, PastKey
from tests.conftest import Clock
from tests.lumen.ledger.accounts import COIN, account, ask, open_client, outcome, settings

PRICE = Price(input=2 * COIN * 1000, output=4 * COIN * 1000)
POOLS = [
    settings(max='10', refresh='1', starting='10'),
    settings(max='10', refresh='0.000000007', starting='4'),
    settings(max='-2', refresh='1', starting='4'),
]
CALLS = [(0.1, 30, 60), (7, 150, 190), (0.0003, 1, 1), (40, 0, 0), (1, 10, 20), (0.2, 999, 200)]
FIGURES = (
    'balance',
    'granted',
    'accrued',
    'spent',
    'spent_unlimited',
    'touched_at',
    'refill_remainder',
    'requests',
    'input_tokens',
    'output_tokens',
)


def past(configured: Settings, moment: int, account_id: int = 1) -> tuple[PastAccount, PastKey]:
    pool = configured.pool('client', 'bot')
    account = PastAccount(account_id, 'client', f'bot{account_id}', f'bot{account_id}', '', moment, 'test', pool)
    return account, PastKey(account_id, 'key', f'digest{account_id}', 'hint', moment, 'test')


def call(moment: int, input_tokens: int, output_tokens: int, number: int = 0) -> PastCall:
    return PastCall(
        f'req_past{number}', 'echo', PRICE, 'http://127.0.0.1/v1', 'success', 200, False,
        input_tokens, output_tokens, False, moment, moment, 1000, None,
    )  # fmt: skip


@pytest.mark.parametrize('configured', POOLS)
def test_the_past_is_charged_as_the_present_is(database: Database, clock: Clock, configured: Settings):
    made, key = past(configured, clock())
    client = database.write_now(open_client, configured)
    rows: list[Row] = []
    for number, (hours, input_tokens, output_tokens) in enumerate(CALLS):
        clock.advance(hours=hours)
        held = database.write_now(
            lambda number=number: place(
                ask(*client, request_id=f'req_past{number}', price=PRICE), settings=configured, process_id='here'
            )
        )
        database.write_now(settle, held.request_id, outcome(input_tokens, output_tokens), settings=configured)
        rows.append(made.settle(key, call(clock(), input_tokens, output_tokens, number)))
    real = database.read_now(account, client[0])
    assert {name: getattr(made, name) for name in FIGURES} == {name: getattr(real, name) for name in FIGURES}
    real_key = database.read_now(lambda: models.ApiKey.get_by_id(client[1]))
    for name in ('requests', 'input_tokens', 'output_tokens', 'spent', 'last_used_at'):
        assert getattr(key, name) == getattr(real_key, name)
    fields = [getattr(models.Request, name if name == 'request_id' else name.removesuffix('_id')) for name in REQUEST]
    recorded = database.read_now(lambda: list(models.Request.select(*fields).order_by(models.Request.id).tuples()))
    ids = {'account_id': client[0], 'key_id': client[1]}
    assert recorded == [tuple(ids.get(name, value) for name, value in zip(REQUEST, row, strict=True)) for row in rows]


@given(
    calls=st.lists(
        st.tuples(
            st.integers(0, 10**11), st.integers(0, 2000), st.integers(0, 2000), st.integers(-(20 * COIN), 20 * COIN)
        )
    ),
    pool=st.sampled_from(POOLS),
)
def test_whatever_happened_the_law_holds(calls: list[tuple[int, int, int, int]], pool: Settings):
    made, key = past(pool, 0)
    moment = 0
    for pause, input_tokens, output_tokens, adjustment in calls:
        moment += pause
        row = made.settle(key, call(moment, input_tokens, output_tokens))
        assert min(row[REQUEST.index('cost')], row[REQUEST.index('shortfall')]) >= 0
        made.adjust(adjustment)
        assert made.granted + made.accrued - (made.spent - made.spent_unlimited) == made.balance >= 0
    assert (key.spent, key.requests) == (made.spent, made.requests)


def test_an_import_adds_to_what_is_there(database: Database, clock: Clock):
    client = database.write_now(open_client, POOLS[0])
    held = database.write_now(lambda: place(ask(*client), settings=POOLS[0], process_id='here'))
    database.write_now(settle, held.request_id, outcome(10, 20), settings=POOLS[0])

    def bring_in() -> None:
        imported = Import()
        made = [past(POOLS[0], clock() - COIN, number) for number in (100, 101)]
        for number, (bot, key) in enumerate(made):
            calls = [call(clock() - 500 * number - step, 10, 10, 10 * number + step) for step in (3, 2, 1)]
            imported.requests([bot.settle(key, one) for one in calls])
        imported.accounts([bot for bot, _ in made])
        imported.keys(made)
        imported.finish()

    database.write_now(bring_in)
    assert database.read_now(differences) == []
    rows = database.read_now(lambda: list(models.Request.select().order_by(models.Request.id)))
    assert len(rows) == 7
    assert [row.settled_at for row in rows[1:]] == sorted(row.settled_at for row in rows[1:])
    assert database.read_now(lambda: models.HourlyUsage.select().count()) == 3
