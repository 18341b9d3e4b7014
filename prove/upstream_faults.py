"""Model servers that fail in every way: each has its stated outcome, and the books add up."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import models
from bench.processes import Processes
from lumen.coins import Price
from prove.caller import Answer, call
from prove.correctness import MESSAGE
from prove.model_server import TEXT, Generated, ModelServer
from prove.proof import Proof, Wrongs
from prove.site import MAX_OUTPUT, Site, model

IDLE_SECONDS = 0.5
HALF = len(TEXT)
EVENTS = 2 * HALF
INPUT = 22
POOL = {'max': '1000', 'refresh': '0', 'starting': '1000'}
NOTHING, REPORTED, GENERATED, EXPECTED, ESTIMATE = (
    'nothing',
    'what was reported',
    'what was generated',
    'what was expected',
    'an estimate',
)
ALLOWED_SHARE = 0.05


@dataclass(frozen=True, slots=True)
class Fault:
    """What a model server does, and what must come of it: the answer, the outcome that is recorded, the charge."""

    name: str
    fault: str | int | None
    streams: bool
    status: int
    code: str
    outcome: str
    charged: str
    at: int = 1


def _whole(name: str, fault: str | int, *stated: Any, **more: Any) -> Fault:
    return Fault(name, fault, False, *stated, **more)


def _stream(name: str, fault: str | int, *stated: Any, **more: Any) -> Fault:
    return Fault(name, fault, True, *stated, **more)


def _refusals() -> list[Fault]:
    found = []
    for status in (400, 404, 413, 422):
        found.append(_whole(f'answers {status}', status, status, '', 'upstream_error', NOTHING))
    for status, told, code in (
        (401, 502, 'upstream_refused'),
        (403, 502, 'upstream_refused'),
        (429, 429, 'upstream_busy'),
        (500, 502, 'upstream_error'),
        (503, 502, 'upstream_error'),
    ):
        for make in (_whole, _stream):
            found.append(make(f'answers {status}', status, told, code, 'upstream_error', NOTHING))
    found.append(_whole('answers 504', 504, 504, 'upstream_timeout', 'timeout', NOTHING))
    return found


BROKE_OFF = (200, 'upstream_error', 'upstream_error_midstream', GENERATED)
SUCCESS, NOT_REPORTED = (200, '', 'success', REPORTED), (200, '', 'usage_missing', ESTIMATE)
FAILED = (502, 'upstream_error', 'upstream_error', NOTHING)
FAULTS = (
    *_refusals(),
    _whole('resets before it answers', 'reset', *FAILED, at=0),
    _stream('resets before it answers', 'reset', *FAILED, at=0),
    _whole('resets in the middle', 'reset', *FAILED),
    _stream('resets in the middle', 'reset', *BROKE_OFF, at=HALF + 1),
    _whole('stalls before it answers', 'stall', 504, 'upstream_timeout', 'timeout', EXPECTED),
    _stream('stalls before it answers', 'stall', 504, 'upstream_timeout', 'timeout', NOTHING, at=0),
    _stream('stalls in the middle', 'stall', 200, 'upstream_timeout', 'timeout', GENERATED, at=HALF + 1),
    _whole('speaks no HTTP', 'not http', *FAILED),
    _stream('speaks no HTTP', 'not http', *FAILED),
    _whole('answers with what is no JSON', 'not json', *FAILED),
    _stream('sends an event that is no JSON', 'not json', *SUCCESS, at=HALF + 1),
    _whole('reports no usage', 'no usage', *NOT_REPORTED),
    _stream('reports no usage', 'no usage', *NOT_REPORTED),
    _whole('reports a negative number', 'negative', *NOT_REPORTED),
    _stream('reports a negative number', 'negative', *NOT_REPORTED),
    _whole('reports a huge number', 'huge', *NOT_REPORTED),
    _stream('reports a huge number', 'huge', *NOT_REPORTED),
    _whole('reports half of it', 'missing', *NOT_REPORTED),
    _stream('reports half of it', 'missing', *NOT_REPORTED),
    _stream('ends after half an event', 'half', *BROKE_OFF, at=HALF + 1),
    _stream('sends an event of 10 MB', 'large event', *SUCCESS, at=HALF + 1),
    _stream('sends an event of 20 MB', 'too large event', *BROKE_OFF, at=HALF + 1),
    # Lumen learns from these how long answers are.
    _whole('reports more than was asked for', 'more than asked', *SUCCESS),
    _stream('reports more than was asked for', 'more than asked', *SUCCESS),
)


async def prove(
    processes: Processes, directory: Path, database_url: str = '', *, times: int = 5, faults: tuple[Fault, ...] = FAULTS
) -> list[Proof]:
    """Each fault so many times, one after the other, after some calls that went well."""
    async with ModelServer() as server:
        offered = [model('m', server.port, idle_timeout_seconds=IDLE_SECONDS)]
        site = Site(processes, directory, offered, [POOL], database_url)
        gateway = await asyncio.to_thread(site.serve)
        price = site.configuration.current.models[0].price
        proofs = []
        for number in range(30):
            learn = Fault('', None, number % 2 == 0, *SUCCESS)
            await call(gateway.port, site.keys[0], _body(learn, f'learn {number}'))
        for fault in faults:
            known = set(await asyncio.to_thread(site.requests))
            wrong = Wrongs()
            for number in range(times):
                body = _body(fault, f'{fault.name} {fault.streams} {number}')
                generated = server.asked(body['metadata']['name'], body)
                answer = await call(gateway.port, site.keys[0], body)
                _judge_answer(wrong, fault, answer)
                await asyncio.to_thread(site.wait_until_settled)
                rows = {key: row for key, row in (await asyncio.to_thread(site.requests)).items() if key not in known}
                known |= set(rows)
                wrong(len(rows) != 1, f'{len(rows)} requests are recorded of one call')
                for row in rows.values():
                    _judge_row(wrong, fault, row, generated, price)
            wrong.add(await asyncio.to_thread(site.wrong_in_the_books))
            proofs.append(
                Proof(
                    case=f'{"stream" if fault.streams else "whole answer"}: {fault.name}',
                    on=site.engine,
                    calls=times,
                    stated=_stated(fault),
                    found={'as stated': times if not wrong.all else 0},
                    wrong=wrong.all,
                )
            )
        site.stop(gateway)
    return proofs


def _body(fault: Fault, name: str) -> dict[str, Any]:
    told = {'name': name, 'fault': fault.fault, 'at': fault.at, 'events': EVENTS, 'input': INPUT}
    return {'model': 'm', 'messages': MESSAGE, 'max_tokens': EVENTS, 'stream': fault.streams, 'metadata': told}


def _stated(fault: Fault) -> str:
    if fault.streams and fault.status == 200:
        answer = f'ends with the error `{fault.code}`' if fault.code else 'passed on'
    else:
        answer = f'{fault.status} `{fault.code}`' if fault.code else ('passed on' if fault.status != 200 else '200')
    return f'{answer}; `{fault.outcome}`; charged {fault.charged}'


def _judge_answer(wrong: Wrongs, fault: Fault, answer: Answer) -> None:
    code = answer.code if fault.code else ''  # what is passed on has one of the model server's
    wrong((answer.status, code) != (fault.status, fault.code), f'{answer.status} {code}')
    wrong(not answer.is_complete, 'the answer breaks off')
    if fault.streams and fault.status == 200:
        wrong(answer.is_whole_stream == bool(fault.code), 'the end of the stream')


def _judge_row(wrong: Wrongs, fault: Fault, row: models.Request, generated: Generated, price: Price) -> None:
    tokens = row.input_tokens, row.output_tokens
    wrong(row.outcome != fault.outcome, f'the outcome {row.outcome}')
    wrong(row.shortfall != 0, f'a shortfall of {row.shortfall}')
    wrong(row.cost != price.cost(*tokens), f'{row.cost} nanocoins for {tokens} tokens')
    wrong(row.estimated == (fault.charged in (NOTHING, REPORTED)), f'marked {row.estimated} as estimated')
    if fault.charged == NOTHING:
        wrong(tokens != (0, 0), f'charged for {tokens} tokens')
    elif fault.charged == REPORTED:
        wrong(tokens != generated.reported, f'charged for {tokens} tokens, reported {generated.reported}')
    elif fault.charged == EXPECTED:
        wrong(not 0 < row.output_tokens <= min(EVENTS, MAX_OUTPUT) or row.input_tokens == 0, f'charged for {tokens}')
    else:
        due = price.cost(generated.input_tokens, generated.output_tokens)
        wrong(abs(row.cost - due) > ALLOWED_SHARE * due, f'charged {row.cost} where {due} were generated')
