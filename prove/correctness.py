"""Five hundred calls at once on a pool that is worth fewer: what it pays for is served, and nothing else."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

from bench.processes import Processes
from lumen.coins import Price, from_text
from prove.caller import Answer, call
from prove.model_server import ModelServer
from prove.proof import Proof, Wrongs
from prove.site import Site, coins, model

CALLS = 500
WORTH = (10, 100, 250)
PRICES = {
    'odd': ('1234.567891', '9876.543219'),
    'one': ('1000', '2000'),
    'three': ('3000', '6000'),
    'seven': ('7000', '14000'),
}
MIXED = ('one', 'three', 'seven')
STATED = 'overspend 0; shortfall 0; admitted exactly what the pool pays; refused nothing that it could pay'
OUTPUT = 20


async def prove(
    processes: Processes,
    directory: Path,
    database_url: str = '',
    *,
    calls: int = CALLS,
    worth: tuple[int, ...] = WORTH,
    gateways: int = 1,
    seed: int = 0,
) -> list[Proof]:
    """Calls of one price on pools that are worth so many of them, and of mixed prices on one of so many of the least.
    So many `gateways`, processes of their own, share them.

    A call may cost more than it does, so that it holds more than it is charged, and others wait for the rest.
    """
    pools = [{'max': coins(amount), 'refresh': '0', 'starting': coins(amount)} for amount in _amounts(worth)]
    async with ModelServer() as server:
        offered = [model(name, server.port, price=price) for name, price in PRICES.items()]
        site = Site(processes, directory, offered, pools, database_url)
        serving = [await asyncio.to_thread(site.serve, on=(number % 2,)) for number in range(gateways)]
        random_ = random.Random(seed)  # noqa: S311 - a sequence to have again, no secret
        proofs = []
        for number, amount in enumerate(_amounts(worth)):
            is_mixed = number >= len(worth)
            names = random_.choices(MIXED, (4, 2, 1), k=calls) if is_mixed else ['odd'] * calls
            bodies = [_body(f'{number}-{at}', name) for at, name in enumerate(names)]
            gate = asyncio.Event()
            calling = [
                asyncio.create_task(call(serving[at % gateways].port, site.keys[number], body, gate=gate))
                for at, body in enumerate(bodies)
            ]
            await asyncio.sleep(0)
            gate.set()
            answers = await asyncio.gather(*calling)
            proofs.append(_judged(site, number, amount, names, answers, gateways))
        for gateway in serving:
            site.stop(gateway)
    return proofs


def cost(name: str) -> int:
    """What a call of a model costs, in nanocoins."""
    return Price(*map(from_text, PRICES[name])).cost(_INPUT, OUTPUT)


def _amounts(worth: tuple[int, ...]) -> list[int]:
    return [count * cost('odd') for count in worth] + [count * cost('one') for count in worth]


MESSAGE = [{'role': 'user', 'content': 'What is six times seven, and why would anybody ask this'}]
_INPUT = 22
"""Tokens of input that the model server reports: a quarter of the 88 bytes, as Lumen expects of a new model."""


def _body(name: str, model_name: str) -> dict[str, Any]:
    return {
        'model': model_name,
        'messages': MESSAGE,
        'max_tokens': OUTPUT,
        'metadata': {'name': name, 'events': OUTPUT, 'input': _INPUT},
    }


def _judged(site: Site, number: int, amount: int, names: list[str], answers: list[Answer], gateways: int) -> Proof:
    wrong = Wrongs()
    admitted = [name for name, answer in zip(names, answers, strict=True) if answer.status == 200]
    refused = [name for name, answer in zip(names, answers, strict=True) if answer.status == 429]
    row, requests = site.account(number), site.requests()
    shortfall = sum(requests[answer.request_id].shortfall for answer in answers if answer.request_id in requests)
    spent = sum(map(cost, admitted))
    wrong(len(admitted) + len(refused) != len(answers), f'{len(answers) - len(admitted) - len(refused)} failed')
    wrong(any(answer.code != 'insufficient_coins' for answer in answers if answer.status == 429), 'another refusal')
    wrong(row.spent != spent, f'{row.spent} nanocoins are charged for calls that cost {spent}')
    wrong(row.spent > amount, f'overspent by {row.spent - amount} nanocoins')
    wrong(shortfall != 0, f'a shortfall of {shortfall} nanocoins')
    wrong(row.balance != amount - spent, f'a balance of {row.balance} nanocoins')
    could = [name for name in refused if cost(name) <= row.balance]
    wrong(bool(could), f'{len(could)} were refused that the pool could pay')
    wrong.add(site.wrong_in_the_books())
    kind = 'mixed prices, worth' if set(names) != {'odd'} else 'one price, worth'
    least = cost('one') if set(names) != {'odd'} else cost('odd')
    return Proof(
        case=f'{kind} {amount // least} of the least' if kind.startswith('mixed') else f'{kind} {amount // least}',
        on=site.described(gateways),
        calls=len(answers),
        stated=STATED,
        found={
            'admitted': len(admitted),
            'overspend': max(0, row.spent - amount),
            'shortfall': shortfall,
            'left': row.balance,
            'refused though payable': len(could),
        }
        | site.taken_back(),
        wrong=wrong.all,
    )
