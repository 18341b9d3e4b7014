"""Calls as they should be: the real SDK, a gateway on a port, a model server in another process."""

from __future__ import annotations

import asyncio
import gc
import json
import select
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from urllib.parse import quote, urlsplit

import httpx2
import openai
import pytest

import models
from lumen.config.settings import Settings
from lumen.database import Database
from lumen.gateway.echo_tokens import count_input, tokens
from tests.lumen.gateway.conftest import Running, ScriptedServer, configured, wait_until

Run = Callable[[Settings], Running]
HELLO = 'Hello, you there! How are things?'
MESSAGES: list[openai.types.chat.ChatCompletionMessageParam] = [{'role': 'user', 'content': HELLO}]
MILLICOIN = 1_000_000


def test_a_whole_answer_is_charged_exactly_as_reported(run: Run, echo_address: str):
    running = run(configured(echo_address))
    answer = running.openai.chat.completions.create(model='m', messages=MESSAGES)
    assert answer.choices[0].message.content == HELLO
    assert answer.usage is not None
    assert answer.usage.prompt_tokens == count_input({'messages': MESSAGES})
    assert answer.usage.completion_tokens == len(tokens(HELLO))
    cost = (answer.usage.prompt_tokens + 2 * answer.usage.completion_tokens) * MILLICOIN
    (request,) = running.requests()
    assert (request.outcome, request.status, request.estimated, request.streamed) == ('success', 200, False, False)
    assert (request.cost, request.endpoint) == (cost, echo_address)
    assert running.account().spent == cost
    assert running.account().balance == 10_000_000_000 - cost
    running.assert_settled()


def test_a_stream_is_charged_exactly_and_its_usage_is_hidden_from_who_did_not_ask(run: Run, echo_address: str):
    running = run(configured(echo_address))
    chunks = list(running.openai.chat.completions.create(model='m', messages=MESSAGES, stream=True))
    assert ''.join(chunk.choices[0].delta.content or '' for chunk in chunks) == HELLO
    assert all(chunk.choices and chunk.usage is None for chunk in chunks)
    (request,) = running.requests()
    assert (request.outcome, request.streamed, request.estimated) == ('success', True, False)
    assert (request.input_tokens, request.output_tokens) == (count_input({'messages': MESSAGES}), len(tokens(HELLO)))
    assert request.time_to_first_byte_us is not None
    running.assert_settled()


def test_who_asks_for_usage_sees_it(run: Run, echo_address: str):
    running = run(configured(echo_address))
    stream = running.openai.chat.completions.create(
        model='m', messages=MESSAGES, stream=True, stream_options={'include_usage': True}
    )
    last = list(stream)[-1]
    assert last.usage is not None
    assert last.usage.completion_tokens == running.requests()[0].output_tokens


def test_continuous_usage_is_asked_for_and_hidden_too(run: Run, echo_address: str):
    endpoint = {'url': echo_address, 'continuous_usage': 'true'}
    running = run(configured(echo_address, endpoints=[endpoint]))
    chunks = list(running.openai.chat.completions.create(model='m', messages=MESSAGES, stream=True))
    assert ''.join(chunk.choices[0].delta.content or '' for chunk in chunks) == HELLO
    assert all(chunk.usage is None for chunk in chunks)
    assert running.requests()[0].estimated is False


class Standing:
    """Within the block the writer stands; whatever is to be written waits behind it."""

    def __init__(self, database: Database):
        self._database = database
        self._begun, self._go = threading.Event(), threading.Event()

    def __enter__(self) -> Standing:
        self._database.submit(self._stand)
        assert self._begun.wait(20)
        return self

    def __exit__(self, *_: object) -> None:
        self._go.set()

    def wait_for_somebody(self) -> None:
        wait_until(lambda: self._database._writer.queue.qsize() > 0)

    def _stand(self) -> None:
        self._begun.set()
        self._go.wait(60)


def connect(running: Running, **body: Any) -> socket.socket:
    """A connection over which a call was sent."""
    content = json.dumps({'model': 'm', 'messages': MESSAGES, **body}).encode()
    connection = socket.create_connection(('127.0.0.1', urlsplit(running.address).port or 0), timeout=20)
    head = (
        f'POST /v1/chat/completions HTTP/1.1\r\nhost: lumen\r\nauthorization: Bearer {running.key}\r\n'
        f'content-type: application/json\r\ncontent-length: {len(content)}\r\nconnection: close\r\n\r\n'
    )
    connection.sendall(head.encode() + content)
    return connection


def receive_until(connection: socket.socket, end: bytes) -> bytes:
    received = b''
    while end not in received:
        part = connection.recv(65536)
        assert part, received
        received += part
    return received


def received_meanwhile(connection: socket.socket) -> bytes:
    """What comes although nothing should: whatever does within a moment."""
    ready, _, _ = select.select([connection], [], [], 0.3)
    return connection.recv(65536) if ready else b''


def test_the_end_of_a_stream_is_not_seen_before_its_settlement_is_committed(run: Run, scripted: ScriptedServer):
    usage = {'prompt_tokens': 1, 'completion_tokens': 1}
    scripted.script.headers = {'content-type': 'text/event-stream'}
    scripted.script.parts = [
        b'data: {"choices": [{"delta": {"content": "first"}}]}\n\n',
        b'data: {"choices": [{"delta": {"content": "last"}}]}\n\n'
        + f'data: {json.dumps({"choices": [], "usage": usage})}\n\n'.encode()
        + b'data: [DONE]\n\n',
    ]
    scripted.script.waits_after = 0
    running = run(configured(scripted.address))
    with connect(running, stream=True) as connection:
        receive_until(connection, b'"first"')
        with Standing(running.database) as writer:
            scripted.script.proceed.set()
            received = receive_until(connection, b'"last"')
            writer.wait_for_somebody()
            assert b'[DONE]' not in received + received_meanwhile(connection)
        receive_until(connection, b'[DONE]')
        assert [request.outcome for request in running.requests()] == ['success']
    running.assert_settled()


def test_the_end_of_a_whole_answer_is_not_seen_before_its_settlement_is_committed(run: Run, scripted: ScriptedServer):
    end = b'the very end"}'
    scripted.script.parts = [b'{"usage": {"prompt_tokens": 1, "completion_tokens": 1}, "of_its_own": "' + end]
    scripted.script.waits_after = -1
    running = run(configured(scripted.address))
    with connect(running) as connection:
        wait_until(lambda: len(scripted.script.received) == 1)
        with Standing(running.database) as writer:
            scripted.script.proceed.set()
            writer.wait_for_somebody()
            received = received_meanwhile(connection)
            assert end not in received
        receive_until(connection, end)
        assert [request.outcome for request in running.requests()] == ['success']
    running.assert_settled()


def test_tools_images_and_unknown_fields_pass_as_they_are(run: Run, scripted: ScriptedServer):
    usage = {'prompt_tokens': 5, 'completion_tokens': 6, 'total_tokens': 11}
    answer = {'id': 'x', 'choices': [], 'usage': usage, 'of_its_own': {'kept': [1.5, None]}}
    scripted.script.parts = [json.dumps(answer).encode()]
    running = run(configured(scripted.address))
    sent = {
        'model': 'm',
        'messages': [
            {
                'role': 'user',
                'content': [
                    {'type': 'text', 'text': 'Grüße 👋'},
                    {'type': 'image_url', 'image_url': {'url': 'data:image/png;base64,AAAA', 'detail': 'low'}},
                ],
            }
        ],
        'tools': [{'type': 'function', 'function': {'name': 'f', 'parameters': {'type': 'object'}}}],
        'temperature': 0.1,
        'seed': 12345678901234567890,
        'of_your_own': {'deep': [True, None, 1.0, '']},
    }
    response = httpx2.post(
        f'{running.address}/v1/chat/completions',
        headers={'authorization': f'Bearer {running.key}', 'x-request-id': 'mine', 'cookie': 'a=b'},
        json=sent,
    )
    assert response.json() == answer
    assert scripted.script.received == [sent | {'model': 'remote/name'}]
    headers = scripted.script.received_headers[0]
    assert headers['authorization'] == 'Bearer upstream-secret'
    assert running.key not in str(headers)
    assert 'cookie' not in headers
    (request,) = running.requests()
    assert response.headers['x-request-id'] == request.request_id
    assert (request.input_tokens, request.output_tokens) == (5, 6)


def test_the_callers_limit_is_bounded_by_the_models(run: Run, scripted: ScriptedServer):
    scripted.script.parts = [b'{"usage": {"prompt_tokens": 1, "completion_tokens": 1}}']
    running = run(configured(scripted.address))
    for limits in ({}, {'max_tokens': 5}, {'max_completion_tokens': 5000}):
        httpx2.post(
            f'{running.address}/v1/chat/completions',
            headers={'authorization': f'Bearer {running.key}'},
            json={'model': 'm', 'messages': MESSAGES, **limits},
        )
    sent = [(body.get('max_tokens'), body.get('max_completion_tokens')) for body in scripted.script.received]
    assert sent == [(None, None), (5, None), (None, 512)]


def test_near_empty_the_output_is_bounded_by_what_the_pool_can_pay(run: Run, scripted: ScriptedServer):
    scripted.script.parts = [b'{"usage": {"prompt_tokens": 9, "completion_tokens": 40}}']
    running = run(configured(scripted.address, pool={'max': '1', 'refresh': '0', 'starting': '0.6'}))
    running.openai.chat.completions.create(model='m', messages=MESSAGES)
    limit = scripted.script.received[0]['max_tokens']
    assert 1 <= limit <= 300
    running.assert_settled()


def test_several_answers_are_held_for_and_charged(run: Run, echo_address: str):
    running = run(configured(echo_address))
    answer = running.openai.chat.completions.create(model='m', messages=MESSAGES, n=3)
    assert len(answer.choices) == 3
    assert running.requests()[0].output_tokens == 3 * len(tokens(HELLO))
    running.assert_settled()


def test_a_free_model_costs_nothing_and_is_counted(run: Run, echo_address: str):
    running = run(configured(echo_address, pool={'max': '1', 'refresh': '0', 'starting': '0'}))
    running.openai.chat.completions.create(model='org/free', messages=MESSAGES)
    account = running.account()
    assert (account.requests, account.spent) == (1, 0)
    running.assert_settled()


def test_models_are_listed_and_described_as_far_as_the_account_may_use_them(run: Run, echo_address: str):
    running = run(configured(echo_address))
    assert [model.id for model in running.openai.models.list()] == ['m', 'org/free']
    assert running.openai.models.retrieve('m').id == 'm'
    escaped = httpx2.get(f'{running.address}/v1/models/org%2Ffree', headers={'authorization': f'Bearer {running.key}'})
    assert escaped.json()['id'] == 'org/free'
    messages = set()
    for name in ('blocked', 'disabled', 'unknown'):
        with pytest.raises(openai.NotFoundError) as hidden:
            running.openai.models.retrieve(name)
        assert hidden.value.code == 'model_not_found'
        messages.add(hidden.value.message.replace(name, ''))
    assert len(messages) == 1


def test_a_model_is_described_in_the_fields_that_clients_read(run: Run, echo_address: str):
    more = {'description': 'Says it again.', 'input_modalities': ['text', 'image'], 'input_cost_per_million': '0.05'}
    running = run(configured(echo_address, **more))
    before = running.openai.models.retrieve('m').model_dump()
    assert before['health'] == {'state': 'unknown', 'since': None}
    running.openai.chat.completions.create(model='m', messages=MESSAGES)
    wait_until(lambda: running.openai.models.retrieve('m').health['state'] == 'ok')
    found = running.openai.models.list().data[0].model_dump()
    assert (found['object'], found['owned_by'], found['max_model_len']) == ('model', 'lumen', 8192)
    assert (found['name'], found['description'], found['context_length']) == ('m', 'Says it again.', 8192)
    assert found['architecture'] == {
        'modality': 'text+image->text',
        'input_modalities': ['text', 'image'],
        'output_modalities': ['text'],
    }
    assert found['pricing'] == {'prompt': '0.00000005', 'completion': '0.002'}
    assert found['top_provider']['max_completion_tokens'] == 512
    assert found['health']['state'] == 'ok'
    free = running.openai.models.retrieve('org/free').pricing
    assert free == {'prompt': '0', 'completion': '0'}


@pytest.mark.parametrize(
    ('price', 'said'), [('0.36', '0.36'), ('12', '12'), ('100', '100'), ('0.000000001', '0.000000001'), ('0', '0')]
)
def test_a_price_of_audio_is_told_where_there_is_one(run: Run, price: str, said: str):
    running = run(configured('builtin:echo', audio_cost_per_hour=price, max_audio_seconds='7200'))
    assert running.openai.models.retrieve('m').pricing['audio_per_hour'] == said
    assert 'audio_per_hour' not in running.openai.models.retrieve('org/free').pricing


@pytest.mark.parametrize('name', ['50%', 'a%41', 'a b', 'a+b', 'é?#', 'org/sub/name:latest'])
def test_a_model_is_found_by_its_escaped_name_unescaped_once(run: Run, name: str):
    running = run(configured('builtin:echo', name=name))
    assert running.openai.models.retrieve(name).id == name
    headers = {'authorization': f'Bearer {running.key}'}
    head = httpx2.head(f'{running.address}/v1/models/{quote(name, safe="")}', headers=headers)
    assert (head.status_code, head.content) == (200, b'')


def test_the_builtin_model_behaves_like_the_one_in_another_process(run: Run):
    running = run(configured('builtin:echo'))
    answer = running.openai.chat.completions.create(model='m', messages=MESSAGES)
    chunks = list(running.openai.chat.completions.create(model='m', messages=MESSAGES, stream=True))
    assert answer.choices[0].message.content == ''.join(chunk.choices[0].delta.content or '' for chunk in chunks)
    first, second = running.requests()
    assert (first.input_tokens, first.output_tokens) == (second.input_tokens, second.output_tokens)
    running.assert_settled()


def test_a_hundred_calls_at_once_are_charged_one_by_one_and_never_overspend(run: Run, echo_address: str):
    running = run(configured(echo_address))

    async def call(client: openai.AsyncOpenAI, number: int) -> str:
        answer = None
        with suppress(openai.RateLimitError):
            answer = await client.chat.completions.create(
                model='m', messages=MESSAGES, max_tokens=50 + number, stream=False, extra_body={'echo': {'tokens': 500}}
            )
        if answer is None:
            return 'refused'
        assert answer.usage is not None
        assert 1 <= answer.usage.completion_tokens <= 50 + number  # near empty, as many as are left pay for
        return 'served'

    async def everything() -> list[str]:
        async with openai.AsyncOpenAI(base_url=f'{running.address}/v1', api_key=running.key, max_retries=0) as client:
            return await asyncio.gather(*(call(client, number) for number in range(100)))

    outcomes = asyncio.run(everything())
    account = running.account()
    assert account.balance >= 0
    assert account.requests == outcomes.count('served') > 20
    assert account.spent == sum(request.cost for request in running.requests())
    running.assert_settled()


def test_a_revoked_key_stops_within_a_second_and_calls_in_flight_finish(run: Run, scripted: ScriptedServer):
    scripted.script.parts = [
        b'data: {"choices": [{"delta": {"content": "a"}}]}\n\n',
        b'data: {"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 1}}\n\ndata: [DONE]\n\n',
    ]
    scripted.script.headers = {'content-type': 'text/event-stream'}
    scripted.script.waits_after = 0
    running = run(configured(scripted.address))
    stream = running.openai.chat.completions.create(model='m', messages=MESSAGES, stream=True)
    assert next(stream).choices[0].delta.content == 'a'
    running.database.write_now(_revoke_all)
    revoked_at = time.monotonic()

    def is_refused() -> bool:
        try:
            running.openai.models.list()
        except openai.AuthenticationError:
            return True
        return False

    wait_until(is_refused)
    assert time.monotonic() - revoked_at < 1.0
    scripted.script.proceed.set()
    assert list(stream) == []
    assert running.requests()[0].outcome == 'success'
    running.assert_settled()


def _revoke_all() -> None:
    from lumen.identity import revisions

    models.ApiKey.update(revoked_at=1).execute()
    revisions.bump(revisions.KEYS)


@pytest.mark.parametrize('connection', ['keep-alive', 'close'])
@pytest.mark.parametrize('stream', [False, True])
def test_a_call_leaves_nothing_to_the_garbage_collector(run: Run, echo_address: str, stream: bool, connection: str):
    assert left_behind(run(configured(echo_address)), stream=stream, connection=connection) == []


def test_a_model_server_that_closes_leaves_nothing_to_it_either(run: Run, scripted: ScriptedServer):
    scripted.script.parts = [b'{"usage": {"prompt_tokens": 1, "completion_tokens": 1}}']
    assert left_behind(run(configured(scripted.address)), stream=False, connection='close') == []


def left_behind(running: Running, *, stream: bool, connection: str) -> list[str]:
    """Where what only the garbage collector can free after thirty calls is made, as far as it is ours."""
    headers = {'authorization': f'Bearer {running.key}', 'connection': connection}
    body = {'model': 'm', 'messages': MESSAGES, 'stream': stream}
    with httpx2.Client(base_url=running.address, headers=headers) as client:

        def calls(number: int) -> None:
            for _ in range(number):
                assert client.post('/v1/chat/completions', json=body).status_code == 200

        calls(5)
        gc.collect()
        gc.disable()
        try:
            calls(30)
            modules = [type(item).__module__ for item in garbage()]
        finally:
            gc.enable()
    return [module for module in modules if module.startswith('lumen')]


def garbage() -> list[Any]:
    """What only the garbage collector can free."""
    before, flags = len(gc.garbage), gc.get_debug()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        gc.collect()
        return gc.garbage[before:]
    finally:
        gc.set_debug(flags)
        del gc.garbage[before:]
