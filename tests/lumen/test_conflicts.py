"""Transactions that another one got in the way of: repeated as a whole, told once, and not for ever."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Collection

import psycopg
import pytest

import models
from lumen import conflicts
from lumen.database import Database
from lumen.errors import DatabaseUnavailable, InsufficientCoins
from lumen.ledger import Ledger
from lumen.ledger.check import differences
from lumen.ledger.known import Known
from tests.lumen.ledger.accounts import COIN, account, ask, open_client, outcome, settings
from tests.lumen.ledger.test_ledger import Source
from tests.lumen.test_database import add_client, names, only_postgresql

only_serializable = pytest.mark.parametrize('database_url', ['serializable'], indirect=True)
LONG = 30
COINS = {'coin': COIN}
EXACT = {'expected_input_tokens': 100, 'expected_output_tokens': 200}
"""A call that is expected to cost its whole bound, one coin."""


def number(topic: str) -> int:
    row = models.Revision.get_or_none(models.Revision.topic == topic)
    return 0 if row is None else row.number


def count_up(topic: str, between: Callable[[], None] = lambda: None) -> int:
    """Within a write: what is lost when another does the same at the same time. `between` comes in the middle."""
    before = number(topic)
    between()
    models.Revision.insert(topic=topic, number=before + 1).on_conflict(
        conflict_target=[models.Revision.topic], update={models.Revision.number: before + 1}
    ).execute()
    return before + 1


class Rival:
    """Another process that writes the same row, so many times, each time in the middle of somebody's transaction."""

    def __init__(self, url: str, times: float):
        self.calls = 0
        self._url = url
        self._times = times

    def __call__(self) -> None:
        self.calls += 1
        if self.calls <= self._times:
            with psycopg.connect(self._url) as connection:
                connection.execute(
                    "insert into revision (topic, number) values ('t', 1)"
                    ' on conflict (topic) do update set number = revision.number + 1'
                )


@only_serializable
def test_the_address_says_the_isolation_of_writes(database: Database):
    def isolation() -> str:
        return str(database.engine.execute_sql('show transaction_isolation').fetchone()[0])

    assert database.write_now(isolation) == 'serializable'
    assert database.read_now(isolation) == 'repeatable read'


@only_serializable
def test_a_write_that_another_came_between_is_repeated(database: Database, database_url: str):
    rival = Rival(database_url, times=3)
    assert database.write_now(count_up, 't', rival) == 4
    assert rival.calls == 4
    assert database.read_now(number, 't') == 4


@only_serializable
@pytest.mark.parametrize('is_repeated', [True, False])
def test_a_conflict_that_shows_only_at_commit_is_one_too(
    database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch, is_repeated: bool
):
    """Two who each read what the other writes: neither waits for the other, and one must give way (write skew)."""
    asked = []
    monkeypatch.setattr(database._writer, '_was_carried_out', asked.append)
    calls = itertools.count()

    def write_one() -> int:
        call, found = next(calls), len(names())
        if call == 0:
            with psycopg.connect(database_url) as other:
                other.execute('select count(*) from account').fetchone()
                other.execute("insert into revision (topic, number) values ('t', 1)")
                database.engine.execute_sql('select count(*) from revision')
                add_client(f'after {found}')
        else:
            add_client(f'after {found}, again')
        return call

    if is_repeated:
        assert database.write_now(write_one) == 1
        assert database.read_now(names) == ['after 0, again']
    else:
        monkeypatch.setattr(conflicts, 'REPETITIONS', 0)
        with pytest.raises(DatabaseUnavailable, match='is busy'):
            database.write_now(write_one)
        assert database.read_now(names) == []
    assert asked == []  # the server said what became of it


@only_serializable
def test_a_batch_is_repeated_as_a_whole_and_each_of_it_told_once(database: Database, database_url: str):
    rival, told = Rival(database_url, times=2), []
    go = database.submit(lambda: asyncio.run(asyncio.sleep(0.2)))  # what is asked for meanwhile makes one batch
    futures = [
        database.submit(add_client, 'one'),
        database.submit(count_up, 't', rival),
        database.submit(add_client, 'one'),
        database.submit(add_client, 'two'),
    ]
    for future in futures:
        future.add_done_callback(told.append)
    go.result(LONG)
    ends = [type(future.exception(LONG)).__name__ for future in futures]
    assert ends == ['NoneType', 'NoneType', 'IntegrityError', 'NoneType']
    assert rival.calls == 3
    assert len(told) == 4
    assert database.read_now(names) == ['one', 'two']
    assert database.read_now(number, 't') == 3


@only_serializable
def test_repeating_comes_to_an_end(database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(conflicts, 'LONGEST_SECONDS', 0.001)
    rival = Rival(database_url, times=float('inf'))
    with pytest.raises(DatabaseUnavailable, match='is busy: could not serialize'):
        database.write_now(count_up, 't', rival)
    assert rival.calls == conflicts.REPETITIONS + 1
    assert database.write_now(add_client, 'one') > 0


@only_postgresql
def test_of_two_that_wait_for_each_other_one_is_repeated(
    database: Database, database_url: str, new_database: Callable[[str], Database]
):
    database.write_now(lambda: (count_up('t'), count_up('u')))
    calls = itertools.count()
    with psycopg.connect(database_url) as other:
        other.execute("set local deadlock_timeout = '10s'")  # so that it is not the one that has to give way
        other.execute("update revision set number = 7 where topic = 'u'")

        def in_the_other_order() -> None:
            update = 'update revision set number = number + 1 where topic = %s'
            database.engine.execute_sql(update, ('t',))
            if next(calls) == 0:
                other.pgconn.send_query(b"update revision set number = 7 where topic = 't'; commit")
            database.engine.execute_sql(update, ('u',))

        database.write_now(in_the_other_order)
        while other.pgconn.get_result() is not None:
            pass
    assert next(calls) >= 2  # again, if it was back before the other one had woken up
    assert [database.read_now(number, topic) for topic in 'tu'] == [8, 8]


@only_serializable
async def test_a_hold_is_placed_on_what_the_other_left(
    database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch
):
    """Another process takes coins after they were counted for two calls: only one of them is still paid for."""
    two = settings(max='2', refresh='0', starting='2')
    ledger, client = Ledger(database, Source(two)), await database.write(open_client, two)
    asks = [await database.read(ask, *client, **EXACT) for _ in range(2)]
    taking = itertools.count()
    read_accounts = Known.read_accounts

    def read_after_the_other(known: Known, ids: Collection[int]) -> None:
        """In the middle of the transaction, whose snapshot was taken before."""
        if next(taking) == 0:
            with psycopg.connect(database_url) as other:
                other.execute('update account set granted = granted - %(coin)s, balance = balance - %(coin)s', COINS)
        read_accounts(known, ids)

    monkeypatch.setattr(Known, 'read_accounts', read_after_the_other)
    holds = [asyncio.create_task(ledger.hold(each)) for each in asks]
    held, waits = await asyncio.wait(holds, return_when=asyncio.FIRST_COMPLETED)
    assert [(await each).amount for each in held] == [COIN]
    assert len(waits) == 1
    await asyncio.wrap_future(ledger.settle(await held.pop(), outcome(100, 200)))
    with pytest.raises(InsufficientCoins):
        await waits.pop()
    row = await database.read(account, client[0])
    assert (row.balance, row.held, row.spent, row.requests) == (0, 0, COIN, 1)
    assert await database.read(differences) == []
    assert next(taking) > 2
