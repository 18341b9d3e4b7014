"""What a key may use in a time: counted in one process, and in a real Redis by several."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random
from typing import Any

import openai
import pytest
from limits import parse
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from structlog.testing import capture_logs

from lumen.config.serving import KeyLimits, RateLimiting
from lumen.config.settings import Settings
from lumen.gateway import limits_in_memory, rate_limits
from lumen.gateway.limits_in_memory import InMemory
from tests import redis_server
from tests.conftest import wait_until
from tests.lumen.gateway.conftest import Running, ScriptedServer, configured
from tests.lumen.gateway.test_calls import MESSAGES
from tests.lumen.gateway.test_refusals import code, send
from tests.redis_server import RedisServer

Run = Callable[[Settings], Running]


def limited(entry: KeyLimits | None = None, **limits: Any) -> Settings:
    settings = configured('builtin:echo')
    clients = settings.clients
    if entry is not None:
        clients = clients | {'bot': clients['default'].model_copy(update={'rate_limiting': entry})}
    return settings.model_copy(update={'rate_limiting': RateLimiting(**limits), 'clients': clients})


@pytest.fixture
def redis(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RedisServer]:
    monkeypatch.setattr(rate_limits, 'ANSWER_SECONDS', 10.0)  # a machine that does other things is slow, not away
    program = redis_server.find()
    if program is None:
        pytest.skip('no Redis can be had here')
    server = RedisServer(program, tmp_path)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def still(monkeypatch: pytest.MonkeyPatch) -> None:
    """No window ends while a test runs."""
    monkeypatch.setattr(limits_in_memory, 'monotonic', lambda: 7201.0)


@pytest.mark.parametrize('database_url', ['sqlite'], indirect=True)
class TestInOneProcess:
    @pytest.mark.usefixtures('still')
    def test_more_requests_than_a_key_may_make_are_refused_and_cost_nothing(self, run: Run):
        running = run(limited(limit='3 per minute'))
        left = [send(running).headers['x-ratelimit-remaining-requests'] for _ in range(3)]
        assert left == ['2', '1', '0']
        refused = send(running)
        assert code(refused) == (429, 'rate_limit_exceeded')
        assert refused.json()['error']['type'] == 'rate_limit_error'
        assert '3 requests per minute' in refused.json()['error']['message']
        assert 1 <= int(refused.headers['retry-after']) <= 60
        assert refused.headers['x-ratelimit-limit-requests'] == '3'
        assert refused.headers['x-ratelimit-reset-requests'].endswith('s')
        with pytest.raises(openai.RateLimitError) as told:
            running.openai.chat.completions.create(model='m', messages=MESSAGES)
        assert told.value.code == 'rate_limit_exceeded'
        assert len(running.requests()) == 3
        running.assert_settled()

    @pytest.mark.usefixtures('still')
    def test_each_key_counts_for_itself(self, run: Run):
        running = run(limited(limit='1 per hour'))
        assert [send(running).status_code for _ in range(2)] == [200, 429]
        running.key = running.new_key().key
        assert [send(running).status_code for _ in range(2)] == [200, 429]

    @pytest.mark.usefixtures('still')
    def test_streams_say_what_is_left_too(self, run: Run):
        running = run(limited(limit='5 per minute', tokens='100000 per minute'))
        answer = running.openai.chat.completions.with_raw_response.create(model='m', messages=MESSAGES, stream=True)
        assert answer.headers['x-ratelimit-remaining-requests'] == '4'
        assert answer.headers['x-ratelimit-limit-tokens'] == '100000'
        list(answer.parse())
        assert int(send(running).headers['x-ratelimit-remaining-tokens']) < 100_000

    @pytest.mark.usefixtures('still')
    def test_a_key_that_used_up_its_tokens_waits(self, run: Run):
        running = run(limited(tokens='3 per hour'))
        assert send(running).status_code == 200
        assert sum(request.input_tokens + request.output_tokens for request in running.requests()) >= 3
        wait_until(lambda: send(running).status_code == 429)
        refused = send(running)
        assert '3 tokens per hour' in refused.json()['error']['message']
        assert refused.headers['x-ratelimit-remaining-tokens'] == '0'
        assert 60 < int(refused.headers['retry-after']) <= 3600

    def test_of_several_limits_each_holds_and_one_that_refuses_counts_nowhere(self, run: Run):
        running = run(limited(limit='2 per second; 5 per hour'))
        answers = []
        for _ in range(4):
            answers += [send(running).status_code for _ in range(3)]
            time.sleep(1.05)  # a second is what the limit is about
        assert answers.count(200) == 5
        assert code(send(running)) == (429, 'rate_limit_exceeded')

    @pytest.mark.usefixtures('still')
    def test_a_clients_own_limits_go_before_the_usual_ones(self, run: Run):
        running = run(limited(KeyLimits(limit='2 per minute'), limit='1 per minute', tokens='100000 per minute'))
        answers = [send(running) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [200, 200, 429]
        assert answers[0].headers['x-ratelimit-limit-tokens'] == '100000'
        running = run(limited(KeyLimits(limit=''), limit='1 per minute'))
        assert [send(running).status_code for _ in range(3)] == [200] * 3

    def test_without_limits_nothing_is_said_of_them(self, run: Run):
        answer = send(run(limited()))
        assert [name for name in answer.headers if name.startswith('x-ratelimit')] == []

    @pytest.mark.usefixtures('still')
    def test_a_changed_limit_is_in_force_at_once(self, run: Run):
        running = run(limited(limit='1 per minute'))
        assert [send(running).status_code for _ in range(2)] == [200, 429]
        running.source.current = limited(limit='50 per minute')
        assert send(running).status_code == 200


@pytest.mark.parametrize('database_url', ['sqlite'], indirect=True)
class TestInRedis:
    def test_two_processes_share_what_a_key_may_use(self, run: Run, redis: RedisServer):
        settings = limited(limit='4 per hour', tokens='100000 per hour', storage_url=redis.url)
        one, other = run(settings), run(settings)
        other.key = one.key
        answers = [send(running).status_code for running in (one, other, one, other, one, other)]
        assert answers == [200, 200, 200, 200, 429, 429]

        def both_tell_the_same() -> bool:
            told = [running.openai.models.with_raw_response.list() and send(running) for running in (one, other)]
            return len({answer.headers['x-ratelimit-remaining-tokens'] for answer in told}) == 1

        wait_until(both_tell_the_same)

    def test_without_it_nobody_is_refused_nor_kept_waiting_and_that_is_said(self, run: Run, redis: RedisServer):
        running = run(limited(limit='1 per hour', storage_url=redis.url))
        assert [send(running).status_code for _ in range(2)] == [200, 429]
        redis.stop()
        with capture_logs() as logged:
            begun = time.monotonic()
            assert [send(running).status_code for _ in range(20)] == [200] * 20
            assert time.monotonic() - begun < 5
        said = [line for line in logged if 'rate limits are not in force' in line['event']]
        assert len(said) == 1
        assert running.gateway._rate_limits.unlimited >= 20
        redis.start()
        send(running)
        wait_until(lambda: send(running).status_code == 429)


def test_a_window_slides(monkeypatch: pytest.MonkeyPatch):
    moment = 6000.0
    monkeypatch.setattr(limits_in_memory, 'monotonic', lambda: moment)

    async def hits(number: int) -> int:
        return sum([await strategy.hit(item, 'key') for _ in range(number)])

    async def slide() -> list[int]:
        nonlocal moment
        found = [await hits(20)]
        for seconds in (60, 15, 15, 29, 1, 600):
            moment += seconds
            found.append(await hits(20))
        return found

    strategy, item = SlidingWindowCounterRateLimiter(InMemory()), parse('10 per minute')
    # A minute later what was used still counts whole, then less from second to second.
    assert asyncio.run(slide()) == [10, 0, 3, 2, 5, 0, 10]


@pytest.mark.parametrize('seed', range(20))
def test_what_is_counted_here_is_what_the_library_counts(monkeypatch: pytest.MonkeyPatch, seed: int):
    random = Random(seed)
    moment, item = 6000.513, parse(f'{random.randint(1, 12)} per minute')
    monkeypatch.setattr(limits_in_memory, 'monotonic', lambda: moment)
    ours, theirs = InMemory(), InMemory()
    strategy = SlidingWindowCounterRateLimiter(theirs)

    async def compare() -> None:
        nonlocal moment
        for _ in range(300):
            moment += random.choice((0, 0, 0, 0.25, 1, 7, 30, 61, 200))
            assert ours.has_room('key', item.amount, 60) == await strategy.test(item, 'key')
            is_admitted, remaining, seconds = ours.hit('key', item.amount, 60)
            assert is_admitted == await strategy.hit(item, 'key')
            stats = await strategy.get_window_stats(item, 'key')
            assert remaining == stats.remaining
            assert seconds == pytest.approx(stats.reset_time - time.time(), abs=0.05)

    asyncio.run(compare())


def test_what_is_over_is_forgotten(monkeypatch: pytest.MonkeyPatch):
    moment = 6000.0
    monkeypatch.setattr(limits_in_memory, 'monotonic', lambda: moment)

    async def use() -> tuple[int, int]:
        nonlocal moment
        storage = InMemory()
        strategy, item = SlidingWindowCounterRateLimiter(storage), parse('10 per minute')
        for key in range(1000):
            await strategy.hit(item, str(key))
            await storage.incr(str(key), 60)
        before = await storage.reset()
        for key in range(1000):
            await strategy.hit(item, str(key))
            await storage.incr(str(key), 60)
        moment += 3600
        await strategy.hit(item, 'one')
        return before, await storage.reset()

    assert asyncio.run(use()) == (2000, 1)


def test_rates_are_read_once():
    assert rate_limits._items('30 per minute; 500 per hour') is rate_limits._items('30 per minute; 500 per hour')
    assert rate_limits._items('') == ()


def test_more_calls_at_once_than_a_key_may_make_are_refused_by_every_process(run: Run, scripted: ScriptedServer):
    scripted.script.parts = [b'{"usage": {"prompt_tokens": 1, "completion_tokens": 1}}']
    scripted.script.waits_after = -1
    settings = configured(scripted.address).model_copy(update={'rate_limiting': RateLimiting(concurrency=2)})
    one, other = run(settings), run(settings)
    other.key = one.key
    with ThreadPoolExecutor(max_workers=2) as threads:
        under_way = [threads.submit(send, running) for running in (one, other)]
        wait_until(lambda: len(scripted.script.received) == 2)
        refused = send(other)
        assert code(refused) == (429, 'rate_limit_exceeded')
        assert '2 calls at once' in refused.json()['error']['message']
        other.key = other.new_key().key
        third = threads.submit(send, other)
        scripted.script.proceed.set()
        assert [answer.result().status_code for answer in (*under_way, third)] == [200] * 3
    other.key = one.key
    assert send(other).status_code == 200
    assert len(one.requests()) == 4
    one.assert_settled()
