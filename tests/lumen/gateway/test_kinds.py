"""The calls besides chat that write: completions, responses and messages, each with its vendor's SDK, and exact."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from itertools import product
from typing import Any

import anthropic
import httpx2
import openai
import pytest

import models
from lumen.config.settings import Settings
from lumen.gateway.echo_tokens import tokens
from tests.lumen.gateway.conftest import Running, ScriptedServer, configured, wait_until

Run = Callable[[Settings], Running]
MILLICOIN = 1_000_000
WORDS = ' '.join(f'word{number}' for number in range(20))
PICTURE = 'data:image/png;base64,iVBORw0KGgo='
KINDS: dict[str, dict[str, Any]] = {
    'completions': {'prompt': WORDS},
    'responses': {'input': WORDS},
    'messages': {'messages': [{'role': 'user', 'content': WORDS}], 'max_tokens': 400},
}
LIMITS = {'completions': 'max_tokens', 'responses': 'max_output_tokens', 'messages': 'max_tokens'}
every_kind = pytest.mark.parametrize('kind', KINDS)


def claude(running: Running, key: str | None = None) -> anthropic.Anthropic:
    return anthropic.Anthropic(base_url=running.address, api_key=key or running.key, max_retries=0)


def send(running: Running, kind: str, **more: Any) -> httpx2.Response:
    body = {'model': 'm'} | KINDS[kind] | more
    headers = {'authorization': f'Bearer {running.key}'}
    return httpx2.post(f'{running.address}/v1/{kind}', headers=headers, json=body, timeout=30)


def events_of(response: httpx2.Response) -> list[dict[str, Any]]:
    lines = [line.removeprefix('data: ') for line in response.text.splitlines() if line.startswith('data: {')]
    return [json.loads(line) for line in lines]


def said(running: Running, kind: str, *, stream: bool, **more: Any) -> str:
    """What the vendor's own SDK makes of the answer."""
    body = {'model': 'm'} | KINDS[kind] | more
    if kind == 'messages':
        with claude(running) as client:
            if not stream:
                return ''.join(block.text for block in client.messages.create(**body).content)
            with client.messages.stream(**body) as answer:
                return answer.get_final_text()
    if kind == 'completions':
        found = running.openai.completions.create(**body, stream=stream)
        return ''.join(chunk.choices[0].text for chunk in (found if stream else [found]) if chunk.choices)
    if not stream:
        return running.openai.responses.create(**body).output_text
    with running.openai.responses.stream(**body) as answer:
        return answer.get_final_response().output_text


def ended(running: Running) -> models.Request:
    (request,) = running.wait_for_requests(1)
    running.assert_settled()
    return request


@every_kind
@pytest.mark.parametrize('stream', [False, True], ids=['whole', 'stream'])
def test_the_sdk_gets_the_answer_and_the_account_pays_for_it(run: Run, echo_address: str, kind: str, stream: bool):
    running = run(configured(echo_address))
    assert said(running, kind, stream=stream) == WORDS
    (request,) = running.requests()  # without waiting: the last event is behind the settlement
    assert (request.outcome, request.status, request.estimated, request.streamed) == ('success', 200, False, stream)
    read = len(tokens(WORDS)) + (kind != 'completions')
    assert (request.input_tokens, request.output_tokens) == (read, 20)
    assert request.cost == (read + 2 * 20) * MILLICOIN
    assert running.account().balance == 10_000_000_000 - request.cost
    running.assert_settled()


@every_kind
@pytest.mark.parametrize('stream', [False, True], ids=['whole', 'stream'])
def test_without_usage_what_was_written_is_estimated_and_marked(run: Run, echo_address: str, kind: str, stream: bool):
    running = run(configured(echo_address))
    assert send(running, kind, stream=stream, echo={'omit_usage': True}).status_code == 200
    request = ended(running)
    assert (request.outcome, request.estimated) == ('usage_missing', True)
    assert request.output_tokens == -(-len(WORDS) // 4)  # a quarter of a token a byte, until it is known better


@every_kind
def test_who_hangs_up_pays_for_what_was_written_until_then(run: Run, echo_address: str, kind: str):
    running = run(configured(echo_address))

    async def leave() -> int:
        body = {'model': 'm', 'stream': True} | KINDS[kind] | {'echo': {'chunk_delay_seconds': 0.05}}
        headers = {'authorization': f'Bearer {running.key}'}
        async with (
            httpx2.AsyncClient(timeout=30) as client,
            client.stream('POST', f'{running.address}/v1/{kind}', headers=headers, json=body) as response,
        ):
            seen = ''
            async for text in response.aiter_text():
                seen += text
                if 'word9' in seen:
                    return seen.count('word')
        raise AssertionError

    seen = asyncio.run(leave())
    request = ended(running)
    assert (request.outcome, request.status, request.estimated) == ('disconnected', 499, True)
    bytes_seen = len(' '.join(f'word{number}' for number in range(seen)))
    assert -(-bytes_seen // 4) <= request.output_tokens <= -(-(bytes_seen + 12) // 4)


@every_kind
def test_a_stream_that_breaks_off_says_so_in_the_words_of_its_kind(run: Run, echo_address: str, kind: str):
    running = run(configured(echo_address))
    told = {'extra_body': {'echo': {'stop_after_chunks': 8}}}
    if kind == 'responses':  # an event like the others, which the SDK hands on
        *others, last = running.openai.responses.create(model='m', **KINDS[kind], **told, stream=True)
        assert (last.type, last.code, last.sequence_number) == ('error', 'upstream_error', len(others))
        assert 'broke off' in last.message
    else:
        with pytest.raises((openai.APIError, anthropic.APIError), match='broke off'):
            said(running, kind, stream=True, **told)
    request = ended(running)
    assert (request.outcome, request.estimated) == ('upstream_error_midstream', True)
    assert 0 < request.output_tokens < 20


@every_kind
def test_a_failure_is_told_in_the_words_of_its_kind_and_costs_nothing(run: Run, echo_address: str, kind: str):
    running = run(configured(echo_address))
    with pytest.raises((openai.InternalServerError, anthropic.InternalServerError)) as caught:
        said(running, kind, stream=False, extra_body={'echo': {'status': 501}})
    assert 'failed with status 501' in str(caught.value)
    assert caught.value.status_code == 502
    assert caught.value.body['type' if kind == 'messages' else 'code'] == (
        'error' if kind == 'messages' else 'upstream_error'
    )
    assert ended(running).cost == 0


@every_kind
def test_a_refusal_of_the_model_server_is_passed_on_as_it_is(run: Run, scripted: ScriptedServer, kind: str):
    running = run(configured(scripted.address))
    scripted.script.status = 422
    scripted.script.parts = [b'{"its": "own words"}']
    answer = send(running, kind)
    assert (answer.status_code, answer.json()) == (422, {'its': 'own words'})
    assert scripted.script.received_paths == [f'/v1/{kind}']
    assert ended(running).cost == 0


@pytest.mark.parametrize(('kind', 'named'), sorted(set(product(KINDS, (False, True))) - {('messages', False)}))
def test_no_more_may_be_written_than_the_pool_can_pay(run: Run, scripted: ScriptedServer, kind: str, named: bool):
    running = run(configured(scripted.address, pool={'max': '0.7', 'refresh': '0', 'starting': '0.7'}))
    scripted.script.status = 400
    limit = LIMITS[kind]
    send(running, kind, **({limit: 400} if named else {}))
    received = scripted.script.received[0]
    assert 330 < received[limit] < 335  # 0.7 coins, less what reading is expected to cost
    assert received['model'] == 'remote/name'
    if kind == 'responses':
        assert received['store'] is False


@every_kind
def test_streams_are_only_asked_for_usage_where_that_is_how_one_asks(run: Run, scripted: ScriptedServer, kind: str):
    running = run(configured(scripted.address))
    scripted.script.status = 400
    send(running, kind, stream=True)
    assert ('stream_options' in scripted.script.received[0]) == (kind == 'completions')


@every_kind
def test_a_stream_dearer_than_what_is_left_ends_where_the_coins_do(run: Run, scripted: ScriptedServer, kind: str):
    """The model server writes on and on, whatever it was told."""
    running = run(configured(scripted.address, pool={'max': '0.3', 'refresh': '0', 'starting': '0.3'}))
    scripted.script.headers = {'content-type': 'text/event-stream'}
    event = {
        'completions': {'choices': [{'index': 0, 'text': 'more ' * 20}]},
        'responses': {'type': 'response.output_text.delta', 'delta': 'more ' * 20},
        'messages': {'type': 'content_block_delta', 'delta': {'type': 'text_delta', 'text': 'more ' * 20}},
    }[kind]
    scripted.script.parts = [b'data: ' + json.dumps(event).encode() + b'\n\n'] * 200
    answer = send(running, kind, stream=True, **{LIMITS[kind]: 50})
    assert 'The coin pool is empty' in answer.text
    request = ended(running)
    assert request.outcome == 'insufficient_coins'
    assert running.account().balance >= 0


def test_completions_are_read_one_by_one_and_each_gets_its_choices(run: Run, echo_address: str):
    running = run(configured(echo_address))
    answer = running.openai.completions.create(model='m', prompt=['one two', 'three'], n=2, max_tokens=1)
    assert len(answer.choices) == 4
    request = ended(running)
    assert (request.input_tokens, request.output_tokens) == (3, 4)


def test_what_completions_repeat_of_the_prompt_teaches_nothing(run: Run, scripted: ScriptedServer):
    running = run(configured(scripted.address))
    usage = {'prompt_tokens': 20, 'completion_tokens': 1, 'total_tokens': 21}
    scripted.script.parts = [json.dumps({'choices': [{'text': WORDS + ' end'}], 'usage': usage}).encode()]
    for _ in range(20):
        assert send(running, 'completions', echo=True).status_code == 200
    scripted.script.parts = [json.dumps({'choices': [{'text': 'x' * 400}]}).encode()]
    send(running, 'completions')
    assert running.requests()[-1].output_tokens == 100


def test_tools_and_pictures_are_passed_on_and_bounded(run: Run, scripted: ScriptedServer):
    running = run(configured(scripted.address))
    scripted.script.status = 400
    text, schema = {'type': 'text', 'text': 'what is it?'}, {'type': 'object', 'properties': {}}
    image = {'type': 'image', 'source': {'type': 'base64', 'media_type': 'image/png', 'data': 'iVBORw0KGgo='}}
    result = {'type': 'tool_result', 'tool_use_id': 'a', 'content': [text, image]}
    sent = {
        'messages': {
            'messages': [{'role': 'user', 'content': [text, image, result]}],
            'tools': [{'name': 'look', 'input_schema': schema}],
            'max_tokens': 9,
        },
        'responses': {
            'input': [
                {
                    'role': 'user',
                    'content': [{'type': 'input_text', 'text': 'x'}, {'type': 'input_image', 'image_url': PICTURE}],
                },
                {'type': 'function_call', 'call_id': 'a', 'name': 'look', 'arguments': '{}'},
                {'type': 'function_call_output', 'call_id': 'a', 'output': 'a cat'},
            ],
            'tools': [{'type': 'function', 'name': 'look', 'parameters': schema}],
        },
    }
    with running.openai as openai_client, claude(running) as claude_client:
        with pytest.raises(openai.BadRequestError):
            openai_client.responses.create(model='m', **sent['responses'])
        with pytest.raises(anthropic.BadRequestError):
            claude_client.messages.create(model='m', **sent['messages'])
    for kind, received in zip(('responses', 'messages'), scripted.script.received, strict=True):
        assert {name: received[name] for name in sent[kind]} == sent[kind]


def test_errors_have_anthropics_shape_where_its_calls_are(run: Run):
    running = run(configured('builtin:echo'))
    asks = {'max_tokens': 9, 'messages': [{'role': 'user', 'content': 'x'}]}
    with claude(running, 'sk_lumen_' + 'x' * 43) as client, pytest.raises(anthropic.AuthenticationError) as caught:
        client.messages.create(model='m', **asks)
    assert caught.value.body['error']['type'] == 'authentication_error'
    with claude(running) as client, pytest.raises(anthropic.NotFoundError) as missing:
        client.messages.create(model='blocked', **asks)
    assert missing.value.body['error'] == {
        'type': 'not_found_error',
        'message': 'The model "blocked" does not exist or you do not have access to it.',
        'code': 'model_not_found',
    }
    answer = httpx2.get(f'{running.address}/v1/messages')
    assert (answer.status_code, answer.json()['type']) == (405, 'error')


@pytest.mark.parametrize(
    ('given', 'passed_on'),
    [
        ({}, '2023-06-01'),
        ({'anthropic-version': '2024-10-22'}, '2024-10-22'),
        ({'anthropic-version': 'x'}, '2023-06-01'),
    ],
)
def test_the_version_of_the_api_is_passed_on_and_nothing_else(
    run: Run, scripted: ScriptedServer, given: dict[str, str], passed_on: str
):
    running = run(configured(scripted.address))
    scripted.script.status = 400
    headers = {'x-api-key': running.key, 'anthropic-beta': 'everything-at-once', 'cookie': 'a=b', **given}
    body = {'model': 'm', **KINDS['messages']}
    httpx2.post(f'{running.address}/v1/messages', headers=headers, json=body)
    received = scripted.script.received_headers[0]
    assert received['anthropic-version'] == passed_on
    assert running.key not in str(received)
    assert not {'anthropic-beta', 'cookie', 'x-api-key'} & received.keys()


def test_counting_tokens_is_free_and_needs_no_coins(run: Run, echo_address: str):
    running = run(configured(echo_address, pool={'max': '1', 'refresh': '0', 'starting': '0'}))
    with claude(running) as client:
        found = client.messages.count_tokens(
            model='m', system='Be kind.', messages=[{'role': 'user', 'content': 'Hello, you!'}]
        )
    assert found.input_tokens == 9
    request = ended(running)
    assert (request.outcome, request.cost, request.input_tokens) == ('success', 0, 0)


def test_reranking_is_charged_by_what_was_read(run: Run, echo_address: str):
    running = run(configured(echo_address, output_cost_per_million='0', max_output_tokens=None))
    body = {'model': 'm', 'query': 'a red fox', 'documents': ['the blue sea', {'text': 'a fox, red'}], 'top_n': 1}
    headers = {'authorization': f'Bearer {running.key}'}
    answer = httpx2.post(f'{running.address}/v1/rerank', headers=headers, json=body)
    assert [result['index'] for result in answer.json()['results']] == [1]
    request = ended(running)
    assert (request.outcome, request.input_tokens, request.output_tokens) == ('success', 3 + 3 + 3 + 4, 0)
    assert request.cost == 13 * MILLICOIN


@pytest.mark.parametrize(
    'usage',
    [
        {'usage': {'prompt_tokens': 7, 'total_tokens': 7}},
        {'usage': {'total_tokens': 7}},
        {'meta': {'tokens': {'input_tokens': 7}}},
    ],
)
def test_each_way_to_report_what_reranking_read_is_understood(
    run: Run, scripted: ScriptedServer, usage: dict[str, Any]
):
    running = run(configured(scripted.address))
    scripted.script.parts = [json.dumps({'results': []} | usage).encode()]
    headers = {'authorization': f'Bearer {running.key}'}
    body = {'model': 'm', 'query': 'x', 'documents': ['y']}
    assert httpx2.post(f'{running.address}/v1/rerank', headers=headers, json=body).status_code == 200
    request = ended(running)
    assert (request.outcome, request.input_tokens) == ('success', 7)


def test_what_was_read_from_a_cache_counts_as_read(run: Run, scripted: ScriptedServer):
    running = run(configured(scripted.address))
    read = {'input_tokens': 3, 'cache_creation_input_tokens': 4, 'cache_read_input_tokens': 5}
    scripted.script.headers = {'content-type': 'text/event-stream'}
    start = {'type': 'message_start', 'message': {'usage': read | {'output_tokens': 1}}}
    delta = {'type': 'message_delta', 'delta': {}, 'usage': {'input_tokens': 0, 'output_tokens': 6}}
    stop = {'type': 'message_stop'}
    scripted.script.parts = [
        b'event: %b\ndata: %b\n\n' % (event['type'].encode(), json.dumps(event).encode())
        for event in (start, delta, stop)
    ] + [b'data: [DONE]\n\n']  # as vLLM ends it
    answer = send(running, 'messages', stream=True)
    assert answer.text.endswith('data: [DONE]\n\n')
    request = ended(running)
    assert (request.outcome, request.input_tokens, request.output_tokens) == ('success', 12, 6)


def test_the_last_event_waits_for_the_settlement(run: Run, scripted: ScriptedServer):
    running = run(configured(scripted.address))
    scripted.script.headers = {'content-type': 'text/event-stream'}
    done = {'type': 'response.completed', 'response': {'usage': {'input_tokens': 1, 'output_tokens': 2}}}
    scripted.script.parts = [b'event: %b\ndata: %b\n\n' % (done['type'].encode(), json.dumps(done).encode())]
    scripted.script.waits_after = 0  # the connection stays open
    with httpx2.stream(
        'POST',
        f'{running.address}/v1/responses',
        headers={'authorization': f'Bearer {running.key}'},
        json={'model': 'm', 'input': 'x', 'stream': True},
    ) as response:
        assert 'response.completed' in next(response.iter_text())
        (request,) = running.requests()
        assert (request.outcome, request.output_tokens) == ('success', 2)
        scripted.script.proceed.set()
    running.assert_settled()


@every_kind
def test_a_key_of_the_body_that_is_unknown_reaches_the_model_server(run: Run, scripted: ScriptedServer, kind: str):
    running = run(configured(scripted.address))
    scripted.script.status = 400
    send(running, kind, top_k=7, something={'new': [1]})
    wait_until(lambda: len(scripted.script.received) == 1)
    assert scripted.script.received[0]['something'] == {'new': [1]}
    assert scripted.script.received[0]['top_k'] == 7
