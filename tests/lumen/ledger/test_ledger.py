import asyncio
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
from structlog.testing import capture_logs

import models
from lumen.config.settings import Settings
from lumen.database import Database
from lumen.errors import DatabaseUnavailable, InsufficientCoins
from lumen.ledger import Ledger, ledger, recovery
from lumen.ledger import ledger as ledger_module
from lumen.ledger.check import differences
from lumen.ledger.ledger import HEARTBEAT_SECONDS
from lumen.ledger.operations import carry_out, settle
from lumen.ledger.recovery import DEAD_AFTER_US
from lumen.waking import Patience
from tests.conftest import Clock, wait_until
from tests.lumen.ledger.accounts import COIN, account, ask, open_client, outcome, settings
from tests.postgresql_proxy import Proxy


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


async def beat_for(ledger: Ledger, clock: Clock, *, seconds: int) -> int:
    """Let time pass with a sign of life every 5 seconds. Returns how many calls were recovered."""
    recovered = 0
    for _ in range(seconds // 5):
        clock.advance(seconds=5)
        recovered += await ledger.beat()
    return recovered


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


def _no_thread(timer: threading.Timer) -> None:
    raise RuntimeError("can't start new thread")


@pytest.mark.parametrize('threads', ['to be had', 'not to be had'])
async def test_a_settlement_waits_for_a_database_that_is_out_of_reach(
    database: Database, outage: Outage, threads: str, monkeypatch: pytest.MonkeyPatch
):
    begin, end = outage
    ledger = Ledger(database, TEN)
    client = await client_of(database)
    held = await ledger.hold(await database.read(ask, *client))
    await asyncio.to_thread(begin)
    try:
        if threads == 'not to be had':
            monkeypatch.setattr(threading.Timer, 'start', _no_thread)
        with capture_logs() as logged:
            settled = ledger.settle(held, outcome(10, 20))
            async with asyncio.timeout(30):
                while not any(entry['event'] == 'a settlement waits for the database' for entry in logged):
                    assert not settled.done()
                    await asyncio.sleep(0.01)
    finally:
        await asyncio.to_thread(end)
    if threads == 'not to be had':
        await ledger.beat()
    cost = (await asyncio.wait_for(asyncio.wrap_future(settled), 30)).cost
    row = await database.read(account, client[0])
    assert (row.held, row.requests, row.spent) == (0, 1, cost)
    assert await database.read(differences) == []


@pytest.mark.parametrize('has_begun', [False, True], ids=['queued', 'begun'])
async def test_a_hold_that_the_database_does_not_answer_to_is_refused_and_leaves_nothing(
    database: Database, has_begun: bool, monkeypatch: pytest.MonkeyPatch
):
    ledger = Ledger(database, TEN)
    client = await client_of(database)
    asked = await database.read(ask, *client)
    gate = Gate()

    def stand_first(operations: Any) -> Any:
        gate.stand()
        return carry_out(operations)

    if has_begun:
        monkeypatch.setattr(ledger_module, 'carry_out', stand_first)
    else:
        database.submit(gate.stand)
        await gate.reached()
    database.patience = Patience(0.2)
    try:
        with pytest.raises(DatabaseUnavailable, match='does not answer'):
            await ledger.hold(asked)
        await gate.reached()
    finally:
        gate.open()
    database.patience = Patience(30)
    await asyncio.to_thread(wait_until, lambda: not ledger._open)
    row = await database.read(account, client[0])
    assert (row.held, row.spent, row.requests) == (0, 0, int(has_begun))
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
        assert await beat_for(alive, clock, seconds=35) == 1
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


@pytest.mark.parametrize('database_url', ['postgresql'], indirect=True)
@pytest.mark.parametrize('delivered', [True, False])
async def test_a_hold_whose_commit_got_no_answer_is_placed_once(
    proxy: Proxy, new_database: Callable[[str], Database], delivered: bool
):
    database = new_database(proxy.url)
    one = Ledger(database, TEN)
    client = await client_of(database)
    call = await database.read(ask, *client)
    proxy.cut(delivered=delivered)
    held = await one.hold(call)
    assert proxy.cuts == 1
    assert (await database.read(account, client[0])).held == held.amount == COIN
    await asyncio.wrap_future(one.settle(held, outcome(10, 20)))
    assert (await database.read(account, client[0])).held == 0
    assert await database.read(differences) == []


@pytest.mark.parametrize('database_url', ['postgresql'], indirect=True)
@pytest.mark.parametrize('delivered', [True, False])
async def test_a_hold_of_which_nobody_can_say_whether_it_was_placed_is_given_back(
    proxy: Proxy, new_database: Callable[[str], Database], delivered: bool
):
    database = new_database(proxy.url)
    one = Ledger(database, TEN)
    client = await client_of(database)
    call = await database.read(ask, *client)
    proxy.cut(delivered=delivered, stays_open=False)
    with pytest.raises(DatabaseUnavailable) as refused:
        await one.hold(call)
    assert refused.value.code == 'unavailable'
    proxy.is_open = True
    await asyncio.to_thread(wait_until, lambda: not one._open)
    row = await database.read(account, client[0])
    assert (row.held, row.spent) == (0, 0)
    assert await database.read(lambda: [each.outcome for each in models.Request]) == ['internal_error'] * delivered
    assert await database.read(differences) == []


@pytest.mark.parametrize('silent_for', [38, 3600])
async def test_after_an_outage_the_living_are_not_taken_for_dead(database: Database, clock: Clock, silent_for: int):
    client = await client_of(database)
    first, second = Ledger(database, TEN, 'first'), Ledger(database, TEN, 'second')
    await first.start('ui')
    await database.write(recovery.register, 'second', 'gateway', alone=False)
    held = await second.hold(await database.read(ask, *client))
    for _ in range(12):
        assert await beat_for(first, clock, seconds=5) == 0
        await second.beat()
    clock.advance(seconds=silent_for)
    assert await first.beat() == 0
    assert await beat_for(first, clock, seconds=25) == 0
    assert await second.beat() == 0
    assert await beat_for(first, clock, seconds=30) == 0
    assert (await asyncio.wrap_future(second.settle(held, outcome(10, 20)))).cost == COIN // 10
    assert await database.read(lambda: models.Request.get().outcome) == 'success'


async def test_the_calls_of_the_dead_are_settled_within_a_minute(database: Database, clock: Clock):
    client = await client_of(database)
    first = Ledger(database, TEN, 'first')
    await first.start('ui')
    await beat_for(first, clock, seconds=60)
    await database.write(recovery.register, 'dead', 'gateway', alone=False)
    await Ledger(database, TEN, 'dead').hold(await database.read(ask, *client))
    assert await beat_for(first, clock, seconds=30) == 0
    assert await beat_for(first, clock, seconds=10) == 1


async def test_a_settlement_after_that_of_another_is_not_charged_and_said_so(
    database: Database, capsys: pytest.CaptureFixture[str]
):
    client = await client_of(database)
    one = Ledger(database, TEN)
    held = await one.hold(await database.read(ask, *client))
    await database.write(settle, held.request_id, None, settings=TEN.current)
    assert (await asyncio.wrap_future(one.settle(held, outcome(10, 20)))).cost == COIN // 4
    assert 'settled as interrupted' in capsys.readouterr().out
    assert await database.read(differences) == []


class Unspeakable:
    """An id of a process that cannot be written."""

    def __str__(self) -> str:
        raise ZeroDivisionError


class Poisoned:
    """Settings that cannot say anything of one client."""

    def __init__(self, settings: Settings, handle: str):
        self._settings = settings
        self._handle = handle

    def pool(self, kind: str, handle: str) -> Any:
        if handle == self._handle:
            raise ZeroDivisionError(handle)
        return self._settings.pool(kind, handle)


async def test_a_hold_that_cannot_be_settled_does_not_stop_the_recovery_of_others(database: Database):
    bad = await database.write(open_client, TEN.current, 'bad')
    good = [await client_of(database) for _ in range(3)]
    dead = Ledger(database, TEN, 'dead')
    for client in (bad, *good):
        await dead.hold(await database.read(ask, *client))
    source = Source(Poisoned(TEN.current, 'bad'))  # type: ignore[arg-type]
    alive = Ledger(database, source)
    assert await asyncio.wait_for(alive.recover(), 20) == 3
    assert await asyncio.wait_for(alive.recover(), 20) == 0
    source.current = TEN.current
    assert await alive.recover() == 1
    assert await database.read(differences) == []


@pytest.mark.parametrize(('tokens', 'endpoint'), [(10, object()), ('5', ''), (-(10**30), '')])
async def test_a_settlement_that_fails_is_replaced_by_one_at_the_expected_cost(
    database: Database, tokens: Any, endpoint: Any
):
    client = await client_of(database)
    one = Ledger(database, TEN)
    held = await one.hold(await database.read(ask, *client))
    settled = await asyncio.wait_for(asyncio.wrap_future(one.settle(held, outcome(tokens, 20, endpoint=endpoint))), 20)
    assert settled.cost == COIN // 4
    request = await database.read(lambda: models.Request.get())
    assert (request.outcome, request.estimated, request.cost) == ('interrupted', True, COIN // 4)
    assert (await database.read(account, client[0])).held == 0
    assert await database.read(differences) == []


async def test_what_could_not_be_settled_at_all_is_tried_again_at_the_next_sign_of_life(database: Database):
    client = await database.write(open_client, TEN.current, 'bad')
    source = Source(TEN.current)
    one = Ledger(database, source)
    await one.start('all')
    held = await one.hold(await database.read(ask, *client))
    source.current = Poisoned(TEN.current, 'bad')  # type: ignore[assignment]
    with pytest.raises(ZeroDivisionError):
        await asyncio.wait_for(asyncio.wrap_future(one.settle(held, outcome(10, 20))), 20)
    assert await one.beat() == 0
    source.current = TEN.current
    assert await one.beat() == 1
    assert (await database.read(account, client[0])).held == 0


async def test_no_failure_ends_the_watch(database: Database, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(ledger, 'HEARTBEAT_SECONDS', 0)
    one = Ledger(database, TEN, Unspeakable())  # type: ignore[arg-type]
    watching = asyncio.create_task(one.watch())
    for _ in range(5):
        await database.write(lambda: None)
    assert not watching.done()
    one.process_id = 'well'
    while not await database.read(lambda: models.Process.select().count()):  # noqa: ASYNC110 - no event tells
        await asyncio.sleep(0)
    watching.cancel()
