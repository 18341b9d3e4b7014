"""Callers who hang up in the middle of a stream pay for what was generated until then, and stop the model server."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.processes import Processes, Running
from prove.caller import Answer, call
from prove.model_server import TEXT, Generated, ModelServer
from prove.proof import Proof, Wrongs
from prove.site import Site, model

EVENTS = 100
INTERVAL_SECONDS = 0.04
"""Between events: long enough that the next one is seldom written while a call is ended."""

AT_ONCE = 8
LEARNT = 40
"""Calls that end well before any is broken off: an estimate follows what a model server reports."""

ALLOWED_SHARE = 0.05
ALLOWED_MS = 100
POINTS = {'at 0 %': 1, 'at 25 %': EVENTS // 4, 'at 50 %': EVENTS // 2, 'at 99 %': EVENTS * 99 // 100}
MIDDLE, BEFORE = 'in the middle of an event', 'before the first byte'
CONTINUOUS, SILENT = 'continuous', 'silent'
POOL = {'max': '1000', 'refresh': '0', 'starting': '1000'}
MESSAGES = [{'role': 'user', 'content': ' '.join((TEXT * 8)[:400])}]


@dataclass(frozen=True, slots=True)
class Left:
    """A call that was broken off: what the caller got, and what the model server generated for it."""

    answer: Answer
    generated: Generated


async def prove(processes: Processes, directory: Path, database_url: str = '', *, times: int = 24) -> list[Proof]:
    """Each way of leaving, so many times, with usage that is reported as it goes, and with usage at the end."""
    async with ModelServer() as server:
        offered = [
            model(CONTINUOUS, server.port, continuous_usage=True, idle_timeout_seconds=10),
            model(SILENT, server.port, idle_timeout_seconds=10),
        ]
        site = Site(processes, directory, offered, [POOL], database_url)
        gateway = await asyncio.to_thread(site.serve)
        await _learn(server, site, gateway)
        proofs = []
        for name in (CONTINUOUS, SILENT):
            for point in (*POINTS, MIDDLE, BEFORE):
                left = await _leave(server, site, gateway, name, point, times)
                proofs.append(await asyncio.to_thread(_judged, site, name, point, left))
        site.stop(gateway)
    return proofs


async def _learn(server: ModelServer, site: Site, gateway: Running) -> None:
    for number in range(LEARNT):
        for name in (CONTINUOUS, SILENT):
            body = _body(name, f'learn {number} {name}', interval=0)
            if not (await call(gateway.port, site.keys[0], body)).is_whole_stream:
                raise SystemExit('a call that nobody breaks off does not end well')


async def _leave(server: ModelServer, site: Site, gateway: Running, name: str, point: str, times: int) -> list[Left]:
    turns = asyncio.Semaphore(AT_ONCE)

    async def once(number: int) -> Left:
        more: dict[str, Any] = {}
        if point == MIDDLE:
            more = {'fault': 'half', 'at': EVENTS // 3}
        elif point == BEFORE:
            more = {'fault': 'stall', 'at': 0}
        body = _body(name, f'{name} {point} {number}', **more)
        generated = server.asked(body['metadata']['name'], body)
        async with turns:
            if point in POINTS:
                answer = await call(
                    gateway.port, site.keys[0], body, leave=lambda answer: answer.events >= POINTS[point]
                )
            else:
                event = generated.halfway if point == MIDDLE else generated.asked
                answer = await call(gateway.port, site.keys[0], body, leave_after=event.wait())
            async with asyncio.timeout(10):
                await generated.ended.wait()
        return Left(answer, generated)

    return await asyncio.gather(*map(once, range(times)))


def _body(model_name: str, name: str, *, interval: float = INTERVAL_SECONDS, **more: Any) -> dict[str, Any]:
    told = {'name': name, 'events': EVENTS, 'interval': interval} | more
    return {'model': model_name, 'messages': MESSAGES, 'stream': True, 'metadata': told}


def _judged(site: Site, name: str, point: str, left: list[Left]) -> Proof:
    wrong = Wrongs()
    site.wait_until_settled()
    requests = site.requests()
    rows = [row for row in requests.values() if row.model == name and row.outcome == 'disconnected'][-len(left) :]
    wrong(len(rows) != len(left), f'{len(rows)} of {len(left)} are recorded as disconnected')
    price = site.configuration.current.model(name).price  # type: ignore[union-attr]  # it is configured above
    is_exact = name == CONTINUOUS and point != BEFORE
    off, on_the_way = 0.0, 0
    for row, each in zip(rows, left, strict=False):
        row = requests.get(each.answer.request_id, row)  # who left before the first byte was told no id
        read, written = each.generated.input_tokens, each.generated.output_tokens
        received = each.answer.events  # the others were on their way, and may have come to the gateway or not
        on_the_way += written - received
        least, most = price.cost(read, received), price.cost(read, written)
        share = max(least - row.cost, row.cost - most, 0) / most
        off = max(off, share)
        wrong(share > (0 if is_exact else ALLOWED_SHARE), f'{row.cost} nanocoins for {read} and {written} tokens')
        wrong(bool(row.estimated) == is_exact, f'marked {row.estimated} as estimated')
    slowest = max((each.generated.ended_at - (each.answer.hung_up_at or 0)) * 1000 for each in left)
    wrong(slowest >= ALLOWED_MS, f'a model server was stopped after {slowest:.0f} ms')
    wrong.add(site.wrong_in_the_books())
    how = 'exactly what was reported' if is_exact else 'within 5 %, marked estimated'
    return Proof(
        case=f'{point}, {"usage with each event" if name == CONTINUOUS else "usage at the end"}',
        on=site.engine,
        calls=len(left),
        stated=f'charged {how}; stopped within {ALLOWED_MS} ms; no hold left',
        found={
            'off by at most': f'{off:.2%}',
            'slowest stop': f'{slowest:.1f} ms',
            'events on their way': on_the_way,
        },
        wrong=wrong.all,
    )
