"""A gateway that is told to stop: what becomes of the calls in flight, of those that wait, and of new ones."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import httpx2
import pytest

from lumen.config.settings import Settings
from tests.lumen.gateway.conftest import Running, ScriptedServer, configured, wait_until
from tests.lumen.gateway.test_calls import connect, receive_until

Run = Callable[[Settings], Running]
WHOLE = b'{"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 6}}'
EVENT = b'data: {"choices": [{"index": 0, "delta": {"content": "word"}}]}\n\n'
SHUTTING_DOWN = {
    'message': 'Lumen is shutting down. Please try again.',
    'type': 'api_error',
    'param': None,
    'code': 'unavailable',
}


def told_so(answer: bytes) -> bool:
    """Whether the answer is a refusal that says why, with an id."""
    head, _, body = answer.partition(b'\r\n\r\n')
    return (
        head.startswith(b'HTTP/1.1 503 ')
        and b'x-request-id: req_' in head
        and json.loads(body)['error'] == (SHUTTING_DOWN)
    )


def test_a_call_that_outlasts_the_grace_is_answered_and_settled(run: Run, scripted: ScriptedServer):
    scripted.script.waits_after = -1
    running = run(configured(scripted.address))
    with connect(running) as connection:
        wait_until(lambda: len(scripted.script.received) == 1)
        running.finish(0.1)
        assert told_so(receive_until(connection, b'"unavailable"}}'))
    assert [request.outcome for request in running.wait_for_requests(1)] == ['interrupted']
    running.assert_settled()


def test_a_stream_that_outlasts_the_grace_ends_with_an_event_that_says_so(run: Run, scripted: ScriptedServer):
    scripted.script.headers = {'content-type': 'text/event-stream'}
    scripted.script.parts = [EVENT, EVENT]
    scripted.script.waits_after = 0
    running = run(configured(scripted.address))
    with connect(running, stream=True) as connection:
        receive_until(connection, b'word')
        running.finish(0.1)
        answer = receive_until(connection, b'\r\n0\r\n\r\n')
    event = next(line for line in answer.splitlines() if line.startswith(b'data: '))
    assert json.loads(event.removeprefix(b'data: '))['error'] == SHUTTING_DOWN
    assert [request.outcome for request in running.wait_for_requests(1)] == ['interrupted']
    running.assert_settled()


def test_a_call_in_flight_finishes_and_new_ones_are_refused(run: Run, scripted: ScriptedServer):
    scripted.script.waits_after = -1
    scripted.script.parts = [WHOLE]
    running = run(configured(scripted.address))
    headers = {'authorization': f'Bearer {running.key}'}
    with httpx2.Client(base_url=running.address, headers=headers) as client, connect(running) as connection:
        assert client.get('/v1/models').status_code == 200
        wait_until(lambda: len(scripted.script.received) == 1)
        running.finish(30)
        wait_until(lambda: client.get('/v1/models').status_code == 503)
        refused = client.post('/v1/chat/completions', json={'model': 'm', 'messages': []})
        assert (refused.status_code, refused.json()['error']) == (503, SHUTTING_DOWN)
        assert refused.headers['x-request-id'].startswith('req_')
        scripted.script.proceed.set()
        receive_until(connection, WHOLE)
    assert [request.outcome for request in running.wait_for_requests(1)] == ['success']
    running.assert_settled()


def test_who_is_in_a_hurry_cuts_off_at_once(run: Run, scripted: ScriptedServer):
    scripted.script.waits_after = -1
    running = run(configured(scripted.address))
    with connect(running) as connection:
        wait_until(lambda: len(scripted.script.received) == 1)
        running.finish(60)
        running.loop.call_soon_threadsafe(running.gateway.hurry)
        assert told_so(receive_until(connection, b'"unavailable"}}'))
    running.wait_for_requests(1)
    running.assert_settled()


def test_a_call_that_waits_for_coins_is_refused_at_once(run: Run, scripted: ScriptedServer):
    scripted.script.waits_after = -1
    scripted.script.parts = [WHOLE]
    running = run(configured(scripted.address, pool={'max': '1', 'refresh': '0', 'starting': '0.6'}))
    with connect(running) as first:
        wait_until(lambda: len(scripted.script.received) == 1)
        with connect(running) as second:
            wait_until(lambda: running.gateway._ledger._lines._lines)
            began = time.monotonic()
            running.finish(30)
            assert told_so(receive_until(second, b'"unavailable"}}'))
            assert time.monotonic() - began < 2
        scripted.script.proceed.set()
        receive_until(first, WHOLE)
    assert [request.outcome for request in running.wait_for_requests(1)] == ['success']
    running.assert_settled()


def test_who_takes_nothing_of_a_stream_does_not_keep_the_process(run: Run, scripted: ScriptedServer):
    scripted.script.headers = {'content-type': 'text/event-stream'}
    scripted.script.parts = [EVENT * 1000] * 200
    running = run(configured(scripted.address, pool={'max': '-2', 'starting': '0'}, max_output_tokens='8000'))
    with connect(running, stream=True):
        wait_until(lambda: _is_stuck(running))
        began = time.monotonic()
        running.stop()
        assert time.monotonic() - began < 5
    assert [request.outcome for request in running.wait_for_requests(1)] == ['interrupted']
    running.assert_settled()


def _is_stuck(running: Running) -> bool:
    return any(connection.flow.write_paused for connection in running._server.server_state.connections)


def test_a_call_that_the_server_cancels_is_told_so_too_and_logged_in_a_line(
    run: Run, scripted: ScriptedServer, capsys: pytest.CaptureFixture[str]
):
    scripted.script.waits_after = -1
    running = run(configured(scripted.address))
    with connect(running) as connection:
        wait_until(lambda: len(scripted.script.received) == 1)
        for task in tuple(running._server.server_state.tasks):
            running.loop.call_soon_threadsafe(task.cancel)
        assert told_so(receive_until(connection, b'"unavailable"}}'))
    assert [request.outcome for request in running.wait_for_requests(1)] == ['interrupted']
    running.assert_settled()
    said = capsys.readouterr()
    logged = said.out + said.err
    assert 'a request was cut off' in logged
    assert 'Traceback' not in logged
