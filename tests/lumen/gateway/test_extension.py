"""Streams that cost more than was held for them: as far as the pool goes, and no further."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from lumen.config.settings import Settings
from tests.conftest import wait_until
from tests.lumen.gateway.conftest import Running, ScriptedServer, configured
from tests.lumen.gateway.test_failures import call

Run = Callable[[Settings], Running]
Stream = Callable[[Running], Future[bytes]]
COIN = 1_000_000_000
DONE = b'data: [DONE]\n\n'


def event(output_tokens: int | None, text: str = 'text') -> bytes:
    chunk: dict[str, object] = {'choices': [{'index': 0, 'delta': {'content': text}}]}
    if output_tokens is not None:
        chunk['usage'] = {'prompt_tokens': 0, 'completion_tokens': output_tokens}
    return f'data: {json.dumps(chunk)}\n\n'.encode()


def script(server: ScriptedServer, *parts: bytes) -> None:
    server.script.headers = {'content-type': 'text/event-stream'}
    server.script.parts = list(parts)


@pytest.fixture
def stream() -> Iterator[Stream]:
    """Asks for a stream, beside the test; what came of it."""
    with ThreadPoolExecutor(4) as threads:
        yield lambda running: threads.submit(lambda: call(running, stream=True).content)


def test_more_is_held_while_the_pool_has_it(run: Run, scripted: ScriptedServer, stream: Stream):
    script(scripted, event(400), event(3000), event(3001) + DONE)
    scripted.script.waits_after = 1
    running = run(configured(scripted.address))
    answer = stream(running)
    wait_until(lambda: running.account().held >= 6 * COIN)
    assert running.account().held <= 10 * COIN
    scripted.script.proceed.set()
    assert b'[DONE]' in answer.result()
    (request,) = running.requests()
    assert (request.outcome, request.cost, request.shortfall) == ('success', 6_002_000_000, 0)
    running.assert_settled()


@pytest.mark.parametrize('last', [5001, 9000])
def test_a_stream_ends_when_the_pool_cannot_pay_it_any_more(
    run: Run, scripted: ScriptedServer, stream: Stream, last: int
):
    script(scripted, event(400), event(last), event(last + 100))
    scripted.script.waits_after = 1
    running = run(configured(scripted.address))
    answer = stream(running).result()
    found = json.loads(answer.rpartition(b'data: ')[2])
    assert (found['error']['type'], found['error']['code']) == ('insufficient_quota', 'insufficient_coins')
    assert answer.count(b'"text"') == 2
    assert b'[DONE]' not in answer
    assert scripted.script.left.wait(10)  # the model server is stopped
    (request,) = running.requests()
    assert (request.outcome, request.status, request.output_tokens) == ('insufficient_coins', 429, last)
    assert (request.cost, request.shortfall) == (10 * COIN, last * COIN // 500 - 10 * COIN)
    assert running.account().balance == 0
    running.assert_settled()


def test_to_the_last_coin_it_goes_on(run: Run, scripted: ScriptedServer, stream: Stream):
    script(scripted, event(400), event(5000) + DONE)
    running = run(configured(scripted.address))
    assert b'[DONE]' in stream(running).result()
    (request,) = running.requests()
    assert (request.outcome, request.cost, request.shortfall) == ('success', 10 * COIN, 0)
    running.assert_settled()


def test_one_that_reports_nothing_is_stopped_when_even_half_of_the_estimate_is_too_much(
    run: Run, scripted: ScriptedServer, stream: Stream
):
    script(scripted, *[event(None, 'x' * 10_000)] * 40)  # 2500 tokens each at four bytes a token: five coins
    scripted.script.waits_after = 9
    running = run(configured(scripted.address))
    answer = stream(running).result()
    assert b'insufficient_coins' in answer
    assert 5 <= answer.count(b'xxx"') <= 10  # half of four is what the pool pays; what came at once is passed on
    (request,) = running.requests()
    assert (request.outcome, request.estimated, request.cost) == ('insufficient_coins', True, 10 * COIN)
    assert request.shortfall > 0
    running.assert_settled()


def test_others_keep_what_is_held_for_them(run: Run, scripted: ScriptedServer, stream: Stream):
    script(scripted, event(400), event(4800), event(4900))
    scripted.script.waits_after = 0
    running = run(configured(scripted.address))
    first = stream(running)
    wait_until(lambda: len(scripted.script.received) == 1)
    second = stream(running)
    wait_until(lambda: len(scripted.script.received) == 2)
    held = running.account().held
    scripted.script.proceed.set()
    assert b'insufficient_coins' in first.result() + second.result()
    costs = sorted(request.cost for request in running.wait_for_requests(2))
    assert sum(costs) <= 10 * COIN
    assert costs[0] >= held // 2  # what was held for it at first was its own
    assert running.account().balance == 10 * COIN - sum(costs)
    running.assert_settled()


@pytest.mark.parametrize('pool', [{'max': '-2'}])
def test_an_unlimited_pool_ends_no_stream(run: Run, scripted: ScriptedServer, stream: Stream, pool: dict[str, str]):
    script(scripted, event(400), event(80_000) + DONE)
    running = run(configured(scripted.address, pool=pool))
    assert b'[DONE]' in stream(running).result()
    (request,) = running.requests()
    assert (request.outcome, request.cost) == ('success', 160 * COIN)
