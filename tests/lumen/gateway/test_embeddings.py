"""Embeddings: the real SDK, held for and charged by what is read, and nothing else."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import openai
import pytest

from lumen.config.settings import Model, Settings
from lumen.errors import Invalid
from lumen.gateway import bounds, checks
from lumen.gateway.bounds import TOKENS_PER_MESSAGE
from lumen.gateway.echo_tokens import tokens
from lumen.gateway.expectation import Expectation
from tests.lumen.gateway.conftest import Running, ScriptedServer, configured, wait_until

Run = Callable[[Settings], Running]
MILLICOIN = 1_000_000
TEXTS = ['Hello, you there!', 'Grüße 👋 an alle']


def embedding_model(address: str, **more: Any) -> Settings:
    """Priced for its input only, so it states no `max_output_tokens`."""
    return configured(address, **{'output_cost_per_million': '0', 'max_output_tokens': None} | more)


def call(running: Running, body: dict[str, Any]) -> httpx2.Response:
    return httpx2.post(
        f'{running.address}/v1/embeddings', headers={'authorization': f'Bearer {running.key}'}, json=body, timeout=30
    )


def error(response: httpx2.Response) -> tuple[int, str, str | None]:
    found = response.json()['error']
    return response.status_code, found['code'], found['param']


def test_the_sdk_gets_vectors_and_the_account_pays_for_what_was_read(run: Run, echo_address: str):
    running = run(embedding_model(echo_address))
    answer = running.openai.embeddings.create(model='m', input=TEXTS)
    assert [item.index for item in answer.data] == [0, 1]
    assert all(math.isclose(math.hypot(*item.embedding), 1, rel_tol=1e-5) for item in answer.data)
    assert answer.data[0].embedding != answer.data[1].embedding
    read = sum(len(tokens(text)) for text in TEXTS)
    assert answer.usage.prompt_tokens == answer.usage.total_tokens == read
    (request,) = running.requests()
    assert (request.outcome, request.status, request.estimated, request.streamed) == ('success', 200, False, False)
    assert (request.input_tokens, request.output_tokens, request.cost) == (read, 0, read * MILLICOIN)
    assert running.account().balance == 10_000_000_000 - read * MILLICOIN
    running.assert_settled()


def test_numbers_and_base64_are_the_same_vector(run: Run):
    running = run(embedding_model('builtin:echo'))
    create = running.openai.embeddings.create
    encoded = create(model='m', input='one', dimensions=7).data[0].embedding
    numbers = create(model='m', input='one', dimensions=7, encoding_format='float').data[0].embedding
    assert len(encoded) == 7
    assert encoded == numbers
    raw = call(running, {'model': 'm', 'input': 'one', 'encoding_format': 'base64'}).json()
    assert isinstance(raw['data'][0]['embedding'], str)


@pytest.mark.parametrize(
    ('given', 'vectors', 'read'),
    [('one two', 1, 2), (['one', 'two three'], 2, 3), ([5, 6, 7], 1, 3), ([[5, 6], [7]], 2, 3)],
)
def test_texts_and_token_ids_are_embedded(run: Run, given: Any, vectors: int, read: int):
    running = run(embedding_model('builtin:echo'))
    answer = running.openai.embeddings.create(model='m', input=given)
    assert len(answer.data) == vectors
    assert answer.usage.prompt_tokens == read
    running.assert_settled()


def test_everything_passes_as_it_is_but_the_model(run: Run, scripted: ScriptedServer):
    answer = {'data': [{'embedding': [0.25, -1.0]}], 'usage': {'prompt_tokens': 3, 'total_tokens': 3}, 'kept': [None]}
    scripted.script.parts = [json.dumps(answer).encode()]
    running = run(embedding_model(scripted.address))
    sent = {
        'model': 'm',
        'input': TEXTS,
        'dimensions': 2,
        'encoding_format': 'float',
        'user': 'someone',
        'stream': True,
        'max_tokens': 5,
        'of_your_own': {'deep': [1.5, None]},
    }
    response = call(running, sent)
    assert response.json() == answer
    assert scripted.script.received == [sent | {'model': 'remote/name'}]
    assert scripted.script.received_paths == ['/v1/embeddings']
    (request,) = running.requests()
    assert response.headers['x-request-id'] == request.request_id
    assert (request.input_tokens, request.streamed) == (3, False)


@pytest.mark.parametrize(
    'usage', [None, {}, {'prompt_tokens': -1}, {'prompt_tokens': '3'}, {'prompt_tokens': 10**8}, {'total_tokens': 3}]
)
def test_usage_that_is_not_reported_is_estimated_and_says_so(run: Run, scripted: ScriptedServer, usage: Any):
    scripted.script.parts = [json.dumps({'data': [], 'usage': usage}).encode()]
    running = run(embedding_model(scripted.address))
    assert call(running, {'model': 'm', 'input': 'x' * 400}).status_code == 200
    (request,) = running.requests()
    assert (request.outcome, request.estimated) == ('usage_missing', True)
    assert (request.input_tokens, request.output_tokens) == (100, 0)
    running.assert_settled()


@pytest.mark.parametrize('more', [{}, {'output_cost_per_million': '2000', 'max_output_tokens': '512'}])
def test_only_the_input_is_held_for(run: Run, scripted: ScriptedServer, more: dict[str, str]):
    scripted.script.parts = [b'{"data": [], "usage": {"prompt_tokens": 9}}']
    scripted.script.waits_after = -1
    running = run(embedding_model(scripted.address, **more))
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(call, running, {'model': 'm', 'input': 'hello'})
        wait_until(lambda: len(scripted.script.received) == 1)
        assert running.account().held == (len('hello') + TOKENS_PER_MESSAGE) * MILLICOIN
        scripted.script.proceed.set()
        assert waiting.result().status_code == 200
    assert running.account().spent == 9 * MILLICOIN
    running.assert_settled()


def test_near_empty_what_such_a_call_usually_costs_is_enough(run: Run, scripted: ScriptedServer):
    scripted.script.parts = [b'{"data": [], "usage": {"prompt_tokens": 50}}']
    running = run(configured(scripted.address, pool={'max': '1', 'refresh': '0', 'starting': '0.05'}))
    assert call(running, {'model': 'm', 'input': 'x' * 200}).status_code == 200
    assert running.account().balance == 0
    response = call(running, {'model': 'm', 'input': 'x' * 200})
    assert error(response) == (429, 'insufficient_coins', None)
    assert len(scripted.script.received) == 1
    running.assert_settled()


@pytest.mark.parametrize('status', [400, 404])
def test_a_model_that_cannot_embed_says_so_in_its_own_words(run: Run, scripted: ScriptedServer, status: int):
    scripted.script.status = status
    scripted.script.parts = [b'{"error": {"message": "this model does not support embeddings"}}']
    running = run(embedding_model(scripted.address))
    response = call(running, {'model': 'm', 'input': 'one'})
    assert (response.status_code, response.content) == (status, scripted.script.parts[0])
    assert running.requests()[0].cost == 0
    running.assert_settled()


def test_failures_are_those_of_a_chat(run: Run):
    running = run(embedding_model('builtin:echo'))
    assert error(call(running, {'model': 'blocked', 'input': 'x'})) == (404, 'model_not_found', 'model')
    failed = call(running, {'model': 'm', 'input': 'x', 'echo': {'status': 503}})
    assert error(failed) == (502, 'upstream_error', None)
    with pytest.raises(openai.BadRequestError, match='input'):
        running.openai.embeddings.create(model='m', input=[])
    running.assert_settled()


def test_a_stream_is_not_an_answer(run: Run, scripted: ScriptedServer):
    scripted.script.headers = {'content-type': 'text/event-stream'}
    scripted.script.parts = [b'data: {"data": []}\n\ndata: [DONE]\n\n']
    running = run(embedding_model(scripted.address))
    assert error(call(running, {'model': 'm', 'input': 'x', 'stream': True})) == (502, 'upstream_error', None)
    assert running.requests()[0].cost == 0
    running.assert_settled()


@pytest.mark.parametrize(
    ('body', 'param'),
    [
        ({'input': 'x'}, 'model'),
        ({'model': 'm'}, 'input'),
        ({'model': 'm', 'input': None}, 'input'),
        ({'model': 'm', 'input': []}, 'input'),
        ({'model': 'm', 'input': 7}, 'input'),
        ({'model': 'm', 'input': {'text': 'x'}}, 'input'),
        ({'model': 'm', 'input': ['x', 7]}, 'input[1]'),
        ({'model': 'm', 'input': [7, 'x']}, 'input[1]'),
        ({'model': 'm', 'input': [True]}, 'input[0]'),
        ({'model': 'm', 'input': [-1]}, 'input[0]'),
        ({'model': 'm', 'input': [[1], [1.5]]}, 'input[1]'),
        ({'model': 'm', 'input': [{'text': 'x'}]}, 'input[0]'),
        ({'model': 'm', 'input': ['x'] * 10_001}, 'input'),
        ({'model': 'm', 'input': 'x', 'dimensions': 0}, 'dimensions'),
        ({'model': 'm', 'input': 'x', 'dimensions': '8'}, 'dimensions'),
        ({'model': 'm', 'input': 'x', 'background': True}, 'background'),
    ],
)
def test_what_cannot_be_embedded_names_its_field(body: dict[str, Any], param: str):
    with pytest.raises(Invalid) as refused:
        checks.embeddings(body)
    assert refused.value.param == param


def bound_of(given: Any, window: str = '100', **more: Any) -> bounds.Bound:
    free = {'input_cost_per_million': '0', 'output_cost_per_million': '0', 'endpoints': [{'url': 'builtin:echo'}]}
    model = Model.model_validate({'name': 'm', 'context_window': window} | free)
    return bounds.of_embeddings({'model': 'm', 'input': given, **more}, model)


def test_each_input_is_bounded_by_the_context_window_for_itself():
    assert bound_of('x' * 5000).input == 100
    assert bound_of(['x' * 5000] * 3).input == 300
    assert bound_of([[1] * 500, [1]]).input == 100 + 1 + TOKENS_PER_MESSAGE
    assert (bound_of('x').output, bound_of('x').choices) == (0, 1)


def test_an_instruction_counts_for_every_input():
    plain, told = bound_of(['a', 'b'], '9999'), bound_of(['a', 'b'], '9999', instruction='Represent this:')
    assert told.input - plain.input == 2 * len('instructionRepresent this:')
    assert bound_of('a', dimensions=8, encoding_format='float', user='someone') == bound_of('a')


def test_token_ids_are_expected_as_they_are_counted():
    expectation = Expectation()
    bound = bound_of([7] * 80)
    expectation.learn('m', bound, input_tokens=80, output_tokens=0, output_bytes=0)
    assert expectation.input_tokens('m', bound) == 80
    assert expectation.input_tokens('m', bound_of('x' * 80)) == 20
    chat = bounds.Bound(input=500, output=300, choices=1, text_bytes=1000, images=0)
    assert expectation.output_tokens('m', chat) == 256
