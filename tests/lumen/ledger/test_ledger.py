import asyncio

import pytest

import models
from lumen.config.settings import Settings
from lumen.database import Database
from lumen.errors import InsufficientCoins
from lumen.ledger import Ledger
from lumen.ledger.check import differences
from tests.conftest import Clock
from tests.lumen.ledger.accounts import COIN, account, ask, open_client, outcome, settings


class Source:
    def __init__(self, settings: Settings):
        self.current = settings


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
