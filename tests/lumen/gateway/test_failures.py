"""Calls that go wrong: each has one outcome, one request row, and books that add up."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import httpx2
import openai
import pytest
from structlog.testing import capture_logs

from lumen.config.settings import Settings
from tests.lumen.gateway.conftest import Running, ScriptedServer, configured, echo_process, wait_until

Run = Callable[[Settings], Running]
MESSAGES: list[openai.types.chat.ChatCompletionMessageParam] = [{'role': 'user', 'content': 'one two three four five'}]
STREAM = {'content-type': 'text/event-stream'}


def chunk(text: str, **more: Any) -> bytes:
    return b'data: ' + json.dumps({'choices': [{'delta': {'content': text}}], **more}).encode() + b'\n\n'


def call(running: Running, **more: Any) -> httpx2.Response:
    return httpx2.post(
        f'{running.address}/v1/chat/completions',
        headers={'authorization': f'Bearer {running.key}'},
        json={'model': 'm', 'messages': MESSAGES, **more},
        timeout=30,
    )


@pytest.mark.parametrize(
    ('upstream', 'status', 'code'),
    [
        (401, 502, 'upstream_refused'),
        (403, 502, 'upstream_refused'),
        (429, 429, 'upstream_busy'),
        (408, 504, 'upstream_timeout'),
        (500, 502, 'upstream_error'),
        (503, 502, 'upstream_error'),
        *((status, 502, 'upstream_error') for status in (201, 202, 204, 206, 301, 302, 304, 307)),
    ],
)
@pytest.mark.parametrize('stream', [False, True])
def test_what_is_not_the_callers_fault_is_told_as_ours(
    run: Run, scripted: ScriptedServer, upstream: int, status: int, code: str, stream: bool
):
    scripted.script.status = upstream
    scripted.script.headers = {'retry-after': '7', 'location': 'http://127.0.0.1:1/'}
    running = run(configured(scripted.address))
    response = call(running, stream=stream)
    assert (response.status_code, response.json()['error']['code']) == (status, code)
    assert response.headers.get('retry-after') == ('7' if upstream == 429 else None)
    assert 'upstream-secret' not in response.text
    (request,) = running.requests()
    assert request.outcome == ('timeout' if status == 504 else 'upstream_error')
    assert (request.cost, request.status) == (0, status)
    running.assert_settled()


@pytest.mark.parametrize('status', [400, 404, 413, 422])
def test_what_is_the_callers_fault_is_passed_on_as_it_is(run: Run, scripted: ScriptedServer, status: int):
    scripted.script.status = status
    scripted.script.parts = [b'{"error": {"message": "in its own words", "of_its_own": 1}}']
    running = run(configured(scripted.address))
    response = call(running)
    assert (response.status_code, response.content) == (status, scripted.script.parts[0])
    assert response.headers['x-request-id'] == running.requests()[0].request_id
    assert running.requests()[0].cost == 0
    running.assert_settled()


def test_our_key_is_cut_from_what_is_passed_on(run: Run, scripted: ScriptedServer):
    scripted.script.status = 400
    scripted.script.parts = [b'{"error": {"message": "Bearer upstream-secret may not ask for that"}}']
    response = call(run(configured(scripted.address)))
    assert scripted.script.received_headers[-1]['authorization'] == 'Bearer upstream-secret'
    assert response.status_code == 400
    assert response.json()['error']['message'] == 'Bearer ... may not ask for that'


def test_a_server_that_is_not_there(run: Run):
    running = run(configured('http://127.0.0.1:9'))
    response = call(running)
    assert (response.status_code, response.json()['error']['code']) == (502, 'upstream_error')
    assert '127.0.0.1' not in response.text
    running.assert_settled()


def test_a_server_that_does_not_answer_in_time(run: Run, scripted: ScriptedServer):
    scripted.script.waits_after = -1
    endpoint = {'url': scripted.address, 'idle_timeout_seconds': '0.2'}
    running = run(configured(scripted.address, endpoints=[endpoint]))
    response = call(running)
    assert (response.status_code, response.json()['error']['code']) == (504, 'upstream_timeout')
    assert running.requests()[0].outcome == 'timeout'
    assert scripted.script.left.wait(10)
    running.assert_settled()


def test_a_stream_that_stalls_is_ended_with_an_error_event(run: Run, scripted: ScriptedServer):
    scripted.script.headers = STREAM
    scripted.script.parts = [chunk('one two'), chunk('never')]
    scripted.script.waits_after = 0
    endpoint = {'url': scripted.address, 'idle_timeout_seconds': '0.2'}
    running = run(configured(scripted.address, endpoints=[endpoint]))
    response = call(running, stream=True)
    assert response.text.startswith(chunk('one two').decode())
    assert '"code": "upstream_timeout"' in response.text
    assert '[DONE]' not in response.text
    (request,) = running.requests()
    assert (request.outcome, request.estimated) == ('timeout', True)
    assert request.cost > 0
    running.assert_settled()


@pytest.mark.parametrize('encoding', ['gzip', 'deflate', 'br', 'zstd'])
@pytest.mark.parametrize('stream', [False, True])
def test_an_answer_that_cannot_be_decoded(run: Run, scripted: ScriptedServer, encoding: str, stream: bool):
    scripted.script.headers = {'content-encoding': encoding} | (STREAM if stream else {})
    scripted.script.parts = [chunk('one') * 50]
    running = run(configured(scripted.address))
    response = call(running, stream=stream)
    assert (response.status_code, response.json()['error']['code']) == (502, 'upstream_error')
    assert running.requests()[0].outcome == 'upstream_error'
    running.assert_settled()


@pytest.mark.parametrize('content', [b'', b'<html>', b'[1]', b'{"choices": ', b'\xff\xfe'])
def test_an_answer_that_is_not_json(run: Run, scripted: ScriptedServer, content: bytes):
    scripted.script.parts = [content]
    running = run(configured(scripted.address))
    response = call(running)
    assert (response.status_code, response.json()['error']['code']) == (502, 'upstream_error')
    running.assert_settled()


def test_an_answer_that_breaks_off(run: Run, scripted: ScriptedServer):
    scripted.script.parts = [b'{"choices": []}']
    scripted.script.length = 500
    running = run(configured(scripted.address))
    assert call(running).status_code == 502
    assert running.requests()[0].outcome == 'upstream_error'
    running.assert_settled()


@pytest.mark.parametrize('usage', [None, {'prompt_tokens': -5, 'completion_tokens': 3}, 'none of your business'])
@pytest.mark.parametrize('stream', [False, True])
def test_usage_that_is_not_reported_is_estimated_and_says_so(
    run: Run, scripted: ScriptedServer, usage: Any, stream: bool
):
    text = 'words ' * 40
    if stream:
        scripted.script.headers = STREAM
        scripted.script.parts = [chunk(text, usage=usage), b'data: [DONE]\n\n']
    else:
        scripted.script.parts = [json.dumps({'choices': [{'message': {'content': text}}], 'usage': usage}).encode()]
    running = run(configured(scripted.address))
    assert call(running, stream=stream).status_code == 200
    (request,) = running.requests()
    assert (request.outcome, request.estimated) == ('usage_missing', True)
    assert request.output_tokens == len(text) // 4
    assert request.input_tokens > 0
    running.assert_settled()


@pytest.mark.parametrize(
    ('usage', 'why'),
    [
        (None, 'nothing in time, or no whole numbers'),
        ({'prompt_tokens': 5, 'completion_tokens': 10**8}, 'more than can be'),
        ({'prompt_tokens': 5, 'completion_tokens': 1}, 'less than was generated'),
    ],
)
def test_that_usage_is_not_believed_is_said_once(run: Run, scripted: ScriptedServer, usage: Any, why: str):
    scripted.script.headers = STREAM
    scripted.script.parts = [chunk('words ', usage=usage), chunk('words ' * 40), b'data: [DONE]\n\n']
    running = run(configured(scripted.address))
    with capture_logs() as logged:
        for _ in range(3):
            assert call(running, stream=True).status_code == 200
    assert [request.outcome for request in running.requests()] == ['usage_missing'] * 3
    said = [line for line in logged if 'reported' in line]
    assert [(line['log_level'], line['model'], line['reported']) for line in said] == [('warning', 'm', why)]
    assert 'upstream-secret' not in str(said)


@pytest.mark.parametrize(('read', 'written'), [(5, 10**9), (10**9, 5), (81_921, 5), (5, 81_921)])
@pytest.mark.parametrize('stream', [False, True])
def test_usage_that_no_model_can_have_is_estimated_and_says_so(
    run: Run, scripted: ScriptedServer, read: int, written: int, stream: bool
):
    usage = {'prompt_tokens': read, 'completion_tokens': written}
    if stream:
        scripted.script.headers = STREAM
        scripted.script.parts = [chunk('word ' * 8, usage=usage), b'data: [DONE]\n\n']
    else:
        answer = {'choices': [{'message': {'content': 'word ' * 8}}], 'usage': usage}
        scripted.script.parts = [json.dumps(answer).encode()]
    running = run(configured(scripted.address))
    assert call(running, stream=stream).status_code == 200
    (request,) = running.requests()
    assert (request.outcome, request.estimated) == ('usage_missing', True)
    assert (request.output_tokens, request.shortfall) == (10, 0)
    assert request.input_tokens < 100
    running.assert_settled()


def test_a_stream_for_which_nobody_asked_is_not_an_answer(run: Run, scripted: ScriptedServer):
    scripted.script.headers = {'content-type': 'Text/Event-Stream; charset=utf-8'}
    scripted.script.parts = [chunk('one'), b'data: [DONE]\n\n']
    running = run(configured(scripted.address))
    response = call(running)
    assert (response.status_code, response.json()['error']['code']) == (502, 'upstream_error')
    assert (running.requests()[0].outcome, running.requests()[0].cost) == ('upstream_error', 0)
    assert call(running, stream=True).text.endswith('data: [DONE]\n\n')
    running.assert_settled()


def test_a_whole_answer_to_who_asked_for_a_stream_is_passed_on_as_it_is(run: Run, scripted: ScriptedServer):
    usage = {'prompt_tokens': 5, 'completion_tokens': 6}
    scripted.script.parts = [json.dumps({'choices': [{'message': {'content': 'one'}}], 'usage': usage}).encode()]
    running = run(configured(scripted.address))
    response = call(running, stream=True)
    assert response.headers['content-type'] == 'application/json'
    assert response.content == scripted.script.parts[0]
    (request,) = running.requests()
    assert (request.outcome, request.input_tokens, request.output_tokens) == ('success', 5, 6)
    running.assert_settled()


def test_an_error_that_the_server_calls_a_success_is_an_error(run: Run, scripted: ScriptedServer):
    scripted.script.parts = [b'{"error": {"message": "out of memory"}}']
    running = run(configured(scripted.address))
    response = call(running)
    assert (response.status_code, response.json()['error']['code']) == (502, 'upstream_error')
    assert running.requests()[0].cost == 0
    running.assert_settled()


@pytest.mark.parametrize('stream', [False, True])
def test_an_error_that_is_null_is_none(run: Run, scripted: ScriptedServer, stream: bool):
    usage = {'prompt_tokens': 5, 'completion_tokens': 6}
    if stream:
        last = b'data: ' + json.dumps({'choices': [], 'usage': usage, 'error': None}).encode() + b'\n\n'
        scripted.script.headers = STREAM
        scripted.script.parts = [chunk('one', error=None), last, b'data: [DONE]\n\n']
    else:
        scripted.script.parts = [json.dumps({'choices': [], 'usage': usage, 'error': None}).encode()]
    running = run(configured(scripted.address))
    assert call(running, stream=stream).status_code == 200
    (request,) = running.requests()
    assert (request.outcome, request.input_tokens, request.output_tokens) == ('success', 5, 6)
    running.assert_settled()


def test_a_stream_without_its_end_is_told_and_charged(run: Run, scripted: ScriptedServer):
    scripted.script.headers = STREAM
    scripted.script.parts = [chunk('one two three')]
    running = run(configured(scripted.address))
    with pytest.raises(openai.APIError, match='ended its stream'):
        list(running.openai.chat.completions.create(model='m', messages=MESSAGES, stream=True))
    (request,) = running.requests()
    assert (request.outcome, request.status, request.estimated) == ('upstream_error_midstream', 502, True)
    assert request.cost > 0
    running.assert_settled()


@pytest.mark.parametrize(('last', 'heard'), [(chunk('never')[:20], 1), (chunk('two').rstrip(), 2), (b': a heart', 1)])
def test_a_stream_that_ends_within_an_event_ends_with_an_error_that_can_be_read(
    run: Run, scripted: ScriptedServer, last: bytes, heard: int
):
    scripted.script.headers = STREAM
    scripted.script.parts = [chunk('one'), last]
    running = run(configured(scripted.address))
    *events, error = call(running, stream=True).content.removesuffix(b'\n\n').split(b'\n\n')
    assert events == [chunk(text).rstrip() for text in ('one', 'two')[:heard]]
    assert json.loads(error.removeprefix(b'data: '))['error']['code'] == 'upstream_error'
    assert running.requests()[0].outcome == 'upstream_error_midstream'
    running.assert_settled()


def test_an_error_that_the_server_tells_in_its_stream(run: Run, scripted: ScriptedServer):
    scripted.script.headers = STREAM
    scripted.script.parts = [chunk('one'), b'data: {"error": {"message": "out of memory"}}\n\n', b'data: [DONE]\n\n']
    running = run(configured(scripted.address))
    response = call(running, stream=True)
    assert response.status_code == 200
    assert '"code": "upstream_error"' in response.text
    assert running.requests()[0].outcome == 'upstream_error_midstream'
    running.assert_settled()


def test_an_error_as_the_first_event_is_a_whole_answer(run: Run, scripted: ScriptedServer):
    scripted.script.headers = STREAM
    scripted.script.parts = [b'data: {"error": {"message": "out of memory"}}\n\n']
    running = run(configured(scripted.address))
    assert call(running, stream=True).status_code == 502
    assert running.requests()[0].cost == 0
    running.assert_settled()


def test_the_echo_server_can_be_told_to_misbehave(run: Run):
    with echo_process('--stop-after', '3', '--omit-usage') as address:
        running = run(configured(address))
        response = call(running, stream=True)
        assert 'upstream_error' in response.text
        assert call(running).json()['choices'][0]['message']['content'] == 'one two three four five'
        assert [request.outcome for request in running.requests()] == ['upstream_error_midstream', 'usage_missing']
        assert call(running, echo={'status': 503}).status_code == 502
        running.assert_settled()


@pytest.mark.parametrize(
    'told',
    [{'tokens': 10**12}, {'tokens': 'x'}, {'delay_seconds': 'x'}, {'status': 7}, {'omit_usage': 1}, {'tokens': None}],
)
def test_the_echo_within_the_gateway_refuses_what_would_harm_it(
    run: Run, told: dict[str, Any], caplog: pytest.LogCaptureFixture
):
    running = run(configured('builtin:echo'))
    for stream in (False, True):
        response = call(running, echo=told, stream=stream)
        assert (response.status_code, response.json()['error']['code']) == (400, 'invalid_request')
    assert call(running, messages=[{'role': 'user', 'content': {'text': 'no text'}}]).status_code == 400
    assert 'exception' not in caplog.text
    running.assert_settled()


def test_a_caller_who_leaves_in_mid_stream_pays_for_what_was_generated(run: Run, scripted: ScriptedServer):
    scripted.script.headers = STREAM
    scripted.script.parts = [chunk('word ' * 20), chunk('never seen ' * 20)]
    scripted.script.waits_after = 0
    running = run(configured(scripted.address))
    stream = running.openai.chat.completions.create(model='m', messages=MESSAGES, stream=True)
    next(stream)
    stream.close()
    (request,) = running.wait_for_requests(1)
    assert (request.outcome, request.status, request.estimated) == ('disconnected', 499, True)
    assert request.output_tokens == 25
    assert scripted.script.left.wait(10), 'the model server goes on for nobody'
    running.assert_settled()


def test_a_caller_who_leaves_is_charged_as_reported_where_usage_is_continuous(run: Run, scripted: ScriptedServer):
    scripted.script.headers = STREAM
    usage = {'prompt_tokens': 11, 'completion_tokens': 3}
    scripted.script.parts = [chunk('a b c', usage=usage), chunk('never')]
    scripted.script.waits_after = 0
    endpoint = {'url': scripted.address, 'continuous_usage': 'true'}
    running = run(configured(scripted.address, endpoints=[endpoint]))
    stream = running.openai.chat.completions.create(model='m', messages=MESSAGES, stream=True)
    next(stream)
    stream.close()
    (request,) = running.wait_for_requests(1)
    assert (request.outcome, request.estimated) == ('disconnected', False)
    assert (request.input_tokens, request.output_tokens) == (11, 3)
    running.assert_settled()


def test_a_caller_who_leaves_before_the_answer_frees_the_model_server(run: Run, scripted: ScriptedServer):
    scripted.script.waits_after = -1
    running = run(configured(scripted.address))

    async def leave() -> None:
        async with openai.AsyncOpenAI(base_url=f'{running.address}/v1', api_key=running.key, max_retries=0) as client:
            task = asyncio.create_task(client.chat.completions.create(model='m', messages=MESSAGES))
            await asyncio.to_thread(wait_until, lambda: len(scripted.script.received) == 1)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    asyncio.run(leave())
    assert scripted.script.left.wait(10)
    (request,) = running.wait_for_requests(1)
    assert (request.outcome, request.estimated, request.output_tokens) == ('disconnected', True, 256)
    assert request.input_tokens > 0
    running.assert_settled()


def test_calls_that_outlast_the_grace_of_a_shutdown_are_settled(run: Run, scripted: ScriptedServer):
    scripted.script.headers = STREAM
    scripted.script.parts = [chunk('one'), chunk('never')]
    scripted.script.waits_after = 0
    running = run(configured(scripted.address, endpoints=[{'url': scripted.address}]))
    stream = running.openai.chat.completions.create(model='m', messages=MESSAGES, stream=True)
    next(stream)
    running.stop()
    (request,) = running.wait_for_requests(1)
    assert (request.outcome, request.estimated) == ('interrupted', True)
    running.assert_settled()
    stream.close()


def test_a_call_that_costs_more_than_the_pool_has_leaves_a_shortfall(run: Run, scripted: ScriptedServer):
    scripted.script.parts = [b'{"usage": {"prompt_tokens": 10, "completion_tokens": 9000}}']
    running = run(configured(scripted.address))
    assert call(running).status_code == 200
    (request,) = running.requests()
    assert (request.cost, request.shortfall) == (10_000_000_000, 8_010_000_000)
    assert running.account().balance == 0
    running.assert_settled()
