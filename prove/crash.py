"""A gateway that is killed in mid-call, again and again: what was answered is charged, and the books add up."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Sequence
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
    processes: Processes,
    directory: Path,
    database_url: str = '',
    *,
    kills: int = KILLS,
    gateways: int = 1,
    are_declared_dead: bool = False,
    seed: int = 0,
) -> list[Proof]:
    """Kill gateways under load at moments that `seed` gives.

    On SQLite the next one settles what the last one left, when it starts. On PostgreSQL another one that lives does it,
    which takes a while to be sure of a death: the next gateway is killed meanwhile. Of several `gateways` under load,
    one is killed each time, while the others serve on, and another one takes its place. Only the first is spared: to
    judge of the dead, one must have lived for half a minute.

    When they `are_declared_dead`, those who live need not find that out by half a minute of silence.
    """
    moments = random.Random(seed)  # noqa: S311 - a sequence to have again, no secret
    wrong = Wrongs()
    async with ModelServer() as server:
        site = Site(processes, directory, [model('m', server.port, price=PRICE)], [POOL], database_url)
        judges = [] if site.engine == 'SQLite' or gateways > 1 else [await asyncio.to_thread(site.serve)]
        deaths = Deaths(site)
        following = asyncio.create_task(deaths.follow())
        loads: list[Load] = []
        serving: list[Load] = []
        for number in range(kills):
            while len(serving) < gateways:
                serving.append(Load(site, f'{len(loads)}', CALLERS // gateways, on=(len(loads) % 2,)))
                loads.append(serving[-1])
                await serving[-1].begin()
            await asyncio.sleep(moments.uniform(*SECONDS))
            victim = serving.pop(moments.randrange(1, gateways) if gateways > 1 else 0)
            died_at = await victim.kill()
            deaths.add(died_at, await asyncio.to_thread(site.open_holds_of, victim.process_id))
            if are_declared_dead:
                await asyncio.to_thread(site.forget, victim.process_id)
            wrong.add([f'after kill {number + 1}: {each}' for each in await asyncio.to_thread(site.differences)])
        for load in serving:
            await load.end()
        if site.engine == 'SQLite':
            judges.append(await asyncio.to_thread(site.serve))
        with suppress(TimeoutError):
            async with asyncio.timeout(SETTLED_WITHIN + 5):
                await deaths.all_settled()
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        for gateway in [*judges, *(load.gateway for load in serving)]:
            site.stop(gateway)
    return [_judged(site, wrong, kills, gateways, loads, deaths)]


class Load:
    """A gateway, and callers who call it until it answers no more, whole answers and streams in turn."""

    def __init__(self, site: Site, name: str, callers: int, *, on: Sequence[int]):
        self.answered: list[Answer] = []
        self.number = 0
        self.gateway: Running
        self.process_id = ''
        """By which its holds are known."""
        self._site, self._name, self._callers, self._on = site, name, callers, on
        self._begun = asyncio.Event()
        self._is_over = False
        self._calling: asyncio.Future[list[None]]

    async def begin(self) -> None:
        """Return when the first answer has come."""
        before = await asyncio.to_thread(self._site.processes)
        self.gateway = await asyncio.to_thread(self._site.serve, on=self._on)
        (self.process_id,) = await asyncio.to_thread(self._site.processes) - before
        self._calling = asyncio.gather(*(self._call_on() for _ in range(self._callers)))
        await self._begun.wait()

    async def kill(self) -> float:
        """End the gateway in mid-call. Returns when that was."""
        self.gateway.process.kill()
        died_at = time.monotonic()
        await asyncio.to_thread(self.gateway.process.wait)
        await self._calling
        self._site.stop(self.gateway)
        return died_at

    async def end(self) -> None:
        """Return when the calls in flight have ended, and nobody calls any more."""
        self._is_over = True
        await self._calling

    async def _call_on(self) -> None:
        while not self._is_over and self.gateway.process.poll() is None:
            self.number += 1
            told = {'name': f'{self._name} {self.number}', 'input': INPUT, 'events': OUTPUT, 'interval': 0.003}
            body: dict[str, Any] = {'model': 'm', 'messages': MESSAGE, 'max_tokens': OUTPUT, 'metadata': told}
            if streams := self.number % 2 == 0:
                body['stream'] = True
            answer = await call(self.gateway.port, self._site.keys[0], body)
            if answer.status == 200 and (b'[DONE]' in answer.body if streams else answer.is_complete):
                self.answered.append(answer)
                self._begun.set()


class Deaths:
    """When gateways died, which calls they left, and when those were settled."""

    def __init__(self, site: Site):
        self.left: dict[str, float] = {}
        self.slowest = 0.0
        self.calls: set[str] = set()
        """All that were ever left."""
        self._site = site

    def add(self, died_at: float, holds: list[str]) -> None:
        """Take in a death, with the calls that it left."""
        self.left |= dict.fromkeys(holds, died_at)
        self.calls.update(holds)

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


def _judged(site: Site, wrong: Wrongs, kills: int, gateways: int, loads: list[Load], deaths: Deaths) -> Proof:
    requests = site.requests()
    answered = [answer for load in loads for answer in load.answered]
    due = Price(*map(from_text, PRICE)).cost(INPUT, OUTPUT)
    uncharged = [
        answer.request_id
        for answer in answered
        if (row := requests.get(answer.request_id)) is None or (row.outcome, row.cost) != ('success', due)
    ]
    # A COMMIT may have been on its way when its gateway died: then the server carries it out, and the call is charged.
    ended = ('interrupted', 'success')
    lost = [each for each in deaths.calls if (row := requests.get(each)) is None or row.outcome not in ended]
    wrong(bool(uncharged), f'{len(uncharged)} answers are not charged, like {uncharged[:1]}')
    wrong(not deaths.calls, 'no kill came in the middle of a call')
    wrong(bool(lost), f'{len(lost)} calls that were left were neither charged nor interrupted, like {lost[:1]}')
    wrong(bool(deaths.left), f'{len(deaths.left)} holds are left')
    wrong(deaths.slowest > SETTLED_WITHIN, f'a hold was settled after {deaths.slowest:.0f} s')
    wrong.add(site.wrong_in_the_books())
    found: dict[str, int | float | str] = {
        'answered': len(answered),
        'of these uncharged': len(uncharged),
        'left in mid-call': len(deaths.calls),
        'last of them settled after': f'{deaths.slowest:.1f} s',
    }
    return Proof(
        case=f'killed {kills} times under the load of {CALLERS} callers',
        on=site.described(gateways),
        calls=sum(load.number for load in loads),
        stated=f'nothing that was answered is uncharged; conservation holds; all settled within {SETTLED_WITHIN} s',
        found=found | site.taken_back(),
        wrong=wrong.all,
    )
