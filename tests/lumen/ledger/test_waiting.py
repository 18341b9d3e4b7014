"""Calls that wait for coins: in order, as long as they may, and never when it is no use."""

import asyncio
import time
from typing import Any

import pytest

import models
from lumen.config.settings import Settings
from lumen.database import Database, now
from lumen.errors import Forbidden, InsufficientCoins
from lumen.ledger import Ask, Held, Ledger, recovery
from lumen.ledger.check import differences
from tests.conftest import Clock, wait_until
from tests.lumen.ledger.accounts import COIN, account, ask, open_client, outcome, settings
from tests.lumen.ledger.test_ledger import Source

ONE = settings(max='1', refresh='0', starting='1')
EXACT = {'expected_input_tokens': 100, 'expected_output_tokens': 200}
"""A call that is expected to cost its whole bound, one coin."""


def waiting(pool: Settings, seconds: float) -> Source:
    return Source(pool.model_copy(update={'budget': pool.budget.model_copy(update={'wait_seconds': seconds})}))


async def start(database: Database, source: Source) -> tuple[Ledger, tuple[int, int]]:
    return Ledger(database, source), await database.write(open_client, source.current)


async def ask_for(database: Database, client: tuple[int, int], **changes: Any) -> Ask:
    return await database.read(ask, *client, **(EXACT | changes))


async def settled(ledger: Ledger, held: Held, input_tokens: int, output_tokens: int) -> None:
    await asyncio.wrap_future(ledger.settle(held, outcome(input_tokens, output_tokens)))


async def in_line(ledger: Ledger, account_id: int, count: int) -> None:
    """Return when so many wait."""
    await asyncio.to_thread(wait_until, lambda: len(ledger._lines._lines.get(account_id, ())) == count)


async def test_a_call_waits_until_one_in_flight_leaves_what_it_needs(
    database: Database, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr('lumen.ledger.waiting.LOOK_AGAIN_SECONDS', 60)
    ledger, client = await start(database, waiting(ONE, 30))
    first = await ledger.hold(await ask_for(database, client))
    second = asyncio.create_task(ledger.hold(await ask_for(database, client, output_bound=100)))
    await in_line(ledger, client[0], 1)
    begun = time.monotonic()
    await settled(ledger, first, 100, 50)  # 0.4 of the coin
    held = await second
    assert time.monotonic() - begun < 10  # told, and not only found when it looked again
    assert held.amount == COIN * 6 // 10
    await settled(ledger, held, 100, 100)
    assert (await database.read(account, client[0])).balance == 0
    assert ledger._lines.is_empty(client[0])
    assert await database.read(differences) == []


async def test_who_came_first_is_served_first_and_nobody_overtakes(database: Database):
    ledger, client = await start(database, waiting(settings(max='4', refresh='0', starting='4'), 30))
    in_flight = [await ledger.hold(await ask_for(database, client)) for _ in range(4)]
    served: list[str] = []

    async def call(name: str, **changes: Any) -> None:
        held = await ledger.hold(await ask_for(database, client, **changes))
        served.append(name)
        await settled(ledger, held, 1, 0)

    tasks = []
    for number, name in enumerate(('large', 'small', 'smaller'), 1):
        size = {'output_bound': 700} if name == 'large' else {'output_bound': 10, 'expected_output_tokens': 10}
        tasks.append(asyncio.create_task(call(name, **size)))
        await in_line(ledger, client[0], number)
    await settled(ledger, in_flight[0], 1, 0)  # enough for the small ones, not for the one before them
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.shield(tasks[1]), 1)
    assert served == []
    for held in in_flight[1:]:
        await settled(ledger, held, 1, 0)
    await asyncio.gather(*tasks)
    assert served == ['large', 'small', 'smaller']
    assert await database.read(differences) == []


async def test_who_hangs_up_gives_the_place_to_the_next(database: Database):
    ledger, client = await start(database, waiting(ONE, 30))
    first = await ledger.hold(await ask_for(database, client))
    leaving = asyncio.create_task(ledger.hold(await ask_for(database, client)))
    await in_line(ledger, client[0], 1)
    staying = asyncio.create_task(ledger.hold(await ask_for(database, client, output_bound=100)))
    await in_line(ledger, client[0], 2)
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    await settled(ledger, first, 100, 50)
    await settled(ledger, await staying, 0, 0)
    row = await database.read(account, client[0])
    assert (row.held, row.balance) == (0, COIN * 6 // 10)
    assert await database.read(differences) == []


async def test_the_refill_that_falls_due_in_time_is_waited_for(database: Database, clock: Clock):
    pool = settings(max='1', refresh='3600', starting='0')  # one coin a second
    ledger, client = await start(database, waiting(pool, 30))
    call = asyncio.create_task(ledger.hold(await ask_for(database, client)))
    await in_line(ledger, client[0], 1)
    clock.advance(seconds=0.999)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.shield(call), 1)
    clock.advance(seconds=0.001)
    assert (await call).amount == COIN


async def test_a_refill_that_comes_too_late_is_not_waited_for(database: Database):
    ledger, client = await start(database, waiting(settings(max='1', refresh='100', starting='0'), 30))
    with pytest.raises(InsufficientCoins) as refused:
        await asyncio.wait_for(ledger.hold(await ask_for(database, client)), 5)
    assert refused.value.available_in_seconds == 36
    assert refused.value.obtainable_in_us == 36_000_000


async def test_what_the_pool_can_never_pay_is_refused_at_once(database: Database):
    ledger, client = await start(database, waiting(ONE, 30))
    await ledger.hold(await ask_for(database, client))
    with pytest.raises(InsufficientCoins) as refused:
        await asyncio.wait_for(
            ledger.hold(await ask_for(database, client, output_bound=201, expected_output_tokens=201)), 5
        )
    assert (refused.value.balance, refused.value.held, refused.value.needed) == (COIN, COIN, COIN + COIN // 250)
    assert refused.value.obtainable_in_us is None


@pytest.mark.parametrize('seconds', [0, 0.2])
async def test_after_the_time_that_one_may_wait_the_answer_is_a_refusal(database: Database, seconds: float):
    ledger, client = await start(database, waiting(ONE, seconds))
    first = await ledger.hold(await ask_for(database, client))
    begun = time.monotonic()
    with pytest.raises(InsufficientCoins) as refused:
        await asyncio.wait_for(ledger.hold(await ask_for(database, client)), 15)
    assert time.monotonic() - begun >= seconds
    assert refused.value.held == COIN
    assert ledger._lines.is_empty(client[0])
    await settled(ledger, first, 0, 0)
    assert (await database.read(account, client[0])).held == 0


async def test_a_deactivated_account_is_waited_for_no_longer(database: Database):
    ledger, client = await start(database, waiting(ONE, 30))
    await ledger.hold(await ask_for(database, client))
    call = asyncio.create_task(ledger.hold(await ask_for(database, client)))
    await in_line(ledger, client[0], 1)
    await database.write(_deactivate, client[0])
    with pytest.raises(Forbidden):
        await asyncio.wait_for(call, 15)


async def test_what_costs_nothing_does_not_wait(database: Database):
    ledger, client = await start(database, waiting(ONE, 30))
    await ledger.hold(await ask_for(database, client))
    waiter = asyncio.create_task(ledger.hold(await ask_for(database, client)))
    await in_line(ledger, client[0], 1)
    free = await ask_for(database, client)
    free = free._replace(price=type(free.price)(0, 0))
    assert (await asyncio.wait_for(ledger.hold(free), 5)).amount == 0
    waiter.cancel()


async def test_what_another_process_settles_is_seen_too(database: Database):
    ledger, client = await start(database, waiting(ONE, 30))
    other = Ledger(database, waiting(ONE, 30))
    first = await other.hold(await ask_for(database, client))
    call = asyncio.create_task(ledger.hold(await ask_for(database, client, output_bound=100)))
    await in_line(ledger, client[0], 1)
    await settled(other, first, 100, 50)
    assert (await asyncio.wait_for(call, 15)).amount == COIN * 6 // 10


several_processes = pytest.mark.parametrize('database_url', ['postgresql'], indirect=True)


@several_processes
async def test_who_waits_in_one_process_is_not_overtaken_in_another(database: Database):
    source = waiting(settings(max='4', refresh='0', starting='4'), 30)
    ledger, client = await start(database, source)
    other = Ledger(database, source)
    in_flight = [await ledger.hold(await ask_for(database, client)) for _ in range(4)]
    large = asyncio.create_task(ledger.hold(await ask_for(database, client, output_bound=900)))
    await in_line(ledger, client[0], 1)
    await asyncio.to_thread(wait_until, lambda: database.read_now(models.Line.select().count) == 1)
    overtaking = 0

    async def take() -> None:
        """Hold a little all the time: a new one before the last is settled, so that never all is free."""
        nonlocal overtaking
        held: Held | None = None
        while not large.done():
            taken = await other.hold(await ask_for(database, client, output_bound=200))
            overtaking += not large.done()
            if held is not None:
                await settled(other, held, 0, 0)
            held = taken
        if held is not None:
            await settled(other, held, 0, 0)

    takers = [asyncio.create_task(take()) for _ in range(2)]
    for held in in_flight:
        await settled(ledger, held, 0, 0)
    await settled(ledger, await asyncio.wait_for(large, 20), 0, 0)
    await asyncio.gather(*takers)
    assert overtaking <= 2  # those that asked before it said that it stands first
    assert await database.read(models.Line.select().count) == 0
    assert await database.read(differences) == []


@several_processes
async def test_who_came_first_in_another_process_is_served_first(database: Database):
    source = waiting(ONE, 30)
    ledger, client = await start(database, source)
    others = [Ledger(database, source) for _ in range(3)]
    first = await ledger.hold(await ask_for(database, client))
    served: list[int] = []

    async def call(number: int) -> None:
        held = await others[number].hold(await ask_for(database, client))
        served.append(number)
        await settled(others[number], held, 0, 0)

    calls = []
    for number in (2, 0, 1):
        calls.append(asyncio.create_task(call(number)))
        await in_line(others[number], client[0], 1)
        await asyncio.sleep(0.3)  # so that each has said so, and who comes after has seen it
    await settled(ledger, first, 0, 0)
    await asyncio.wait_for(asyncio.gather(*calls), 20)
    assert served == [2, 0, 1]
    assert await database.read(differences) == []


@several_processes
async def test_whoever_stood_first_and_is_gone_is_forgotten(database: Database, clock: Clock):
    ledger, client = await start(database, waiting(ONE, 30))

    def stand_first(seen_at: int) -> None:
        models.Line.insert(account=client[0], process_id='gone', since=0, seen_at=seen_at).execute()

    await database.write(stand_first, await database.read(now))
    call = asyncio.create_task(ledger.hold(await ask_for(database, client)))
    await in_line(ledger, client[0], 1)
    clock.advance(seconds=1)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.shield(call), 1)
    clock.advance(seconds=1)
    await settled(ledger, await asyncio.wait_for(call, 20), 0, 0)
    assert [line.process_id for line in await database.read(lambda: list(models.Line.select()))] == ['gone']
    clock.advance(seconds=3600)
    pulse = recovery.Pulse(0, clock())
    await database.write(recovery.beat, ledger.process_id, 'gateway', pulse)
    assert await database.read(models.Line.select().count) == 0


@pytest.mark.parametrize('worth', [10, 100, 250])
async def test_of_five_hundred_at_once_exactly_those_are_served_that_the_pool_pays(database: Database, worth: int):
    pool = settings(max=f'{worth}', refresh='0', starting=f'{worth}')
    ledger, client = await start(database, waiting(pool, 30))
    asks = [await ask_for(database, client) for _ in range(500)]

    async def call(number: int) -> int:
        try:
            held = await ledger.hold(asks[number])
        except InsufficientCoins:
            return 0
        await asyncio.sleep(0)
        settlement = await asyncio.wrap_future(ledger.settle(held, outcome(100, 200)))
        assert (settlement.cost, settlement.shortfall) == (COIN, 0)
        return 1

    assert sum(await asyncio.gather(*map(call, range(500)))) == worth
    row = await database.read(account, client[0])
    assert (row.balance, row.held, row.spent, row.requests) == (0, 0, worth * COIN, worth)
    assert await database.read(differences) == []


async def test_none_is_refused_that_the_pool_pays_once_the_others_turn_out_cheaper(database: Database):
    """Each may cost a coin and does cost a tenth: all hundred are paid, though only ten can be held for at once."""
    ledger, client = await start(database, waiting(settings(max='10', refresh='0', starting='10'), 30))
    asks = [await ask_for(database, client, expected_input_tokens=10, expected_output_tokens=20) for _ in range(100)]

    async def call(number: int) -> None:
        held = await ledger.hold(asks[number])
        await settled(ledger, held, 10, 20)

    await asyncio.gather(*map(call, range(100)))
    row = await database.read(account, client[0])
    assert (row.balance, row.held, row.requests) == (0, 0, 100)
    assert await database.read(differences) == []


def _deactivate(account_id: int) -> None:
    row = account(account_id)
    type(row).update(active=False).where(type(row).id == account_id).execute()
