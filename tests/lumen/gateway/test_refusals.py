"""What is refused before it reaches a model server: the table of the API, case by case."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import httpx2
import openai
import pytest

import models
from lumen.config.settings import Settings
from lumen.identity import revisions
from tests.lumen.gateway.conftest import Running, configured, wait_until

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


def test_an_acknowledgement_is_required_unless_calls_are_exempt(run: Run):
    settings = configured('builtin:echo', needs_ack='true', ack_message='Be kind.')
    running = run(settings)
    response = send(running)
    assert code(response) == (403, 'acknowledgement_required')
    assert f'/clients/{running.client_id}' in response.json()['error']['message']
    exempt = settings.model_copy(update={'api': settings.api.model_copy(update={'consent': False})})
    running.source.current = exempt
    assert send(running).status_code == 200


def test_a_pool_that_cannot_pay(run: Run):
    running = run(configured('builtin:echo', pool={'max': '100', 'refresh': '36', 'starting': '0'}))
    response = send(running)
    assert code(response) == (429, 'insufficient_coins')
    assert 100 <= int(response.headers['retry-after']) <= 110
    assert '0.00 coins are there' in response.json()['error']['message']
    with pytest.raises(openai.RateLimitError):
        running.openai.chat.completions.create(model='m', messages=MESSAGES)
    running.assert_settled()


@pytest.mark.parametrize(
    'content',
    [b'', b'{', b'[]', b'null', b'\xff', b'{"model": NaN}', b'[' * 200_000, b'{"model":"m","messages":[{"a":1e999}]}'],
)
def test_bodies_that_are_no_json_object(running: Running, content: bytes):
    assert code(send(running, content=content)) == (400, 'invalid_request')


def test_a_field_that_is_missing_or_mistyped_is_named(running: Running):
    for body, param in (
        ({'messages': MESSAGES}, 'model'),
        ({'model': 'm'}, 'messages'),
        ({'model': 'm', 'messages': MESSAGES, 'max_tokens': '5'}, 'max_tokens'),
    ):
        response = send(running, json=body)
        assert code(response) == (400, 'invalid_request')
        assert response.json()['error']['param'] == param


def test_a_body_that_is_too_large_is_refused_by_its_length_and_while_it_comes(run: Run):
    settings = configured('builtin:echo')
    small = settings.model_copy(update={'api': settings.api.model_copy(update={'max_body_mb': 1})})
    running = run(small)
    large = b'{"model": "m", "messages": [{"role": "user", "content": "' + b'x' * 1_000_000 + b'"}]}'
    assert code(send(running, content=large)) == (413, 'request_too_large')

    def pieces() -> Any:
        for start in range(0, len(large), 100_000):
            yield large[start : start + 100_000]

    assert code(send(running, content=pieces())) == (413, 'request_too_large')
    assert running.requests() == []


def test_other_addresses_and_methods(running: Running):
    assert code(send(running, '/v1/nothing')) == (404, 'unknown_url')
    assert code(send(running, '/v1/chat/completions/')) == (404, 'unknown_url')
    wrong = send(running, CHAT, method='GET')
    assert code(wrong) == (405, 'method_not_allowed')
    assert wrong.headers['allow'] == 'POST'
    assert send(running, '/v1/models', method='DELETE').headers['allow'] == 'GET'


def test_a_caller_who_leaves_before_the_body_is_complete(running: Running):
    parts = urlsplit(running.address)
    with socket.create_connection((parts.hostname, parts.port)) as connection:
        head = f'POST {CHAT} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {running.key}\r\ncontent-length: 500\r\n\r\n'
        connection.sendall(head.encode() + b'{"model"')
    assert running.openai.chat.completions.create(model='m', messages=MESSAGES).choices
    assert len(running.requests()) == 1
    running.assert_settled()
