from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import models
from lumen import schema
from lumen.config.settings import Settings
from lumen.database import Database
from lumen.demo import Made
from lumen.errors import Conflict, Invalid
from lumen.identity.permissions import COMMAND_LINE
from lumen.ledger.check import differences
from lumen.records import clients
from tests.lumen import factories
from tests.lumen.demo.conftest import MODELS, UNTIL, content, make, settings

COIN = 1_000_000_000
HOUR_US = 3_600_000_000
END = round(UNTIL.timestamp()) * 1_000_000


def accounts(database: Database, kind: str = 'client') -> list[models.Account]:
    query = models.Account.select().where(models.Account.kind == kind).order_by(models.Account.id)
    return database.read_now(lambda: list(query))


def one(database: Database, statement: str) -> Any:
    return database.read_now(lambda: models.database.execute_sql(statement).fetchone()[0])


def test_a_demo_is_as_large_as_wished_for_and_its_books_add_up(database: Database):
    made = make(database)
    assert database.read_now(differences) == []
    assert made.clients == len(accounts(database)) == 60
    assert made.users == len(accounts(database, 'user'))
    assert made.keys == one(database, 'select count(*) from api_key')
    assert made.requests == one(database, 'select count(*) from request') == 3000
    assert made.spent == one(database, 'select sum(cost) from request') > 0
    assert one(database, 'select sum(requests) from hourly_usage') == 3000
    assert one(database, 'select count(*) from hold') == 0


@pytest.mark.parametrize(
    ('clients', 'requests', 'days'), [(0, 0, 30), (1, 0, 1), (1, 40, 1), (5, 0, 30), (5, 3, 7), (2, 5000, 2)]
)
def test_small_demos_work(sqlite_database: Database, clients: int, requests: int, days: int):
    made = make(sqlite_database, clients=clients, requests=requests, days=days)
    assert (made.clients, made.requests) == (clients, requests)
    assert one(sqlite_database, 'select count(*) from request') == requests
    assert sqlite_database.read_now(differences) == []


def made_in(url: str, **wish: Any) -> dict[str, list[tuple[Any, ...]]]:
    """All that a demo leaves in a database. One at a time: the models speak to the one that was opened last."""
    database = Database(url)
    try:
        schema.migrate(database)
        make(database, **wish)
        return content(database)
    finally:
        database.close()


def test_the_same_wish_makes_the_same_on_both_engines(database_url: str, tmp_path: Path):
    assert made_in(database_url) == made_in(f'sqlite:///{tmp_path}/another.db')


@pytest.mark.parametrize('other', [{'seed': 2}, {'requests': 2999}, {'until': UNTIL.replace(day=5)}])
def test_another_wish_makes_another_demo(tmp_path: Path, other: dict[str, Any]):
    first, second = made_in(f'sqlite:///{tmp_path}/first.db'), made_in(f'sqlite:///{tmp_path}/second.db', **other)
    for table in ('Account', 'ApiKey', 'Request', 'HourlyUsage', 'AuditEvent'):
        assert first[table] != second[table]


def test_a_database_with_clients_is_refused_and_left_as_it_is(database: Database):
    database.write_now(clients.create_client, COMMAND_LINE, 'bot', settings=settings())
    before = content(database)
    with pytest.raises(Conflict, match='has 1 clients already'):
        make(database)
    assert content(database) == before


@pytest.mark.parametrize(
    ('clients', 'configured'),
    [
        (0, settings()),
        (3, settings(clients={'default': {'max': '0'}})),
        (3, settings(models=[])),
        (3, settings(models=[model | {'access': 'blocked'} for model in MODELS])),
        (3, settings(models=[model | {'needs_ack': 'true'} for model in MODELS])),
    ],
)
def test_requests_that_nobody_could_make_are_refused(sqlite_database: Database, clients: int, configured: Settings):
    with pytest.raises(Invalid, match='No client could make a request'):
        make(sqlite_database, configured, clients=clients)
    assert one(sqlite_database, 'select count(*) from account') == 0
    assert make(sqlite_database, configured, clients=clients, requests=0).clients == clients


def test_pools_are_as_their_configuration_allows(database: Database):
    configured = settings()
    make(database)
    for account in accounts(database):
        pool = configured.pool('client', account.handle)
        if pool.max is None:
            assert (account.spent_unlimited, account.balance, account.accrued) == (account.spent, 0, 0)
            continue
        assert account.spent_unlimited == 0
        assert account.balance <= max(pool.max, pool.starting)
        assert account.accrued * HOUR_US <= pool.refresh * (END - account.created_at)
        if not pool.max:
            assert account.requests == 0
    assert {'Research-Bot', 'boundless', 'penniless'} <= {account.name for account in accounts(database)}
    assert [account.requests > 0 for account in accounts(database) if account.name == 'boundless'] == [True]


def test_some_are_deactivated_and_some_have_run_out_of_coins(database: Database):
    make(database)
    found = accounts(database)
    assert 0 < sum(not account.active for account in found) < 12
    empty = [
        account
        for account in found
        if account.requests and account.balance < COIN // 2 and account.handle != 'boundless'
    ]
    assert 0 < len(empty) < 12
    assert all(END - account.touched_at < HOUR_US for account in empty)


def test_a_few_clients_make_most_of_the_requests(database: Database):
    make(database, clients=200)
    counts = sorted((account.requests for account in accounts(database)), reverse=True)
    assert sum(counts[:20]) > sum(counts[20:])
    assert counts[-1] == 0


def test_pools_that_could_not_pay_are_filled_up_by_hand(sqlite_database: Database):
    stingy = settings(models=MODELS[:1], clients={'default': {'max': '1', 'refresh': '0', 'starting': '0'}})
    make(sqlite_database, stingy, clients=2, requests=500)
    assert sqlite_database.read_now(differences) == []
    assert all(account.granted > 0 for account in accounts(sqlite_database) if account.spent)
    assert one(sqlite_database, 'select sum(shortfall) from request') == 0


def test_keys_are_made_before_they_are_used_and_remember_their_last_use(database: Database):
    make(database)
    early = 'select count(*) from request join api_key on api_key.id = key_id where started_at <= api_key.created_at'
    late = """
        select count(*) from request join api_key on api_key.id = key_id
        where settled_at > revoked_at or settled_at > expires_at or request.account_id <> api_key.account_id
    """
    wrong = """
        select count(*) from api_key
        left join (select key_id, max(settled_at) as last from request group by key_id) as used
        on used.key_id = api_key.id
        where coalesce(last, 0) <> coalesce(last_used_at, 0)
    """
    assert [one(database, statement) for statement in (early, late, wrong)] == [0, 0, 0]
    assert one(database, 'select max(revoked_at) from api_key') < END
    assert one(database, 'select count(*) from api_key where revoked_at is not null') > 0
    assert one(database, 'select count(*) from api_key where expires_at is not null') > 0
    assert one(database, 'select max(n) from (select count(*) as n from api_key group by account_id) as counted') >= 3


def test_keys_look_right_and_nobody_knows_them(database: Database):
    make(database)
    for key in database.read_now(lambda: list(models.ApiKey.select())):
        assert re.fullmatch(r'sk_lumen_[0-9A-Za-z]{4}…[0-9A-Za-z]{4}', key.hint)
        assert re.fullmatch(r'[0-9a-f]{64}', key.digest)


def test_requests_are_in_the_order_of_time_within_the_days(database: Database):
    make(database)
    rows = database.read_now(lambda: list(models.Request.select().order_by(models.Request.id)))
    moments = [row.settled_at for row in rows]
    assert moments == sorted(moments)
    assert END - 21 * 24 * HOUR_US <= moments[0] < moments[-1] <= END
    assert all(row.started_at + row.duration_us <= row.settled_at for row in rows)
    assert all((row.time_to_first_byte_us or 0) <= row.duration_us for row in rows)


def test_calls_end_as_the_gateway_records_them(database: Database):
    make(database)
    statement = 'select distinct outcome, status, estimated, cost > 0 or input_tokens > 0 from request order by 1, 2'
    found = {tuple(row) for row in database.read_now(lambda: models.database.execute_sql(statement).fetchall())}
    possible = {
        ('success', 200, False, True),
        ('usage_missing', 200, True, True),
        ('disconnected', 499, True, True),
        ('interrupted', 503, True, True),
        ('timeout', 504, False, False),
        ('upstream_error', 400, False, False),
        ('upstream_error', 429, False, False),
        ('upstream_error', 502, False, False),
        ('upstream_error_midstream', 502, True, True),
    }
    assert found <= possible
    assert {outcome for outcome, *_ in found} >= {'success', 'disconnected', 'upstream_error', 'timeout'}
    assert one(database, "select count(*) from request where outcome = 'success'") > 2700


def test_models_are_used_unequally_and_only_where_they_are_allowed(sqlite_database: Database):
    configured = settings(
        models=[MODELS[0] | {'disabled': 'true'}, *MODELS[1:], MODELS[0] | {'name': 'asks', 'needs_ack': 'true'}]
    )
    make(sqlite_database, configured)
    statement = 'select model, count(*) from request group by model order by 2 desc'
    used = sqlite_database.read_now(lambda: models.database.execute_sql(statement).fetchall())
    assert [name for name, _ in used] == ['small', 'free']


def test_clients_have_up_to_four_managers_of_whom_the_first_owns_them(database: Database):
    make(database)
    statement = """
        select count(manager.id), coalesce(sum(case when is_owner then 1 else 0 end), 0) from account
        left join manager on client_id = account.id where kind = 'client' group by account.id
    """
    counts = database.read_now(lambda: models.database.execute_sql(statement).fetchall())
    assert {(managers, owners) for managers, owners in counts} == {(0, 0), (1, 1), (2, 1), (3, 1), (4, 1)}
    early = 'select count(*) from manager join account on account.id = client_id where added_at < created_at'
    assert one(database, early) == 0


def test_dev_users_can_look_at_the_demo_and_those_who_were_there_stay(database: Database):
    admin = database.write_now(factories.user, 'admin@example.org', settings())
    stranger = database.write_now(factories.user, 'stranger@example.org', settings())
    make(database)
    users = {user.email: user for user in accounts(database, 'user')}
    assert users['admin@example.org'].id == admin.account_id
    assert users['stranger@example.org'].id == stranger.account_id
    links = database.read_now(lambda: [link.user_id for link in models.Manager.select()])
    assert users['max@example.org'].id in links
    assert not {users['uma@example.org'].id, users['admin@example.org'].id, stranger.account_id} & set(links)


def test_life_goes_on_after_a_demo(database: Database):
    made: Made = make(database)
    client_id = database.write_now(factories.client, 'one-more', settings(), 'max@example.org')
    assert client_id == max(account.id for account in accounts(database))
    assert client_id == made.clients + made.users + 1
    assert one(database, "select number from revision where topic = 'keys'") >= 1
    assert database.read_now(differences) == []
