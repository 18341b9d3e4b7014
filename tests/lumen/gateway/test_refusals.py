"""What is refused before it reaches a model server: the table of the API, case by case."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx2
import openai
import pytest
from starlette.types import Message

import models
from lumen.config.settings import Settings
from lumen.gateway import body as request_body
from lumen.gateway.body import MAX_DEPTH
from lumen.gateway.errors import TooSlow
from lumen.identity import revisions
from tests.lumen.gateway.conftest import Running, ScriptedServer, configured, wait_until

Run = Callable[[Settings], Running]
MESSAGES: list[Any] = [{'role': 'user', 'content': 'hello'}]
CHAT = '/v1/chat/completions'


def send(running: Running, path: str = CHAT, *, method: str = 'POST', key: str | None = None, **more: Any) -> Any:
    headers = {'authorization': f'Bearer {running.key if key is None else key}'}
    if method == 'POST' and 'content' not in more:
        more.setdefault('json', {'model': 'm', 'messages': MESSAGES})
    return httpx2.request(method, f'{running.address}{path}', headers=headers, **more)


def code(response: Any) -> tuple[int, str]:
    error = response.json()['error']
    assert set(error) == {'message', 'type', 'param', 'code'}
    assert error['message']
    assert response.headers['x-request-id'].startswith('req_')
    return response.status_code, error['code']


def connection_to(running: Running) -> socket.socket:
    parts = urlsplit(running.address)
    return socket.create_connection((parts.hostname, parts.port), timeout=20)


@pytest.fixture
def running(run: Run) -> Running:
    return run(configured('builtin:echo'))


def test_no_key_a_malformed_one_and_an_unknown_one(running: Running):
    other = 'sk_lumen_' + '0' * 38
    assert code(httpx2.post(f'{running.address}{CHAT}', json={})) == (401, 'invalid_api_key')
    assert code(httpx2.get(f'{running.address}/v1/models')) == (401, 'invalid_api_key')
    for key in ('x', 'sk-openai', other, running.key[:-1] + ('0' if running.key[-1] != '0' else '1')):
        assert code(send(running, key=key)) == (401, 'invalid_api_key')
    unknown = httpx2.post(f'{running.address}{CHAT}', headers={'authorization': 'Basic YTpi'}, json={})
    assert code(unknown) == (401, 'invalid_api_key')
    assert running.requests() == []


@pytest.mark.parametrize('path', ['/v1/models', CHAT])
def test_of_several_keys_none_is_taken(running: Running, path: str):
    good, other = running.key, running.new_key().key

    def ask(*headers: tuple[str, str]) -> Any:
        content = None if path == '/v1/models' else b'{"model": "m", "messages": [{"role": "user", "content": "x"}]}'
        return httpx2.request(
            'POST' if content else 'GET', running.address + path, headers=list(headers), content=content
        )

    bearer, key = ('authorization', f'Bearer {good}'), ('x-api-key', good)
    for alone in ([bearer], [key], [bearer, key], [('authorization', 'Basic YTpi'), key]):
        assert ask(*alone).status_code == 200
    for several, word in (
        ([bearer, ('authorization', f'Bearer {other}')], 'Authorization was sent more than once'),
        ([('authorization', 'Bearer x'), bearer], 'Authorization was sent more than once'),
        ([bearer, bearer, bearer], 'Authorization was sent more than once'),
        ([('authorization', 'Basic YTpi'), bearer], 'Authorization was sent more than once'),
        ([key, ('x-api-key', other)], 'x-api-key was sent more than once'),
        ([bearer, ('x-api-key', other)], 'different keys'),
        ([('authorization', 'Bearer x'), key], 'different keys'),
        ([bearer, ('x-api-key', '')], 'different keys'),
    ):
        response = ask(*several)
        assert code(response) == (401, 'invalid_api_key')
        assert word in response.json()['error']['message']


def test_a_key_that_expires_stops_working(running: Running):
    running.openai.models.list()
    running.database.write_now(lambda: (models.ApiKey.update(expires_at=1).execute(), revisions.bump('keys')))
    wait_until(lambda: send(running, '/v1/models', method='GET').status_code == 401)
    assert code(send(running)) == (401, 'invalid_api_key')


def test_a_deactivated_account(running: Running):
    running.openai.models.list()
    running.database.write_now(lambda: (models.Account.update(active=False).execute(), revisions.bump('accounts')))
    assert code(send(running)) == (403, 'account_deactivated')
    wait_until(lambda: send(running, '/v1/models', method='GET').status_code == 403)
    assert running.requests() == []


def test_no_budget(run: Run):
    running = run(configured('builtin:echo', pool={'max': '0'}))
    assert code(send(running)) == (403, 'no_budget')


@pytest.mark.parametrize('name', ['blocked', 'disabled', 'unknown', 'x' * 5000])
def test_models_that_are_not_there_for_this_account(running: Running, name: str):
    response = send(running, json={'model': name, 'messages': MESSAGES})
    assert code(response) == (404, 'model_not_found')
    assert response.json()['error']['param'] == 'model'


def test_a_pool_that_cannot_pay(run: Run):
    running = run(configured('builtin:echo', pool={'max': '100', 'refresh': '36', 'starting': '0'}))
    response = send(running)
    assert code(response) == (429, 'insufficient_coins')
    assert 100 <= int(response.headers['retry-after']) <= 110
    assert re.search(r' 0\.0\d+ coins are there', response.json()['error']['message'])
    with pytest.raises(openai.RateLimitError):
        running.openai.chat.completions.create(model='m', messages=MESSAGES)
    running.assert_settled()


@pytest.mark.parametrize(
    'content',
    [b'', b'{', b'[]', b'null', b'\xff', b'{"model": NaN}', b'[' * 200_000, b'{"model":"m","messages":[{"a":1e999}]}'],
)
def test_bodies_that_are_no_json_object(running: Running, content: bytes):
    assert code(send(running, content=content)) == (400, 'invalid_request')


@pytest.mark.parametrize(
    ('changes', 'param'),
    [
        ({'model': None}, 'model'),
        ({'model': ['m']}, 'model'),
        ({'messages': None}, 'messages'),
        ({'messages': {'role': 'user'}}, 'messages'),
        ({'messages': [*MESSAGES, 'hello']}, 'messages[1]'),
        ({'max_tokens': '5'}, 'max_tokens'),
        ({'max_tokens': 0}, 'max_tokens'),
        ({'max_completion_tokens': 1.5}, 'max_completion_tokens'),
        ({'n': [1]}, 'n'),
        ({'n': 0}, 'n'),
        ({'stream': 'yes'}, 'stream'),
        ({'stream': True, 'stream_options': 'usage'}, 'stream_options'),
        ({'stream': True, 'stream_options': [1]}, 'stream_options'),
        ({'stream': True, 'stream_options': {'include_usage': 'yes'}}, 'stream_options.include_usage'),
        ({'tools': {'name': 'f'}}, 'tools'),
        ({'functions': 'f'}, 'functions'),
        ({'background': True}, 'background'),
        ({'previous_response_id': 'r'}, 'previous_response_id'),
    ],
)
def test_a_field_that_is_missing_or_mistyped_is_named(running: Running, changes: dict[str, Any], param: str):
    response = send(running, json={'model': 'm', 'messages': MESSAGES} | changes)
    assert code(response) == (400, 'invalid_request')
    assert response.json()['error']['param'] == param
    assert running.requests() == []


def nested(depth: int, kind: str = 'object') -> bytes:
    """A chat whose tools make the whole body `depth` deep."""
    opening, closing = (b'{"a":', b'}') if kind == 'object' else (b'[', b']')
    inner = depth - 2  # the body and the list of tools
    return (
        b'{"model": "m", "messages": [{"role": "user", "content": "hello"}], "tools": ['
        + opening * inner
        + (b'1' if kind == 'object' else b'')
        + closing * inner
        + b']}'
    )


@pytest.mark.parametrize('kind', ['object', 'list'])
def test_a_body_may_be_nested_as_deep_as_is_said_and_no_deeper(running: Running, kind: str):
    assert send(running, content=nested(MAX_DEPTH, kind)).status_code == 200
    for depth in (MAX_DEPTH + 1, 900):
        response = send(running, content=nested(depth, kind))
        assert code(response) == (400, 'invalid_request')
        assert response.json()['error']['param'] == 'tools'
    for depth in (1000, 100_000):
        response = send(running, content=nested(depth, kind))
        assert code(response) == (400, 'invalid_request')
        assert 'nested more than 200 deep' in response.json()['error']['message']
    running.assert_settled()


def test_brackets_within_a_text_nest_nothing(running: Running):
    many: list[Any] = [{'role': 'user', 'content': '[{' * 1000}] * 300
    assert send(running, json={'model': 'm', 'messages': many}).status_code == 200


def test_of_a_name_that_stands_twice_the_last_counts_for_everybody(run: Run, scripted: ScriptedServer):
    scripted.script.parts = [b'{"usage": {"prompt_tokens": 1, "completion_tokens": 1}}']
    running = run(configured(scripted.address))
    twice = b'{"model": "m", "max_tokens": 400, "messages": [{"a": 1}], "max_tokens": 5, "messages": [{"b": 2}]}'
    assert send(running, content=twice).status_code == 200
    assert scripted.script.received == [{'model': 'remote/name', 'max_tokens': 5, 'messages': [{'b': 2}]}]


def test_half_a_surrogate_pair_does_no_harm(running: Running):
    content = b'{"model": "m", "messages": [{"role": "user", "content": "\\ud83d"}]}'
    assert send(running, content=content).json()['choices'][0]['message']['content'] == '\ud83d'
    unknown = send(running, content=b'{"model": "\\ud83d", "messages": [{}]}')
    assert code(unknown) == (404, 'model_not_found')
    running.assert_settled()


@pytest.fixture
def small(run: Run) -> Running:
    """A gateway that takes bodies of 1 MB, which is 1,000,000 bytes."""
    settings = configured('builtin:echo')
    return run(settings.model_copy(update={'api': settings.api.model_copy(update={'max_body_mb': 1})}))


def body_of(size: int) -> bytes:
    start, end = b'{"model": "m", "messages": [{"role": "user", "content": "', b'"}]}'
    return start + b'x' * (size - len(start) - len(end)) + end


def in_pieces(content: bytes) -> Iterator[bytes]:
    for start in range(0, len(content), 100_000):
        yield content[start : start + 100_000]


@pytest.mark.parametrize('cut', [bytes, in_pieces])
def test_a_body_of_exactly_the_limit_is_taken_and_one_byte_more_is_not(small: Running, cut: Callable[[bytes], Any]):
    assert send(small, content=cut(body_of(1_000_000))).status_code == 200
    refused = send(small, content=cut(body_of(1_000_001)))
    assert code(refused) == (413, 'request_too_large')
    assert '1 MB (1,000,000 bytes)' in refused.json()['error']['message']
    assert send(small).status_code == 200
    assert len(small.requests()) == 2
    small.assert_settled()


def test_a_giant_body_is_refused_before_it_is_sent(small: Running):
    head = f'POST {CHAT} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {small.key}\r\nexpect: 100-continue\r\n'
    with connection_to(small) as connection:
        connection.sendall(f'{head}content-length: 10000000000\r\n\r\n'.encode())
        assert connection.recv(100).startswith(b'HTTP/1.1 413 ')


def test_a_body_that_stops_coming_holds_nothing_and_is_given_up(small: Running):
    async def silent() -> Message:
        return await asyncio.get_running_loop().create_future()

    with pytest.raises(TooSlow) as given_up:
        asyncio.run(request_body.read(silent, 100, idle_seconds=0.01))
    assert (given_up.value.status, given_up.value.code) == (408, 'request_timeout')

    head = f'POST {CHAT} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {small.key}\r\ncontent-length: 500\r\n\r\n'
    with connection_to(small) as connection:
        connection.sendall(head.encode() + b'{"model"')
        assert send(small).status_code == 200
        small.assert_settled()


def test_other_addresses_and_methods(running: Running):
    assert code(send(running, '/v1/nothing')) == (404, 'unknown_url')
    assert code(send(running, '/v1/chat/completions/')) == (404, 'unknown_url')
    wrong = send(running, CHAT, method='GET')
    assert code(wrong) == (405, 'method_not_allowed')
    assert wrong.headers['allow'] == 'POST'
    assert send(running, '/v1/models', method='DELETE').headers['allow'] == 'GET'


def test_a_caller_who_leaves_before_the_body_is_complete(running: Running):
    with connection_to(running) as connection:
        head = f'POST {CHAT} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {running.key}\r\ncontent-length: 500\r\n\r\n'
        connection.sendall(head.encode() + b'{"model"')
    assert running.openai.chat.completions.create(model='m', messages=MESSAGES).choices
    assert len(running.requests()) == 1
    running.assert_settled()
