"""A gateway that is killed in mid-call, again and again: what was answered is charged, and the books add up."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from bench.processes import Processes, Running
from lumen.coins import Price, from_text
from prove.caller import Answer, call
from prove.correctness import MESSAGE
from prove.model_server import ModelServer
from prove.proof import Proof, Wrongs
from prove.site import Site, model

KILLS = 20
CALLERS = 16
SECONDS = (0.2, 1.2)
"""Between the first call and the kill: some moment between these."""

SETTLED_WITHIN = 60
PRICE = ('1000', '2000')
INPUT, OUTPUT = 22, 10
POOL = {'max': '100000', 'refresh': '0', 'starting': '100000'}


async def prove(
    processes: Processes, directory: Path, database_url: str = '', *, kills: int = KILLS, seed: int = 0
) -> list[Proof]:
    """Kill gateways under load at moments that `seed` gives.

    On SQLite the next one settles what the last one left, when it starts. On PostgreSQL another one that lives does it,
    which takes a while to be sure of a death: the next gateway is killed meanwhile.
    """
    moments = random.Random(seed)  # noqa: S311 - a sequence to have again, no secret
    wrong = Wrongs()
    async with ModelServer() as server:
        site = Site(processes, directory, [model('m', server.port, price=PRICE)], [POOL], database_url)
        living = [] if site.engine == 'SQLite' else [await asyncio.to_thread(site.serve)]
        answered: list[Answer] = []
        deaths = Deaths(site)
        following = asyncio.create_task(deaths.follow())
        calls = 0
        for number in range(kills):
            gateway = await asyncio.to_thread(site.serve)
            load = Load(gateway, site.keys[0], f'{number}')
            calling = asyncio.create_task(load.run())
            await load.begun.wait()
            await asyncio.sleep(moments.uniform(*SECONDS))
            gateway.process.kill()
            died_at = time.monotonic()
            await asyncio.to_thread(gateway.process.wait)
            await calling
            site.stop(gateway)
            deaths.add(died_at, await asyncio.to_thread(site.open_holds))
            answered += load.answered
            calls += load.number
            wrong.add([f'after kill {number + 1}: {each}' for each in await asyncio.to_thread(site.differences)])
        if site.engine == 'SQLite':
            living.append(await asyncio.to_thread(site.serve))
        with suppress(TimeoutError):
            async with asyncio.timeout(SETTLED_WITHIN + 5):
                await deaths.all_settled()
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        for gateway in living:
            site.stop(gateway)
    return [_judged(site, wrong, kills, calls, answered, deaths)]


class Load:
    """Callers who call a gateway until it answers no more, whole answers and streams in turn."""

    def __init__(self, gateway: Running, key: str, name: str):
        self.answered: list[Answer] = []
        self.begun = asyncio.Event()
        self.number = 0
        self._gateway, self._key, self._name = gateway, key, name

    async def run(self) -> None:
        """Return when the gateway is gone."""
        await asyncio.gather(*(self._call_on() for _ in range(CALLERS)))

    async def _call_on(self) -> None:
        while self._gateway.process.poll() is None:
            self.number += 1
            told = {'name': f'{self._name} {self.number}', 'input': INPUT, 'events': OUTPUT, 'interval': 0.003}
            body: dict[str, Any] = {'model': 'm', 'messages': MESSAGE, 'max_tokens': OUTPUT, 'metadata': told}
            if streams := self.number % 2 == 0:
                body['stream'] = True
            answer = await call(self._gateway.port, self._key, body)
            if answer.status == 200 and (b'[DONE]' in answer.body if streams else answer.is_complete):
                self.answered.append(answer)
                self.begun.set()


class Deaths:
    """When gateways died, which calls they left, and when those were settled."""

    def __init__(self, site: Site):
        self.left: dict[str, float] = {}
        self.slowest = 0.0
        self.calls = 0
        self._site = site

    def add(self, died_at: float, holds: list[str]) -> None:
        """Take in a death, with all calls that are held now: what is known already belongs to an earlier one."""
        for request_id in holds:
            if request_id not in self.left:
                self.left[request_id] = died_at
                self.calls += 1

    async def follow(self) -> None:
        """Look at what is left, until cancelled."""
        while True:
            held = set(await asyncio.to_thread(self._site.open_holds))
            for request_id, died_at in tuple(self.left.items()):
                if request_id not in held:
                    self.slowest = max(self.slowest, time.monotonic() - died_at)
                    del self.left[request_id]
            await asyncio.sleep(0.1)

    async def all_settled(self) -> None:
        """Return when nothing is left."""
        await _until(lambda: not self.left)


async def _until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - what it waits for is in a database
        await asyncio.sleep(0.05)


def _judged(site: Site, wrong: Wrongs, kills: int, calls: int, answered: list[Answer], deaths: Deaths) -> Proof:
    requests = site.requests()
    due = Price(*map(from_text, PRICE)).cost(INPUT, OUTPUT)
    uncharged = [
        answer.request_id
        for answer in answered
        if (row := requests.get(answer.request_id)) is None or (row.outcome, row.cost) != ('success', due)
    ]
    interrupted = [row for row in requests.values() if row.outcome == 'interrupted']
    wrong(bool(uncharged), f'{len(uncharged)} answers are not charged, like {uncharged[:1]}')
    wrong(deaths.calls == 0, 'no kill came in the middle of a call')
    wrong(len(interrupted) < deaths.calls, f'{deaths.calls} calls were left and {len(interrupted)} interrupted')
    wrong(bool(deaths.left), f'{len(deaths.left)} holds are left')
    wrong(deaths.slowest > SETTLED_WITHIN, f'a hold was settled after {deaths.slowest:.0f} s')
    wrong.add(site.wrong_in_the_books())
    return Proof(
        case=f'killed {kills} times under the load of {CALLERS} callers',
        on=site.engine,
        calls=calls,
        stated=f'nothing that was answered is uncharged; conservation holds; all settled within {SETTLED_WITHIN} s',
        found={
            'answered': len(answered),
            'of these uncharged': len(uncharged),
            'left in mid-call': deaths.calls,
            'last of them settled after': f'{deaths.slowest:.1f} s',
        },
        wrong=wrong.all,
    )
