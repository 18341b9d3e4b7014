import asyncio

import peewee
import pytest

import models
from lumen.database import Database, now
from tests.conftest import Clock


def add_client(name: str) -> int:
    moment = now()
    return models.Account.create(
        kind='client', handle=name, name=name, created_at=moment, created_by='test', touched_at=moment
    ).id


def names() -> list[str]:
    return [row.name for row in models.Account.select().order_by(models.Account.name)]


async def test_what_was_written_can_be_read(database: Database):
    await database.write(add_client, 'one')
    assert await database.read(names) == ['one']


async def test_a_failing_write_undoes_only_itself(database: Database):
    futures = [database.submit(add_client, name) for name in ('a', 'b', 'a', 'c')]
    outcomes = await asyncio.gather(*map(asyncio.wrap_future, futures), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [int, int, peewee.IntegrityError, int]
    assert await database.read(names) == ['a', 'b', 'c']


async def test_read_refuses_to_write(database: Database):
    with pytest.raises(peewee.DatabaseError, match=r'read-?only'):
        await database.read(add_client, 'one')


async def test_a_query_on_the_event_loop_is_refused(database: Database):
    with pytest.raises(RuntimeError, match='on the event loop'):
        names()


def test_time_stands_still_within_a_transaction(database: Database, clock: Clock):
    def twice() -> tuple[int, int]:
        first = now()
        clock.advance(seconds=5)
        return first, now()

    first, second = database.write_now(twice)
    assert first == second
    assert database.read_now(now) == first + 5_000_000


def test_writes_that_are_queued_are_finished_before_closing(database_url: str):
    database = Database(database_url)
    futures = [database.submit(add_client, f'client-{number}') for number in range(50)]
    database.close()
    assert all(future.result() for future in futures)
