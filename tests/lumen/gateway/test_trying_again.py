"""A call of which nothing has come is asked for elsewhere, once or twice; it stays one call with one settlement."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from lumen.config.settings import Settings
from lumen.gateway.breaker import FAILURES
from lumen.gateway.retries import BURST
from lumen.records import health
from tests.lumen.gateway.conftest import Running, Script, ScriptedServer, configured, wait_until
from tests.lumen.gateway.test_failures import MESSAGES, STREAM, call, chunk
from tests.lumen.gateway.test_outcomes import assert_nothing_charged, ended, leave_when

Run = Callable[[Settings], Running]
NOWHERE = 'http://127.0.0.1:9/v1'
USAGE = {'prompt_tokens': 7, 'completion_tokens': 3}
WHOLE = json.dumps({'choices': [{'message': {'content': 'fine'}}], 'usage': USAGE}).encode()
PARTS = [chunk('fine'), b'data: ' + json.dumps({'choices': [], 'usage': USAGE}).encode() + b'\n\n', b'data: [DONE]\n\n']
COST = 13_000_000


def good(stream: bool) -> Script:
    return Script(headers=STREAM, parts=PARTS) if stream else Script(parts=[WHOLE])


def first(address: str, *others: str, **more: str) -> Settings:
    """Endpoints of which the first is asked first, but for once in a million calls."""
    endpoints = [{'url': address, 'weight': '1000000'}, *({'url': other} for other in others)]
    return configured(address, endpoints=[endpoint | more for endpoint in endpoints])


def assert_answered_by(running: Running, address: str) -> None:
    request = ended(running)
    assert (request.outcome, request.status, request.endpoint) == ('success', 200, address)
    assert (request.input_tokens, request.output_tokens, request.cost, request.estimated) == (7, 3, COST, False)
    assert running.account().spent == COST


@pytest.fixture
def silent() -> Iterator[str]:
    """The address of a server that takes no connection: its queue of one is full."""
    with socket.socket() as server, socket.socket() as one, socket.socket() as another:
        server.bind(('127.0.0.1', 0))
        server.listen(0)
        for connection in (one, another):
            connection.setblocking(False)
            connection.connect_ex(server.getsockname())
        yield f'http://127.0.0.1:{server.getsockname()[1]}/v1'


@pytest.mark.parametrize('stream', [False, True])
@pytest.mark.parametrize('status', [429, 500, 502, 503, 504])
def test_another_endpoint_answers_for_one_that_fails(
    run: Run, scripted: ScriptedServer, other: ScriptedServer, status: int, stream: bool
):
    scripted.script, other.script = Script(status=status, headers={'retry-after': '60'}), good(stream)
    running = run(first(scripted.address, other.address))
    response = call(running, stream=stream)
    assert response.status_code == 200
    assert 'fine' in response.text
    assert (len(scripted.script.received), len(other.script.received)) == (1, 1)
    assert_answered_by(running, other.address)


@pytest.mark.parametrize('stream', [False, True])
def test_another_endpoint_answers_for_one_that_breaks_off(
    run: Run, scripted: ScriptedServer, other: ScriptedServer, stream: bool
):
    scripted.script, other.script = Script(hangs_up=True), good(stream)
    running = run(first(scripted.address, other.address))
    assert call(running, stream=stream).status_code == 200
    assert len(scripted.script.received) == 1
    assert_answered_by(running, other.address)


def test_a_stream_that_breaks_off_before_its_first_event_is_asked_for_elsewhere(
    run: Run, scripted: ScriptedServer, other: ScriptedServer
):
    scripted.script, other.script = Script(headers=STREAM), good(True)
    running = run(first(scripted.address, other.address))
    assert call(running, stream=True).text.endswith('data: [DONE]\n\n')
    assert_answered_by(running, other.address)


@pytest.mark.parametrize('stream', [False, True])
def test_another_endpoint_answers_for_one_that_is_not_there(run: Run, other: ScriptedServer, stream: bool):
    other.script = good(stream)
    running = run(first(NOWHERE, other.address))
    assert call(running, stream=stream).status_code == 200
    assert_answered_by(running, other.address)


def test_another_endpoint_answers_for_one_that_takes_no_connection(run: Run, other: ScriptedServer, silent: str):
    other.script = good(False)
    running = run(first(silent, other.address, connect_timeout_seconds='0.2'))
    assert call(running).status_code == 200
    assert_answered_by(running, other.address)


def test_each_endpoint_is_told_its_own_name_of_the_model(run: Run, scripted: ScriptedServer, other: ScriptedServer):
    scripted.script, other.script = Script(status=500), good(True)
    stated = [
        {'url': scripted.address, 'model': 'this', 'weight': '1000000', 'continuous_usage': 'true'},
        {'url': other.address, 'model': 'that'},
    ]
    running = run(configured(scripted.address, endpoints=stated))
    assert call(running, stream=True, max_tokens=50).status_code == 200
    before, after = scripted.script.received[0], other.script.received[0]
    assert (before['model'], after['model']) == ('this', 'that')
    assert 'continuous_usage_stats' not in after['stream_options']
    assert before['max_tokens'] == after['max_tokens'] == 50
    assert before['messages'] == after['messages'] == MESSAGES


def test_the_last_failure_is_told_when_none_answers(run: Run, scripted: ScriptedServer, other: ScriptedServer):
    scripted.script, other.script = Script(status=500), Script(status=504)
    running = run(first(scripted.address, other.address, NOWHERE))
    # The third is not there. It and the second are asked in any order.
    response = call(running)
    assert response.status_code in (502, 504)
    assert (len(scripted.script.received), len(other.script.received)) == (1, 1)
    request = ended(running)
    assert request.status == response.status_code
    assert request.endpoint == (other.address if response.status_code == 504 else NOWHERE)
    assert_nothing_charged(request)


def test_a_failure_that_passes_is_waited_for_where_there_is_one_endpoint(run: Run, scripted: ScriptedServer):
    scripted.script = Script(status=503, then=Script(hangs_up=True, then=good(False)))
    running = run(configured(scripted.address))
    began = time.monotonic()
    assert call(running).status_code == 200
    assert time.monotonic() - began >= 0.1
    assert_answered_by(running, scripted.address)


def test_one_endpoint_with_one_place_is_asked_again(run: Run, scripted: ScriptedServer):
    scripted.script = Script(status=503, then=good(False))
    running = run(first(scripted.address, concurrency='1'))
    assert call(running).status_code == 200
    assert_answered_by(running, scripted.address)


def test_a_call_is_tried_three_times_at_most(run: Run, scripted: ScriptedServer):
    scripted.script = Script(status=500)
    running = run(configured(scripted.address))
    assert call(running).status_code == 502
    assert len(scripted.script.received) == 3
    assert_nothing_charged(ended(running))


@pytest.mark.parametrize('status', [429, 503])
def test_a_server_is_left_alone_for_as_long_as_it_says(run: Run, scripted: ScriptedServer, status: int):
    scripted.script = Script(status=status, headers={'retry-after': '1'}, then=good(False))
    running = run(configured(scripted.address))
    began = time.monotonic()
    assert call(running).status_code == 200
    assert time.monotonic() - began >= 1


def test_a_server_that_wants_to_be_left_alone_for_longer_is_not_asked_again(run: Run, scripted: ScriptedServer):
    scripted.script = Script(status=429, headers={'retry-after': '3'})
    running = run(configured(scripted.address))
    response = call(running)
    assert (response.status_code, response.headers['retry-after']) == (429, '3')
    assert len(scripted.script.received) == 1


@pytest.mark.parametrize('status', [400, 401, 403, 404, 408, 413, 422, 501])
def test_what_would_fail_anywhere_is_not_tried_again(
    run: Run, scripted: ScriptedServer, other: ScriptedServer, status: int
):
    scripted.script, other.script = Script(status=status), good(False)
    running = run(first(scripted.address, other.address))
    assert call(running).status_code >= 400
    assert (len(scripted.script.received), len(other.script.received)) == (1, 0)
    assert_nothing_charged(ended(running))


@pytest.mark.parametrize('stream', [False, True])
def test_what_may_have_been_generated_is_not_generated_twice(
    run: Run, scripted: ScriptedServer, other: ScriptedServer, stream: bool
):
    scripted.script, other.script = Script(waits_after=-1), good(stream)
    running = run(first(scripted.address, other.address, idle_timeout_seconds='0.2'))
    assert call(running, stream=stream).status_code == 504
    assert other.script.received == []
    assert ended(running).endpoint == scripted.address


def test_a_stream_that_broke_off_after_its_first_event_ends(run: Run, scripted: ScriptedServer, other: ScriptedServer):
    scripted.script, other.script = Script(headers=STREAM, parts=[chunk('one two')]), good(True)
    running = run(first(scripted.address, other.address))
    response = call(running, stream=True)
    assert response.text.startswith(chunk('one two').decode())
    assert '"upstream_error"' in response.text
    assert other.script.received == []
    request = ended(running)
    assert (request.outcome, request.endpoint) == ('upstream_error_midstream', scripted.address)
    assert request.cost > 0


def test_half_of_a_whole_answer_is_not_asked_for_again(run: Run, scripted: ScriptedServer, other: ScriptedServer):
    scripted.script, other.script = Script(parts=[WHOLE[:10]], length=len(WHOLE)), good(False)
    running = run(first(scripted.address, other.address))
    assert call(running).status_code == 502
    assert other.script.received == []
    assert_nothing_charged(ended(running))


def test_a_try_that_cannot_connect_costs_nothing_though_the_one_before_was_asked(
    run: Run, scripted: ScriptedServer, silent: str
):
    scripted.script = Script(status=500)
    running = run(first(scripted.address, silent, connect_timeout_seconds='0.2'))
    assert call(running).status_code in (502, 504)
    assert_nothing_charged(ended(running))


def test_a_fleet_that_fails_is_not_hit_by_a_storm(run: Run, scripted: ScriptedServer):
    scripted.script = Script(status=500)
    running = run(first(*(f'{scripted.address}/{name}' for name in 'abc')))
    for _ in range(20):
        assert call(running).status_code == 502
    retries = len(scripted.script.received) - 20
    assert BURST <= retries <= BURST + 20 / 5
    for _ in range(20):
        call(running)
    assert len(scripted.script.received) - 40 - retries in (3, 4, 5)
    assert len(running.requests()) == 40
    running.assert_settled()


@pytest.mark.parametrize('stream', [False, True])
def test_who_leaves_between_two_tries_pays_nothing(run: Run, scripted: ScriptedServer, stream: bool):
    script = scripted.script = Script(status=503, headers={'retry-after': '2'}, then=good(stream))
    running = run(configured(scripted.address))
    place = running.gateway._relay._endpoints.of(running.source.current.models[0])
    leave_when(running, lambda: bool(script.received) and place.budget._left < BURST, stream=stream)
    request = ended(running)
    assert (request.outcome, request.status, request.endpoint) == ('disconnected', 499, scripted.address)
    assert_nothing_charged(request)
    assert scripted.script.received == []
    assert [standing.in_flight for standing in place.standings.values()] == [0]


def test_an_endpoint_that_failed_is_seen_though_another_answered(
    run: Run, scripted: ScriptedServer, other: ScriptedServer
):
    scripted.script, other.script = Script(status=500), good(False)
    running = run(first(scripted.address, other.address))
    model = running.source.current.models[0]
    assert call(running).status_code == 200
    wait_until(lambda: len(running.database.read_now(health.seen)) == 2)
    assert health.of_model(model, running.database.read_now(health.seen)).state == 'degraded'


def test_a_stream_goes_on_though_its_endpoint_left_the_configuration(
    run: Run, scripted: ScriptedServer, other: ScriptedServer
):
    script = scripted.script = Script(headers=STREAM, parts=PARTS, waits_after=0)
    other.script = good(False)
    running = run(configured(scripted.address))
    stream = running.openai.chat.completions.create(model='m', messages=MESSAGES, stream=True)
    texts = [next(stream).choices[0].delta.content]
    running.source.current = configured(other.address, endpoints=[{'url': other.address}])
    assert call(running).status_code == 200
    script.proceed.set()
    texts += [chunk.choices[0].delta.content for chunk in stream]
    assert texts == ['fine']
    requests = running.wait_for_requests(2)
    assert {request.endpoint: request.outcome for request in requests} == {
        scripted.address: 'success',
        other.address: 'success',
    }
    running.assert_settled()


def test_embeddings_are_asked_for_elsewhere_too(run: Run, scripted: ScriptedServer, other: ScriptedServer):
    scripted.script = Script(status=500)
    answer: dict[str, Any] = {'data': [{'embedding': [0.5]}], 'usage': {'prompt_tokens': 7, 'total_tokens': 7}}
    other.script = Script(parts=[json.dumps(answer).encode()])
    running = run(first(scripted.address, other.address))
    assert running.openai.embeddings.create(model='m', input='x', encoding_format='float').data[0].embedding == [0.5]
    request = ended(running)
    assert (request.outcome, request.endpoint, request.cost) == ('success', other.address, 7_000_000)


def test_a_server_that_breaks_off_after_a_complete_stream_has_not_failed(run: Run, scripted: ScriptedServer):
    scripted.script = Script(headers=STREAM, parts=PARTS, length=10_000)
    running = run(configured(scripted.address))
    assert call(running, stream=True).text.endswith('data: [DONE]\n\n')
    assert_answered_by(running, scripted.address)
    (standing,) = running.gateway._relay._endpoints.of(running.source.current.models[0]).standings.values()
    assert standing.breaker.is_spotless


def test_failures_with_a_success_between_them_are_not_in_a_row(
    run: Run, scripted: ScriptedServer, other: ScriptedServer
):
    answers: Script | None = None
    for is_good in (True, False, False, False, False, True, False, False, False, False):
        answers = Script(parts=[WHOLE], then=answers) if is_good else Script(status=500, then=answers)
    assert answers is not None
    scripted.script, other.script = answers, good(False)
    running = run(first(scripted.address, other.address))
    assert [call(running).status_code for _ in range(10)] == [200] * 10
    assert len(other.script.received) == 8


def test_a_stream_that_begins_tells_that_its_endpoint_is_well(run: Run, scripted: ScriptedServer):
    scripted.script = Script(headers=STREAM, parts=PARTS, waits_after=0)
    running = run(configured(scripted.address))
    fleet = running.gateway._relay._endpoints.of(running.source.current.models[0])
    (standing,) = fleet.standings.values()
    for _ in range(FAILURES):
        standing.breaker.failed(0, is_probe=False, is_unreachable=False)
    stream = running.openai.chat.completions.create(model='m', messages=MESSAGES, stream=True)
    next(stream)
    assert (standing.breaker.rests_until, standing.breaker.is_spotless) == (0, False)
    scripted.script.proceed.set()
    list(stream)
    wait_until(lambda: standing.breaker.is_spotless)
