"""What is changed beside the gateways that share a database: each knows it in time, and charges by it exactly."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import models
from bench.processes import Processes, Running
from lumen.coins import Price, from_text
from lumen.identity import keys
from lumen.identity.permissions import COMMAND_LINE
from lumen.records import clients
from prove.caller import Answer, call
from prove.correctness import MESSAGE
from prove.model_server import ModelServer
from prove.proof import Proof, Wrongs
from prove.site import Site, model

TIMES = 20
KNOWN_WITHIN = 1.0
"""Seconds from the commit of a change on, after which no gateway may let a call in any more."""

FILE_WITHIN = 5.0
"""Seconds from the change of `config.yaml` on."""

BEFORE, AFTER = ('1000', '2000'), ('3000', '7000')
INPUT, OUTPUT = 22, 3
POOL = {'max': '100000', 'refresh': '0', 'starting': '100000'}
PAUSE = 0.02
"""Seconds between two calls of one caller."""


async def prove(
    processes: Processes, directory: Path, database_url: str = '', *, times: int = TIMES, gateways: int = 1
) -> list[Proof]:
    """Change a price once; revoke keys and deactivate clients, together so often, while all gateways are called."""
    async with ModelServer() as server:
        site = Site(processes, directory, [model('m', server.port, price=BEFORE)], [POOL] * times, database_url)
        serving = [await asyncio.to_thread(site.serve, on=(number % 2,)) for number in range(gateways)]
        proofs = [
            await _price(site, serving),
            await _refused(site, serving, 'a key is revoked', 401, _revoke, range(times // 2)),
            await _refused(site, serving, 'a client is deactivated', 403, _deactivate, range(times // 2, times)),
        ]
        for gateway in serving:
            site.stop(gateway)
    return proofs


async def _refused(
    site: Site, serving: list[Running], case: str, status: int, change: Callable[[Site, int], float], numbers: range
) -> Proof:
    wrong = Wrongs()
    slowest, calls = 0.0, 0
    for number in numbers:
        begun: list[tuple[float, Answer]] = []
        calling = [asyncio.create_task(_call_until(status, gateway, site.keys[number], begun)) for gateway in serving]
        async with asyncio.timeout(30):
            while sum(answer.status == 200 for _, answer in begun) < 2 * len(serving):  # noqa: ASYNC110 - it is asked here
                await asyncio.sleep(PAUSE)
        changed_at = await asyncio.to_thread(change, site, number)
        async with asyncio.timeout(30):
            await asyncio.gather(*calling)
        let_in = [at - changed_at for at, answer in begun if answer.status == 200]
        slowest = max(slowest, *let_in)
        calls += len(begun)
        others = {answer.status for _, answer in begun} - {200, status}
        wrong(bool(others), f'answers of status {others}')
    wrong(slowest > KNOWN_WITHIN, f'a call was let in {slowest:.2f} s later')
    wrong.add(site.wrong_in_the_books())
    stated = f'refused by all within {KNOWN_WITHIN:g} s'
    later = f'{max(0.0, slowest):.2f} s'
    found: dict[str, int | float | str] = {'times': len(numbers), 'last call let in after': later}
    return Proof(case, site.described(len(serving)), calls, stated, found, wrong.all)


async def _price(site: Site, serving: list[Running]) -> Proof:
    wrong = Wrongs()
    old, new = (Price(*map(from_text, price)).cost(INPUT, OUTPUT) for price in (BEFORE, AFTER))
    begun: list[tuple[float, Answer]] = []
    is_over = asyncio.Event()
    calling = [asyncio.create_task(_call_on(is_over, gateway, site.keys[0], begun)) for gateway in serving]
    async with asyncio.timeout(30):
        while sum(answer.status == 200 for _, answer in begun) < 2 * len(serving):  # noqa: ASYNC110 - it is asked here
            await asyncio.sleep(PAUSE)
    changed_at = time.monotonic()
    site.configuration_file.write_text(_with_price(site.configuration_file.read_text()))
    while time.monotonic() < changed_at + FILE_WITHIN + 0.5:  # noqa: ASYNC110 - so long calls go on
        await asyncio.sleep(PAUSE)
    is_over.set()
    await asyncio.gather(*calling)
    requests = await asyncio.to_thread(site.requests)
    costs = {answer.request_id: requests[answer.request_id].cost for _, answer in begun if answer.status == 200}
    wrong(len(costs) != len(begun), f'{len(begun) - len(costs)} were refused')
    wrong(bool(set(costs.values()) - {old, new}), f'charged {set(costs.values()) - {old, new}}')
    wrong(new not in costs.values(), 'the new price never applied')
    at_old = [at - changed_at for at, answer in begun if costs.get(answer.request_id) == old]
    wrong(max(at_old) > FILE_WITHIN, f'the old price applied {max(at_old):.2f} s later')
    wrong.add(site.wrong_in_the_books())
    return Proof(
        'a price changes in the file',
        site.described(len(serving)),
        len(begun),
        f'each call charged at the old or the new price exactly; at the new one by all within {FILE_WITHIN:g} s',
        {'old price last after': f'{max(at_old):.2f} s', 'at the new price': list(costs.values()).count(new)},
        wrong.all,
    )


def _with_price(text: str) -> str:
    for before, after in zip(BEFORE, AFTER, strict=True):
        text = text.replace(f'"{before}"', f'"{after}"', 1)
    return text


def _revoke(site: Site, number: int) -> float:
    settings = site.configuration.current
    account = site.account(number)
    (key,) = site.read(lambda: list(models.ApiKey.select().where(models.ApiKey.account == account.id)))
    return site.write(partial(keys.revoke_key, COMMAND_LINE, key.id, settings=settings))


def _deactivate(site: Site, number: int) -> float:
    settings = site.configuration.current
    return site.write(partial(clients.set_active, COMMAND_LINE, site.account(number).id, False, settings=settings))


async def _call_until(status: int, gateway: Running, key: str, begun: list[tuple[float, Answer]]) -> None:
    """Call one gateway again and again, until it refuses with `status` ten times in a row."""
    refused = 0
    while refused < 10:
        answer = await _call(gateway, key, begun)
        refused = refused + 1 if answer.status == status else 0
        await asyncio.sleep(PAUSE)


async def _call_on(is_over: asyncio.Event, gateway: Running, key: str, begun: list[tuple[float, Answer]]) -> None:
    while not is_over.is_set():
        await _call(gateway, key, begun)
        await asyncio.sleep(PAUSE)


async def _call(gateway: Running, key: str, begun: list[tuple[float, Answer]]) -> Answer:
    """Call once; note when that was begun."""
    told = {'name': f'{len(begun)}', 'input': INPUT, 'events': OUTPUT}
    at = time.monotonic()
    answer = await call(gateway.port, key, {'model': 'm', 'messages': MESSAGE, 'max_tokens': OUTPUT, 'metadata': told})
    begun.append((at, answer))
    return answer
