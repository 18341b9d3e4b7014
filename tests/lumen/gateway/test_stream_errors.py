"""A model server that tells of an error within its stream: what the caller sees of it, and pays."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import anthropic
import httpx2
import openai
import pytest

from lumen.config.settings import Settings
from tests.lumen.gateway.conftest import Running, ScriptedServer, configured
from tests.lumen.gateway.test_failures import MESSAGES, STREAM
from tests.lumen.gateway.test_kinds import claude
from tests.lumen.gateway.test_outcomes import assert_nothing_charged, ended

Run = Callable[[Settings], Running]
SECRET = 'upstream-secret of the machine gpu7'
MILLICOIN = 1_000_000

pytestmark = pytest.mark.parametrize('database_url', ['sqlite'], indirect=True)


def event(content: dict[str, Any], name: str = '') -> bytes:
    return (f'event: {name}\n' if name else '').encode() + b'data: ' + json.dumps(content).encode() + b'\n\n'


@dataclass(frozen=True)
class Kind:
    """How one kind of call is asked for, and its stream: `text` reports 7 tokens in and 3 out, as far as it can."""

    path: str
    body: dict[str, Any]
    text: bytes
    last: bytes
    input_tokens: int = 7


USAGE = {'prompt_tokens': 7, 'completion_tokens': 3, 'total_tokens': 10}
CHAT = Kind(
    'chat/completions',
    {'messages': MESSAGES},
    event({'choices': [{'delta': {'content': 'one two three'}}], 'usage': USAGE}),
    b'data: [DONE]\n\n',
)
COMPLETIONS = Kind(
    'completions',
    {'prompt': 'one'},
    event({'choices': [{'text': 'one two three'}], 'usage': USAGE}),
    b'data: [DONE]\n\n',
)
RESPONSES = Kind(
    'responses',
    {'input': 'one'},
    event({'type': 'response.output_text.delta', 'delta': 'one two three'}, 'response.output_text.delta'),
    event({'type': 'response.completed', 'response': {}}, 'response.completed'),
)
ANTHROPIC = Kind(
    'messages',
    {'messages': MESSAGES, 'max_tokens': 100},
    event({'type': 'message_start', 'message': {'usage': {'input_tokens': 7, 'output_tokens': 0}}}, 'message_start')
    + event(
        {'type': 'content_block_delta', 'index': 0, 'delta': {'type': 'text_delta', 'text': 'one two three'}},
        'content_block_delta',
    ),
    event({'type': 'message_stop'}, 'message_stop'),
)
OF_OPENAI = {'error': {'message': SECRET, 'type': 'server_error', 'param': None, 'code': 500}}
OF_ANTHROPIC = {'type': 'error', 'error': {'type': 'overloaded_error', 'message': SECRET}}
OF_RESPONSES = {'type': 'error', 'code': 'server_error', 'message': SECRET, 'sequence_number': 1}
TOLD = [
    (CHAT, event(OF_OPENAI)),
    (CHAT, event(OF_OPENAI, 'error')),
    (CHAT, event({'message': SECRET}, 'error')),
    (CHAT, b'event: error\ndata: ' + SECRET.encode() + b'\n\n'),
    (CHAT, event({'object': 'error', 'message': SECRET, 'code': 500})),
    (COMPLETIONS, event(OF_OPENAI)),
    (RESPONSES, event(OF_RESPONSES, 'error')),
    (RESPONSES, event({'type': 'response.failed', 'response': {'error': {'message': SECRET}}}, 'response.failed')),
    (RESPONSES, event(OF_OPENAI)),
    (ANTHROPIC, event(OF_ANTHROPIC, 'error')),
    (ANTHROPIC, event(OF_ANTHROPIC)),
    (ANTHROPIC, event(OF_OPENAI)),
]
every_way = pytest.mark.parametrize(('kind', 'error'), TOLD)


def send(running: Running, kind: Kind) -> httpx2.Response:
    return httpx2.post(
        f'{running.address}/v1/{kind.path}',
        headers={'authorization': f'Bearer {running.key}'},
        json={'model': 'm', 'stream': True, 'stream_options': {'include_usage': True}} | kind.body,
        timeout=30,
    )


def assert_in_the_shape_of(kind: Kind, told: bytes) -> None:
    """`told` is one event, or a whole answer, that tells of our error as this kind of call does."""
    name, _, data = told.rpartition(b'data: ')
    found = json.loads(data)
    if kind is ANTHROPIC:
        assert name in (b'event: error\n', b'')
        assert (found['type'], found['error']['type'], found['error']['code']) == (
            'error',
            'api_error',
            'upstream_error',
        )
    elif kind is RESPONSES and name:
        assert name == b'event: error\n'
        assert (found['type'], found['code']) == ('error', 'upstream_error')
    else:
        assert name == b''
        assert (found['error']['type'], found['error']['code']) == ('api_error', 'upstream_error')


@every_way
def test_an_error_in_mid_stream(run: Run, scripted: ScriptedServer, kind: Kind, error: bytes):
    scripted.script.headers = STREAM
    scripted.script.parts = [kind.text, error, kind.text, kind.last]
    running = run(configured(scripted.address))
    response = send(running, kind)
    assert response.status_code == 200
    assert response.content.startswith(kind.text)
    told = response.content.removeprefix(kind.text)
    assert told.endswith(b'\n\n')
    assert told.count(b'\n\n') == 1
    assert_in_the_shape_of(kind, told)
    assert SECRET not in response.text
    request = ended(running)
    assert (request.outcome, request.status) == ('upstream_error_midstream', 502)
    if kind in (CHAT, COMPLETIONS):  # all was reported
        assert (request.input_tokens, request.output_tokens, request.estimated) == (7, 3, False)
        assert request.cost == 7 * MILLICOIN + 3 * 2 * MILLICOIN
    else:
        assert request.estimated
        assert request.output_tokens == 4  # of 13 bytes
        assert request.cost == (request.input_tokens + 2 * request.output_tokens) * MILLICOIN
    if kind is ANTHROPIC:
        assert request.input_tokens == 7


@every_way
def test_an_error_as_the_first_event_is_the_whole_answer_and_costs_nothing(
    run: Run, scripted: ScriptedServer, kind: Kind, error: bytes
):
    scripted.script.headers = STREAM
    scripted.script.parts = [error, kind.text, kind.last]
    running = run(configured(scripted.address))
    response = send(running, kind)
    assert (response.status_code, response.headers['content-type']) == (502, 'application/json')
    assert_in_the_shape_of(kind, response.content)
    assert SECRET not in response.text
    request = ended(running)
    assert (request.outcome, request.status) == ('upstream_error', 502)
    assert_nothing_charged(request)


@every_way
def test_what_comes_behind_the_end_is_no_error(run: Run, scripted: ScriptedServer, kind: Kind, error: bytes):
    scripted.script.headers = STREAM
    scripted.script.parts = [kind.text, kind.last, error]
    running = run(configured(scripted.address))
    assert send(running, kind).content.startswith(kind.text + kind.last)
    assert ended(running).outcome in ('success', 'usage_missing')


def test_the_sdks_raise_it(run: Run, scripted: ScriptedServer):
    scripted.script.headers = STREAM
    scripted.script.parts = [CHAT.text, event(OF_OPENAI), CHAT.last]
    running = run(configured(scripted.address))
    with pytest.raises(openai.APIError, match='reported an error in its stream'):
        list(running.openai.chat.completions.create(model='m', messages=MESSAGES, stream=True))
    scripted.script.parts = [ANTHROPIC.text, event(OF_ANTHROPIC, 'error'), ANTHROPIC.last]
    with (
        claude(running) as client,
        pytest.raises(anthropic.APIStatusError, match='reported an error in its stream'),
    ):
        list(
            client.messages.create(model='m', max_tokens=100, messages=[{'role': 'user', 'content': 'x'}], stream=True)
        )
