import asyncio
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from urllib.parse import urlsplit

import psycopg
import pytest
from structlog.testing import capture_logs

import models
from lumen.config.settings import Settings
from lumen.database import Database
from lumen.errors import InsufficientCoins
from lumen.ledger import Ledger
from lumen.ledger.check import differences
from lumen.ledger.ledger import HEARTBEAT_SECONDS
from lumen.ledger.recovery import DEAD_AFTER_US
from tests.conftest import Clock
from tests.lumen.ledger.accounts import COIN, account, ask, open_client, outcome, settings


class Source:
    def __init__(self, settings: Settings):
        self.current = settings


Outage = tuple[Callable[[], None], Callable[[], None]]


class Gate:
    """A write at which the writer stands, in the middle of its transaction, until it is opened."""

    def __init__(self) -> None:
        self._reached, self._opened = threading.Event(), threading.Event()

    def stand(self) -> None:
        self._reached.set()
        assert self._opened.wait(30)

    async def reached(self) -> None:
        assert await asyncio.to_thread(self._reached.wait, 30)

    def open(self) -> None:
        self._opened.set()


TEN = Source(settings(max='10', refresh='0', starting='10'))


async def client_of(database: Database) -> tuple[int, int]:
    return await database.write(open_client, TEN.current)


async def test_a_hundred_calls_at_once_never_overspend(database: Database):
    ledger = Ledger(database, TEN)
    client = await client_of(database)
    asks = [await database.read(ask, *client) for _ in range(100)]

    async def call(number: int) -> bool:
        try:
            held = await ledger.hold(asks[number])
        except InsufficientCoins:
            return False
        await asyncio.wrap_future(ledger.settle(held, outcome(100, 200)))
        return True

    served = await asyncio.gather(*map(call, range(100)))
    row = await database.read(account, client[0])
    assert sum(served) == 10
    assert (row.balance, row.held, row.spent, row.requests) == (0, 0, 10 * COIN, 10)
    assert await database.read(differences) == []


async def test_a_caller_who_gives_up_while_a_hold_is_placed_leaves_none_behind(database: Database):
    ledger = Ledger(database, TEN)
    client = await client_of(database)
    call = await database.read(ask, *client)
    task = asyncio.create_task(ledger.hold(call))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await database.write(lambda: None)  # whatever had queued is committed after this, in order
    await database.write(lambda: None)
    row = await database.read(account, client[0])
    assert row.held == 0
    assert await database.read(differences) == []


async def test_a_caller_who_gives_up_once_the_hold_is_being_placed_leaves_none_behind(database: Database):
    ledger = Ledger(database, TEN)
    client = await client_of(database)
    call = await database.read(ask, *client)
    before, within = Gate(), Gate()
    database.submit(before.stand)
    await before.reached()
    # Both queue while the writer stands, so that one transaction takes them: it stands with the hold placed in it.
    task = asyncio.create_task(ledger.hold(call))
    await asyncio.sleep(0)
    database.submit(within.stand)
    before.open()
    await within.reached()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    within.open()
    await database.write(lambda: None)  # the hold is committed before this, and its end is queued
    await database.write(lambda: None)
    request = await database.read(lambda: models.Request.get())
    assert (request.request_id, request.outcome, request.cost) == (call.request_id, 'disconnected', 0)
    assert (await database.read(account, client[0])).held == 0
    assert await database.read(differences) == []


@pytest.fixture
def outage(database: Database, database_url: str, request: pytest.FixtureRequest) -> Outage:
    """Begins and ends what keeps every settlement from being written: a table out of reach, or the whole database."""
    if database.is_sqlite:

        def rename(old: str, new: str) -> None:
            with closing(sqlite3.connect(database.engine.database, timeout=10)) as other, other:
                other.execute(f'alter table {old} rename to {new}')

        return lambda: rename('request', 'out_of_reach'), lambda: rename('out_of_reach', 'request')
    server = request.getfixturevalue('postgresql_server')
    name = urlsplit(database_url).path.removeprefix('/')

    def allow(connections: bool) -> None:
        with psycopg.connect(server, autocommit=True) as other:
            other.execute(f'alter database {name} allow_connections {connections}')
            other.execute('select pg_terminate_backend(pid) from pg_stat_activity where datname = %s', [name])

    return lambda: allow(False), lambda: allow(True)


async def test_a_settlement_waits_for_a_database_that_is_out_of_reach(database: Database, outage: Outage):
    begin, end = outage
    ledger = Ledger(database, TEN)
    client = await client_of(database)
    held = await ledger.hold(await database.read(ask, *client))
    await asyncio.to_thread(begin)
    try:
        with capture_logs() as logged:
            settled = ledger.settle(held, outcome(10, 20))
            async with asyncio.timeout(30):
                while not any(entry['event'] == 'a settlement waits for the database' for entry in logged):
                    assert not settled.done()
                    await asyncio.sleep(0.01)
    finally:
        await asyncio.to_thread(end)
    cost = (await asyncio.wait_for(asyncio.wrap_future(settled), 30)).cost
    row = await database.read(account, client[0])
    assert (row.held, row.requests, row.spent) == (0, 1, cost)
    assert await database.read(differences) == []


def test_a_living_process_beats_several_times_before_it_would_be_taken_for_dead():
    assert 3 * HEARTBEAT_SECONDS * 1_000_000 <= DEAD_AFTER_US


async def test_calls_of_a_dead_process_are_settled_as_interrupted_at_the_expected_cost(
    database: Database, clock: Clock
):
    client = await client_of(database)
    dead = Ledger(database, TEN, 'dead')
    await dead.start('all')
    await dead.hold(await database.read(ask, *client))
    alive = Ledger(database, TEN, 'alive')
    recovered = await alive.start('all')
    if not database.is_sqlite:
        assert recovered == 0, 'another process of the same database may be alive'
        clock.advance(seconds=31)
        await alive.recover()
    request = await database.read(lambda: models.Request.get())
    assert (request.outcome, request.estimated, request.input_tokens, request.output_tokens) == (
        'interrupted',
        True,
        25,
        50,
    )
    assert request.cost == COIN // 4
    assert (await database.read(account, client[0])).held == 0
    assert await database.read(differences) == []


async def test_calls_of_the_living_are_left_alone(database: Database):
    client = await client_of(database)
    ledger = Ledger(database, TEN)
    await ledger.start('all')
    await ledger.hold(await database.read(ask, *client))
    assert await ledger.recover() == 0
    await ledger.stop()
    assert await ledger.recover() == 1


async def test_a_settlement_outlives_the_caller_who_waits_for_it(database: Database):
    ledger = Ledger(database, TEN)
    client = await client_of(database)
    held = await ledger.hold(await database.read(ask, *client))
    settled = ledger.settle(held, outcome(10, 20))
    waiting = asyncio.ensure_future(asyncio.wrap_future(settled))
    waiting.cancel()
    await database.write(lambda: None)
    assert (await database.read(account, client[0])).requests == 1
    assert settled.result(timeout=5).cost == COIN // 10
