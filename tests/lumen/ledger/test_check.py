"""`lumen check` on books that somebody has changed by hand, past every constraint of the database."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import Any

import psycopg
import pytest

import models
from lumen.database import Database
from lumen.ledger import rows
from lumen.ledger.check import differences
from lumen.ledger.operations import place, settle
from tests.conftest import Clock
from tests.lumen.ledger.accounts import ask, open_client, outcome, settings

TEN = settings(max='10', refresh='1', starting='10')
UNLIMITED = settings(max='-2', starting='0')
HOUR_US = 3_600_000_000

COPY = """
    insert into request (request_id, account_id, key_id, model, endpoint, outcome, status, streamed, input_tokens,
                         output_tokens, estimated, cost, shortfall, started_at, settled_at, duration_us)
    select 'copy', {account}, {key}, model, endpoint, outcome, status, streamed, input_tokens, output_tokens, estimated,
           cost, shortfall, started_at, settled_at, duration_us
    from request where id = 1
"""
HOLD = """
    insert into hold (request_id, account_id, key_id, process_id, model, amount, unlimited, input_price, output_price,
                      expected_input_tokens, expected_output_tokens, streamed, created_at)
    values ({request}, {account}, {key}, 'p', 'm', {amount}, false, 1, 1, 1, 1, false, 1)
"""
SETTLED = '(select request_id from request where id = 1)'
CHANGES = {
    'update account set balance = balance + 1 where id = 1': 'from the pool is not its balance',
    'update account set requests = requests + 1 where id = 1': 'account 1: requests 4 counted on the account, 3 in its',
    'update account set spent = spent + 1, granted = granted + 1 where id = 1': 'spent 0.300000001 counted on the acc',
    'update account set held = 5 where id = 1': 'held 0.000000005 counted as held on the account, 0.000000000 in its h',
    'update account set held = -1 where id = 1': 'held -0.000000001 is not between 0',
    'update account set refill_remainder = -5 where id = 1': 'the remainder of its refill, -5, is not',
    'update account set refill_remainder = 3600000000 where id = 1': 'the remainder of its refill',
    'update account set touched_at = touched_at + 10000000000000 where id = 1': 'in the future',
    'update account set touched_at = created_at - 1 where id = 1': 'before it was made',
    'update account set spent_unlimited = -1, granted = granted + 1 where id = 1': 'spent while unlimited -0.000000001',
    'update account set accrued = -1, granted = granted + 1 where id = 1': 'accrued -0.000000001 is negative',
    'delete from account where id = 1': 'api_key: 2 rows whose account_id is 1, and there is no such account',
    'delete from api_key where id = 1': 'hourly_usage: 1 rows whose key_id is 1, and there is no such api_key',
    'delete from request where id = 1': 'account 1: requests 3 counted on the account, 2 in its requests',
    'delete from request': 'account 2: requests 1 counted on the account, 0 in its requests',
    'delete from hourly_usage where id = 1': 'requests 0 in its hourly usage, 1 in its requests',
    'update api_key set account_id = 2 where id = 1': 'hourly_usage: 1 rows of account 1 with key 1 of account 2',
    'update api_key set input_tokens = 11 where id = 1': 'key 1: input_tokens 11 counted on the key, 10 in its hourly',
    'update request set cost = cost + 1 where id = 1': '0.100000001 in its requests',
    'update request set key_id = 2 where id = 1': 'account 1, key 2, echo, success, ',
    'update request set key_id = 3 where id = 1': 'account 1, key 3, echo, success, ',
    'update request set account_id = 2, key_id = 3 where id = 1': 'account 2: requests 1 counted on the account, 2 in',
    'update request set account_id = 9999 where id = 1': 'account 9999: requests 0 counted on the account, 1 in its',
    "update request set model = 'other' where id = 1": 'account 1, key 1, other, success, ',
    "update request set outcome = 'timeout' where id = 1": 'account 1, key 1, echo, timeout, ',
    f'update request set settled_at = settled_at - 5 * {HOUR_US} where id = 1': '0 in its hourly usage, 1 in its requ',
    'update request set input_tokens = -10 where id = 1': 'a figure is negative',
    COPY.format(account=1, key=1): 'account 1: requests 3 counted on the account, 4 in its requests',
    COPY.format(account=9999, key=1): 'account 9999: requests 0 counted on the account, 1 in its requests',
    "update hourly_usage set model = 'other' where id = 1": 'account 1, key 1, other, success, ',
    'update hourly_usage set hour = hour - 50 where id = 1': 'which is not in that hour',
    f'update hourly_usage set hour = hour - 50, last_used_at = last_used_at - 50 * {HOUR_US}': '1 in its hourly usag',
    'update hourly_usage set key_id = 3 where id = 1': 'key 1: requests 1 counted on the key, 0 in its hourly usage',
    'update hourly_usage set account_id = 9999, key_id = 9999 where id = 1': 'whose account_id is 9999, and there is',
    'update hourly_usage set spent = 0': 'spent 0.300000000 counted on the account, 0.000000000 in its hourly usage',
    HOLD.format(request="'x'", account=1, key=1, amount=5): '0.000000000 counted as held on the account, 0.000000005',
    HOLD.format(request="'x'", account=9999, key=1, amount=5): 'hold: 1 rows whose account_id is 9999, and there is',
    HOLD.format(request="'x'", account=1, key=3, amount=0): 'hold: 1 rows of account 1 with key 3 of account 2',
    HOLD.format(request=SETTLED, account=1, key=1, amount=0): 'that call is settled already',
    'insert into carried_total values (1, 1, 0, 0, 0)': 'account 1: requests 3 counted on the account, 4 in its requ',
    'insert into carried_total values (9999, 0, 0, 0, 0)': 'carried_total: 1 rows whose account_id is 9999, and there',
}


def hold(client: tuple[int, int], configured: Any) -> str:
    call = ask(*client)
    place(call, settings=configured, process_id='here')
    return call.request_id


def hold_and_settle(client: tuple[int, int], configured: Any, **changes: Any) -> None:
    settle(hold(client, configured), outcome(10, 20, **changes), settings=configured)


def fill(clock: Clock) -> None:
    """Account 1 with keys 1 and 2, three requests in two hours; account 2, unlimited, with key 3 and one request."""
    one = open_client(TEN)
    second_key = models.ApiKey.create(
        account=one[0], name='second', digest='second', hint='', created_at=clock(), created_by='test'
    )
    two = open_client(UNLIMITED)
    hold_and_settle(one, TEN)
    hold_and_settle((one[0], second_key.id), TEN)
    hold_and_settle(two, UNLIMITED)


@pytest.fixture
def books(database: Database, clock: Clock) -> Database:
    database.write_now(fill, clock)
    clock.advance(hours=3)
    database.write_now(hold_and_settle, (1, 2), TEN, outcome='disconnected')
    clock.advance(seconds=1)
    assert database.read_now(differences) == []
    return database


def tamper(url: str, *statements: str) -> None:
    """Change rows as one can who owns the file or the server: no constraint is in the way."""
    if url.startswith('sqlite'):
        with closing(sqlite3.connect(url.removeprefix('sqlite:///'))) as connection, connection:
            connection.execute('pragma ignore_check_constraints = 1')
            for statement in statements:
                connection.execute(statement)
        return
    with psycopg.connect(url) as connection:
        constraints = connection.execute(
            "select conrelid::regclass, conname from pg_constraint where contype in ('c', 'f')"
            " and connamespace = 'public'::regnamespace"
        )
        for table, name in constraints.fetchall():
            connection.execute(f'alter table {table} drop constraint {name}')
        for statement in statements:
            connection.execute(statement)


@pytest.mark.parametrize(('statement', 'expected'), CHANGES.items(), ids=range(len(CHANGES)))
def test_what_was_changed_by_hand_is_named(books: Database, database_url: str, statement: str, expected: str):
    tamper(database_url, statement)
    found = books.read_now(differences)
    assert any(expected in difference for difference in found), found


def remove(url: str, before: int) -> None:
    """What retention does: the requests of account 1 settled before a moment go, and what they come to is carried."""
    tamper(
        url,
        f"""
        insert into carried_total (account_id, requests, input_tokens, output_tokens, spent)
        select account_id, count(*), sum(input_tokens), sum(output_tokens), sum(cost) from request
        where account_id = 1 and settled_at < {before} group by account_id
        """,
        f'delete from request where account_id = 1 and settled_at < {before}',
    )


def test_books_add_up_when_retention_removed_requests(books: Database, database_url: str, clock: Clock):
    clock.advance(hours=1)
    books.write_now(hold_and_settle, (1, 2), TEN, outcome='canceled')
    remove(database_url, clock() - 2 * HOUR_US)
    assert books.read_now(differences) == []
    tamper(database_url, "update hourly_usage set outcome = 'timeout' where outcome = 'canceled'")
    found = books.read_now(differences)
    assert len(found) == 8
    assert {each.partition(':')[0] for each in found} == {
        f'account 1, key 2, echo, {which}, 2027-01-15 12' for which in ('timeout', 'canceled')
    }


def test_books_add_up_when_retention_removed_part_of_an_hour_or_all(books: Database, database_url: str, clock: Clock):
    books.write_now(hold_and_settle, (1, 2), TEN)
    clock.advance(seconds=2)
    remove(database_url, clock() - 2_000_001)
    assert books.read_now(differences) == []
    books.write_now(lambda: models.CarriedTotal.delete().execute())
    assert 'account 1: requests 4 counted on the account, 1 in its requests' in books.read_now(differences)
    everything = 'insert into carried_total select 1, requests, input_tokens, output_tokens, spent from account'
    tamper(database_url, 'delete from request where account_id = 1', f'{everything} where id = 1')
    assert books.read_now(differences) == []


def test_what_is_kept_of_a_removed_past_is_no_more_than_its_hours(books: Database, database_url: str, clock: Clock):
    remove(database_url, clock() - HOUR_US)
    tamper(database_url, "update request set key_id = 1, outcome = 'success' where account_id = 1")
    assert any('account 1, key 1, echo, success' in each for each in books.read_now(differences))


@pytest.mark.parametrize('database_url', ['sqlite'], indirect=True)
@pytest.mark.parametrize(
    ('statement', 'expected'),
    [
        ("update account set balance = 'abc' where id = 1", ['account: 1 rows whose balance is no whole number']),
        ('update request set cost = cost + 0.5', ['request: 4 rows whose cost is no whole number']),
        ('update account set spent = 1e19', ['account: 2 rows whose spent is no whole number']),
        ("update api_key set revoked_at = 'never'", ['api_key: 3 rows whose revoked_at is no whole number']),
    ],
)
def test_what_is_no_whole_number_is_named(books: Database, database_url: str, statement: str, expected: list[str]):
    tamper(database_url, statement)
    assert books.read_now(differences) == expected


def test_figures_beyond_64_bits_are_named(books: Database, database_url: str):
    tamper(database_url, 'update request set cost = 9223372036854775807')
    assert any('9223372036.854775807' in each or '64 bits' in each for each in books.read_now(differences))


MORE = {
    'update account set requests = requests + 1': 'accounts differ: counted on the account, and counted on its keys',
    'update api_key set spent = spent + 1': 'keys differ: counted on the key, and in its hourly usage',
    'update request set cost = cost + 1': 'hours differ from their requests',
    'update account set balance = balance + 1': 'accounts have figures that cannot be',
    'update hold set amount = -1': 'holds are not what can be held',
    'update hold set request_id = (select request_id from request where request.id = hold.account_id)': (
        'holds are of calls that are settled already'
    ),
    'update hourly_usage set last_used_at = 1': 'hours were last used at a time that is not in them',
    'update request set cost = -1': 'requests have a figure that is negative',
    'update api_key set account_id = 3 - account_id': 'pairs in hourly_usage are of a key of another account',
    'update hourly_usage set key_id = key_id + 100': 'values of key_id in hourly_usage are of no api_key that there is',
}
"""What is done to two rows or more, and what there is more than one of then."""


@pytest.mark.parametrize(('statement', 'kind'), MORE.items(), ids=range(len(MORE)))
def test_of_one_kind_only_so_many_are_named_and_that_there_are_more_is_said(
    books: Database, database_url: str, monkeypatch: pytest.MonkeyPatch, statement: str, kind: str
):
    for client in ((1, 1), (2, 3)):
        books.write_now(hold, client, TEN)
    tamper(database_url, statement)
    monkeypatch.setattr(rows, 'LIMIT', 1)
    assert f'more than 1 {kind}: only the first 1 of them are named' in books.read_now(differences)
