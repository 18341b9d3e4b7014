"""What a call that ends early is charged: the table of outcomes in docs/api.md, line by line."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from threading import Event
from typing import Any

import httpx2
import pytest
from pydantic import SecretStr

import models
from lumen.config.settings import Settings
from tests.lumen.gateway.conftest import Running, ScriptedServer, configured, wait_until
from tests.lumen.gateway.test_failures import MESSAGES, STREAM, call, chunk

Run = Callable[[Settings], Running]
EXPECTED_OUTPUT = 256


def impatient(address: str, **more: Any) -> Settings:
    endpoint = {'url': address, 'idle_timeout_seconds': '0.2', 'connect_timeout_seconds': '0.2'}
    return configured(address, endpoints=[endpoint], **more)


def ended(running: Running) -> models.Request:
    (request,) = running.wait_for_requests(1)
    running.assert_settled()
    return request


def assert_nothing_charged(request: models.Request) -> None:
    assert (request.input_tokens, request.output_tokens, request.cost, request.estimated) == (0, 0, 0, False)


def leave_when(running: Running, ready: Callable[[], bool], path: str = 'chat/completions', **more: Any) -> None:
    """Call, and hang up once `ready`."""
    body = {'model': 'm', 'messages': MESSAGES, 'input': 'one two three', **more}

    async def leave() -> None:
        headers = {'authorization': f'Bearer {running.key}'}
        async with httpx2.AsyncClient(timeout=30) as client:
            task = asyncio.create_task(client.post(f'{running.address}/v1/{path}', headers=headers, json=body))
            await asyncio.to_thread(wait_until, ready)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    asyncio.run(leave())


@pytest.mark.parametrize(
    ('more', 'output'), [({}, EXPECTED_OUTPUT), ({'max_tokens': 5}, 5), ({'max_tokens': 5, 'n': 3}, 15)]
)
def test_who_leaves_before_a_whole_answer_pays_what_was_expected_and_never_more_than_the_bound(
    run: Run, scripted: ScriptedServer, more: dict[str, Any], output: int
):
    scripted.script.waits_after = -1
    running = run(configured(scripted.address))
    leave_when(running, lambda: len(scripted.script.received) == 1, **more)
    request = ended(running)
    assert (request.outcome, request.estimated, request.output_tokens) == ('disconnected', True, output)
    assert request.input_tokens > 0


@pytest.mark.parametrize('size', [50_000, 300_000, 5_000_000])
def test_who_leaves_after_a_large_body_is_noticed(run: Run, scripted: ScriptedServer, size: int):
    """The server reads no more while so much waits, and would not see that the connection ends."""
    scripted.script.waits_after = -1
    running = run(configured(scripted.address))
    leave_when(running, lambda: len(scripted.script.received) == 1, user='x' * size)
    assert scripted.script.left.wait(20)
    assert ended(running).outcome == 'disconnected'


def test_who_leaves_before_a_stream_began_pays_what_was_read(run: Run, scripted: ScriptedServer):
    scripted.script.waits_after = -1
    running = run(configured(scripted.address))
    leave_when(running, lambda: len(scripted.script.received) == 1, stream=True)
    request = ended(running)
    assert (request.outcome, request.estimated, request.output_tokens) == ('disconnected', True, 0)
    assert request.input_tokens > 0


@pytest.mark.parametrize(('stream', 'output'), [(False, EXPECTED_OUTPUT), (True, 0)])
def test_a_call_that_lumen_cut_off_is_charged_as_if_the_caller_had_left(
    run: Run, scripted: ScriptedServer, stream: bool, output: int
):
    scripted.script.waits_after = -1
    running = run(configured(scripted.address))

    def stop_once_asked() -> bool:
        if len(scripted.script.received) == 1:
            running.stop()
        return len(scripted.script.received) == 1

    leave_when(running, stop_once_asked, stream=stream)
    request = ended(running)
    assert (request.outcome, request.estimated, request.output_tokens) == ('interrupted', True, output)
    assert request.input_tokens > 0


def test_who_leaves_before_embeddings_came_pays_what_was_read(run: Run, scripted: ScriptedServer):
    scripted.script.waits_after = -1
    running = run(configured(scripted.address))
    leave_when(running, lambda: len(scripted.script.received) == 1, path='embeddings')
    request = ended(running)
    assert (request.outcome, request.estimated, request.output_tokens) == ('disconnected', True, 0)
    assert request.input_tokens > 0


@pytest.mark.parametrize('stream', [False, True])
def test_who_leaves_before_the_model_server_was_asked_pays_nothing(run: Run, stream: bool):
    """A server that accepts no connection: its queue of one is full."""
    with socket.socket() as silent, socket.socket() as first, socket.socket() as second:
        silent.bind(('127.0.0.1', 0))
        silent.listen(0)
        for connection in (first, second):
            connection.setblocking(False)
            connection.connect_ex(silent.getsockname())
        running = run(configured(f'http://127.0.0.1:{silent.getsockname()[1]}/v1'))
        leave_when(running, lambda: running.account().held > 0, stream=stream)
        request = ended(running)
        assert request.outcome == 'disconnected'
        assert_nothing_charged(request)


@pytest.mark.parametrize('stream', [False, True])
def test_a_server_that_takes_no_connection_in_time_costs_nothing(run: Run, stream: bool):
    with socket.socket() as silent, socket.socket() as first, socket.socket() as second:
        silent.bind(('127.0.0.1', 0))
        silent.listen(0)
        for connection in (first, second):
            connection.setblocking(False)
            connection.connect_ex(silent.getsockname())
        running = run(impatient(f'http://127.0.0.1:{silent.getsockname()[1]}/v1'))
        assert call(running, stream=stream).status_code == 504
        request = ended(running)
        assert request.outcome == 'timeout'
        assert_nothing_charged(request)


@pytest.mark.parametrize('stream', [False, True])
@pytest.mark.parametrize('kind', ['refused', 'no name', 'no TLS'])
def test_a_server_that_cannot_be_asked_costs_nothing(run: Run, scripted: ScriptedServer, kind: str, stream: bool):
    address = {
        'refused': 'http://127.0.0.1:9/v1',
        'no name': f'http://{"a" * 64}.invalid/v1',
        'no TLS': scripted.address.replace('http:', 'https:'),
    }[kind]
    running = run(configured(address))
    assert call(running, stream=stream).status_code == 502
    request = ended(running)
    assert request.outcome == 'upstream_error'
    assert_nothing_charged(request)


@pytest.mark.parametrize('key', ['line\nfeed', 'carriage\rreturn', 'null\0', 'sk\r\nx-more: 1'])
@pytest.mark.parametrize('stream', [False, True])
def test_a_key_that_no_header_can_hold_is_our_failure_and_costs_nothing(
    run: Run, scripted: ScriptedServer, key: str, stream: bool
):
    settings = configured(scripted.address)
    endpoint = settings.models[0].endpoints[0].model_copy(update={'api_key': SecretStr(key)})
    model = settings.models[0].model_copy(update={'endpoints': (endpoint,)})
    running = run(settings.model_copy(update={'models': (model, *settings.models[1:])}))
    response = call(running, stream=stream)
    assert (response.status_code, response.json()['error']['code']) == (502, 'upstream_error')
    assert key not in response.text
    assert scripted.script.received == []
    request = ended(running)
    assert request.outcome == 'upstream_error'
    assert_nothing_charged(request)


def test_a_whole_answer_that_does_not_come_in_time_is_charged_as_expected(run: Run, scripted: ScriptedServer):
    scripted.script.waits_after = -1
    running = run(impatient(scripted.address))
    assert call(running).status_code == 504
    request = ended(running)
    assert (request.outcome, request.estimated, request.output_tokens) == ('timeout', True, EXPECTED_OUTPUT)


def test_a_whole_answer_that_stalls_is_charged_as_expected(run: Run, scripted: ScriptedServer):
    scripted.script.parts = [b'{"choices": ', b'[]}']
    scripted.script.waits_after = 0
    running = run(impatient(scripted.address))
    assert call(running).status_code == 504
    request = ended(running)
    assert (request.outcome, request.estimated, request.output_tokens) == ('timeout', True, EXPECTED_OUTPUT)


def test_a_stream_that_does_not_begin_in_time_costs_nothing(run: Run, scripted: ScriptedServer):
    scripted.script.waits_after = -1
    running = run(impatient(scripted.address))
    assert call(running, stream=True).status_code == 504
    request = ended(running)
    assert request.outcome == 'timeout'
    assert_nothing_charged(request)


@pytest.mark.parametrize('stream', [False, True])
def test_a_server_that_hangs_up_before_it_answers_costs_nothing(run: Run, scripted: ScriptedServer, stream: bool):
    scripted.script.hangs_up = True
    running = run(configured(scripted.address))
    assert call(running, stream=stream).status_code == 502
    request = ended(running)
    assert request.outcome == 'upstream_error'
    assert_nothing_charged(request)


def test_a_whole_answer_that_breaks_off_costs_nothing(run: Run, scripted: ScriptedServer):
    scripted.script.parts, scripted.script.length = [b'{"choices": []}'], 500
    running = run(configured(scripted.address))
    assert call(running).status_code == 502
    request = ended(running)
    assert request.outcome == 'upstream_error'
    assert_nothing_charged(request)


def test_a_stream_that_breaks_off_is_charged_by_what_was_seen(run: Run, scripted: ScriptedServer):
    scripted.script.headers = STREAM
    scripted.script.parts, scripted.script.length = [chunk('word ' * 20)], 5000
    running = run(configured(scripted.address))
    assert '"code": "upstream_error"' in call(running, stream=True).text
    request = ended(running)
    assert (request.outcome, request.estimated) == ('upstream_error_midstream', True)
    assert request.output_tokens == 25


@pytest.mark.parametrize(
    ('reports', 'output', 'estimated'),
    [
        ([{'completion_tokens': 0}, None], 50, True),
        ([{'completion_tokens': 0}, {'completion_tokens': 0}], 50, True),
        ([{'completion_tokens': 3}, None], 50, True),
        ([{'completion_tokens': 70}, None], 70, False),
        ([{'completion_tokens': 1}, {'completion_tokens': 7}], 7, False),
        ([None, {'completion_tokens': 7}], 7, False),
        ([None, None], 50, True),
    ],
)
@pytest.mark.parametrize('is_left', [True, False])
def test_text_that_was_seen_is_not_hidden_by_an_earlier_report(
    run: Run, scripted: ScriptedServer, reports: list[Any], output: int, estimated: bool, is_left: bool
):
    usages = [report and {'prompt_tokens': 11} | report for report in reports]
    scripted.script.headers = STREAM
    scripted.script.parts = [b''.join(chunk('word ' * 20, usage=usage) for usage in usages), b'data: [DONE]\n\n']
    scripted.script.waits_after = 0
    running = run(configured(scripted.address))
    seen = Event()
    headers = {'authorization': f'Bearer {running.key}'}
    body = {'model': 'm', 'messages': MESSAGES, 'stream': True}
    with httpx2.stream('POST', f'{running.address}/v1/chat/completions', headers=headers, json=body) as response:
        for number, _ in enumerate(line for line in response.iter_lines() if line.startswith('data: {')):
            if number == 1:
                seen.set()
                if is_left:
                    break
                scripted.script.proceed.set()
    assert seen.is_set()
    request = ended(running)
    usual = 'usage_missing' if estimated else 'success'
    assert request.outcome == ('disconnected' if is_left else usual)
    assert (request.output_tokens, request.estimated) == (output, estimated)
    assert request.input_tokens == 11 or usages == [None, None]
