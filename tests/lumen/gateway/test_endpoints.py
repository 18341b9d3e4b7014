"""What is sent to an endpoint besides the call, and which of several endpoints is asked."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Any

import httpx2
import pytest

from lumen.config.settings import Model, Settings
from lumen.gateway.endpoints import Endpoints
from lumen.gateway.errors import ConnectTimeout, Refused, UpstreamError
from lumen.gateway.turn import Turn
from tests.lumen.gateway.conftest import Running, Script, ScriptedServer, configured, wait_until

Run = Callable[[Settings], Running]
ANSWER = b'{"choices":[{"message":{"content":"x"}}],"usage":{"prompt_tokens":1,"completion_tokens":1}}'


def call(running: Running) -> httpx2.Response:
    return httpx2.post(
        f'{running.address}/v1/chat/completions',
        headers={'authorization': f'Bearer {running.key}'},
        json={'model': 'm', 'messages': [{'role': 'user', 'content': 'hello'}]},
        timeout=30,
    )


@pytest.mark.parametrize(
    ('own', 'sent'),
    [
        ({'X-Tenant': 'research'}, {'x-tenant': 'research', 'user-agent': 'lumen'}),
        ({'User-Agent': 'ours', 'Authorization': 'Basic eDp5'}, {'user-agent': 'ours', 'authorization': 'Basic eDp5'}),
    ],
)
def test_an_endpoint_is_sent_its_own_headers(
    run: Run, scripted: ScriptedServer, own: dict[str, str], sent: dict[str, str]
):
    scripted.script = Script(parts=[ANSWER])
    running = run(configured(scripted.address, endpoints=[{'url': scripted.address, 'headers': own}]))
    assert call(running).status_code == 200
    (received,) = scripted.script.received_headers
    assert received.items() >= sent.items()


def test_the_values_of_headers_are_cut_from_what_is_passed_on(run: Run, scripted: ScriptedServer):
    said = b'{"error": {"message": "tenant-secret of 1 is not known to dG9rZW4="}}'
    scripted.script = Script(status=400, parts=[said])
    own = {'x-tenant': 'tenant-secret', 'x-version': '1', 'Authorization': 'Basic dG9rZW4='}
    running = run(configured(scripted.address, endpoints=[{'url': scripted.address, 'headers': own}]))
    assert call(running).json()['error']['message'] == '... of 1 is not known to ...'


class Clock:
    """Moves when told."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def endpoints(clock: Clock) -> Endpoints:
    return Endpoints(clock=clock, random=Random(1))


def model(*given: dict[str, Any]) -> Model:
    """A model with endpoints a, b, c, ..., each as stated."""
    stated = [{'url': f'http://{name}/v1'} | more for name, more in zip('abc', given, strict=False)]
    return configured('http://x', endpoints=stated).models[0]


def turn(endpoints: Endpoints, of: Model) -> Turn:
    found = endpoints.of(of).turn()
    assert found is not None
    return found


def name(turn: Turn) -> str:
    return turn.endpoint.url[len('http://')]


def asked(endpoints: Endpoints, of: Model, number: int) -> Counter[str]:
    """Who gets so many calls that stay in flight."""
    return Counter(name(turn(endpoints, of)) for _ in range(number))


def fail(endpoints: Endpoints, of: Model, error: UpstreamError, who: str, *, retry_after: float | None = None) -> None:
    """Let a call fail at this endpoint."""
    turns = [turn(endpoints, of)]
    while name(turns[-1]) != who:
        assert len(turns) < 100
        turns.append(turn(endpoints, of))
    turns[-1].failed(error, retry_after)
    for each in turns:
        each.end()


def test_calls_go_to_the_least_busy(endpoints: Endpoints):
    assert asked(endpoints, model({}, {}, {}), 30) == {'a': 10, 'b': 10, 'c': 10}


def test_an_endpoint_of_more_weight_takes_more(endpoints: Endpoints):
    assert asked(endpoints, model({'weight': '3'}, {'weight': '0.5'}, {}), 45) == {'a': 30, 'b': 5, 'c': 10}


def test_of_those_that_have_nothing_to_do_chance_decides_by_weight(endpoints: Endpoints):
    found: Counter[str] = Counter()
    for _ in range(400):
        once = turn(endpoints, model({'weight': '3'}, {}))
        found[name(once)] += 1
        once.end()
    assert 250 < found['a'] < 350


def test_one_that_has_as_many_calls_as_it_may_is_passed_over(endpoints: Endpoints):
    of = model({'concurrency': '2', 'weight': '100'}, {})
    assert asked(endpoints, of, 10) == {'a': 2, 'b': 8}


@pytest.mark.parametrize('number', [1, 2, 3])
def test_nobody_is_asked_when_all_have_enough_to_do(endpoints: Endpoints, number: int):
    of = model(*[{'concurrency': '2'}] * number)
    turns = [turn(endpoints, of) for _ in range(2 * number)]
    assert endpoints.of(of).turn() is None
    turns[0].end()
    turns[0].end()
    assert name(turn(endpoints, of)) == name(turns[0])
    assert endpoints.of(of).turn() is None


def test_what_is_not_healthy_does_not_stand_in_for_what_is_full(endpoints: Endpoints):
    of = model({'concurrency': '1'}, {})
    for _ in range(3):
        fail(endpoints, of, ConnectTimeout(), 'b')
    assert name(turn(endpoints, of)) == 'a'
    assert endpoints.of(of).turn() is None


def test_one_that_fails_repeatedly_is_left_out_until_a_call_finds_it_well(endpoints: Endpoints, clock: Clock):
    of = model({}, {})
    for _ in range(5):
        fail(endpoints, of, Refused('no'), 'b')
    assert asked(endpoints, of, 5) == {'a': 5}
    clock.now += 1.3
    probe = turn(endpoints, of)
    assert name(probe) == 'b'
    assert asked(endpoints, of, 3) == {'a': 3}
    probe.succeeded()
    probe.end()
    assert asked(endpoints, of, 8) == {'b': 8}


def test_a_caller_who_leaves_gives_the_next_one_the_chance_to_find_out(endpoints: Endpoints, clock: Clock):
    of = model({}, {})
    for _ in range(3):
        fail(endpoints, of, ConnectTimeout(), 'b')
    first = turn(endpoints, of)
    clock.now += 1.3
    probe = turn(endpoints, of)
    assert (name(first), name(probe)) == ('a', 'b')
    probe.end()
    assert name(turn(endpoints, of)) == 'b'


def test_when_none_is_healthy_the_one_that_rests_no_longer_soonest_is_asked(endpoints: Endpoints, clock: Clock):
    of = model({}, {})
    for _ in range(5):
        fail(endpoints, of, Refused('failed'), 'b')
    clock.now += 0.5
    for _ in range(5):
        fail(endpoints, of, Refused('failed'), 'a')
    assert asked(endpoints, of, 5) == {'b': 5}


@pytest.mark.parametrize('names', ['a', 'ab'])
def test_when_none_can_be_reached_nobody_is_asked_until_it_is_time_to_try(
    endpoints: Endpoints, clock: Clock, names: str
):
    of = model(*({} for _ in names))
    for name_ in names:
        for _ in range(3):
            fail(endpoints, of, ConnectTimeout(), name_)
    fleet = endpoints.of(of)
    assert fleet.turn() is None
    refusal = fleet.why_not()
    assert (refusal.code, refusal.status, refusal.retry_after) in {
        ('no_healthy_endpoint', 503, '1'),
        ('no_healthy_endpoint', 503, '2'),
    }
    clock.now += 2
    probes = [turn(endpoints, of) for _ in names]
    assert {name(probe) for probe in probes} == set(names)
    assert fleet.turn() is None  # one finds out
    probes[0].succeeded()
    probes[0].end()
    assert asked(endpoints, of, 3) == {name(probes[0]): 3}


def test_a_model_whose_servers_are_all_down_says_so(run: Run):
    running = run(configured('http://127.0.0.1:9/v1'))
    first = call(running)
    assert (first.status_code, first.json()['error']['code']) == (502, 'upstream_error')
    second = call(running)
    assert (second.status_code, second.json()['error']['code']) == (503, 'no_healthy_endpoint')
    assert int(second.headers['retry-after']) in (1, 2)
    request = running.wait_for_requests(2)[1]
    assert (request.outcome, request.status, request.cost) == ('upstream_error', 503, 0)
    running.assert_settled()


def test_a_busy_one_is_left_out_for_as_long_as_it_says_but_a_minute_at_most(endpoints: Endpoints, clock: Clock):
    of = model({}, {})
    busy = Refused('busy', status=429)
    fail(endpoints, of, busy, 'b', retry_after=20)
    clock.now += 19
    assert asked(endpoints, of, 3) == {'a': 3}
    clock.now += 2
    assert name(turn(endpoints, of)) == 'b'
    fail(endpoints, of, busy, 'b', retry_after=1e9)
    clock.now += 61
    assert name(turn(endpoints, of)) == 'b'


def test_being_busy_is_no_failure(endpoints: Endpoints, clock: Clock):
    of = model({}, {})
    for _ in range(10):
        fail(endpoints, of, Refused('busy', status=429), 'b')
        clock.now += 1.1
    assert asked(endpoints, of, 10) == {'a': 5, 'b': 5}


def test_what_is_known_outlives_a_change_of_the_configuration(endpoints: Endpoints):
    before, after = model({}, {}), model({}, {}, {})
    running = [turn(endpoints, before) for _ in range(6)]
    assert asked(endpoints, after, 3) == {'c': 3}
    alone = configured('http://x', endpoints=[{'url': 'http://c/v1'}]).models[0]
    assert asked(endpoints, alone, 1) == {'c': 1}
    for each in running[:5]:
        each.end()
    assert asked(endpoints, model({}, {}), 1) == {'a' if name(running[5]) == 'b' else 'b': 1}


def test_endpoints_that_are_gone_are_forgotten(endpoints: Endpoints):
    for number in range(20):
        of = configured('http://x', endpoints=[{'url': f'http://a/{number}'}]).models[0]
        turn(endpoints, of).end()
    assert len(endpoints.of(of).standings) <= 2


def test_a_caller_is_told_when_all_are_busy(run: Run, scripted: ScriptedServer):
    scripted.script = Script(parts=[ANSWER], waits_after=-1)
    running = run(configured(scripted.address, endpoints=[{'url': scripted.address, 'concurrency': '1'}]))
    first = threading.Thread(target=call, args=(running,))
    first.start()
    wait_until(lambda: len(scripted.script.received) == 1)
    refused = call(running)
    assert (refused.status_code, refused.json()['error']['code']) == (429, 'upstream_busy')
    assert refused.headers['retry-after'] == '1'
    (request,) = running.wait_for_requests(1)
    assert (request.outcome, request.status, request.cost, request.endpoint) == ('upstream_error', 429, 0, '')
    scripted.script.proceed.set()
    first.join()
    assert call(running).status_code == 200
    running.assert_settled()


def test_one_that_fails_gets_no_more_calls(run: Run, scripted: ScriptedServer, other: ScriptedServer):
    scripted.script = Script(status=500)
    other.script = Script(parts=[ANSWER])
    stated = [{'url': scripted.address, 'weight': '1000000'}, {'url': other.address}]
    running = run(configured(scripted.address, endpoints=stated))
    assert [call(running).status_code for _ in range(7)] == [200] * 7
    assert len(scripted.script.received) == 5
