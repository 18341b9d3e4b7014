"""Models that must be acknowledged: who is told where, what opens them, and what asks again."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

import httpx2
import openai
import pytest

from lumen.config.settings import Settings
from lumen.identity.permissions import COMMAND_LINE
from lumen.records import acknowledgements
from tests.lumen import factories
from tests.lumen.gateway.conftest import Running, configured, wait_until

Run = Callable[[Settings], Running]
MESSAGE = 'Data leaves the house.'


def settings(message: str = MESSAGE, *, url: str = 'https://lumen.example.org/', **more: Any) -> Settings:
    found = configured('builtin:echo', needs_ack='true', ack_message=message, **more)
    return found.model_copy(update={'app': found.app.model_copy(update={'url': url})})


def call(running: Running, path: str = '/v1/chat/completions', **headers: str) -> httpx2.Response:
    body = {'model': 'm', 'messages': [{'role': 'user', 'content': 'hello'}], 'input': 'hello'}
    return httpx2.post(
        f'{running.address}{path}', headers={'authorization': f'Bearer {running.key}'} | headers, json=body
    )


def told(response: httpx2.Response) -> str:
    """The message of a refusal for want of an acknowledgement."""
    error = response.json()['error']
    assert (response.status_code, error['code'], error['param']) == (403, 'acknowledgement_required', 'model')
    return str(error['message'])


def acknowledge(running: Running) -> None:
    digest = acknowledgements.digest_of(acknowledgements.message_to_accept(running.source.current, 'm'))
    running.database.write_now(
        acknowledgements.acknowledge, COMMAND_LINE, running.client_id, 'm', digest, settings=running.source.current
    )


@pytest.mark.parametrize('path', ['/v1/chat/completions', '/v1/embeddings'])
def test_a_call_is_refused_with_the_page_and_passes_within_a_second_of_the_acknowledgement(run: Run, path: str):
    running = run(settings())
    assert told(call(running, path)).endswith(f' https://lumen.example.org/clients/{running.client_id}')
    assert running.requests() == []
    took = []
    for message in (MESSAGE, 'Be kind.', 'Be brief.'):
        running.source.current = settings(message)
        told(call(running, path))
        acknowledge(running)
        accepted_at = time.monotonic()
        wait_until(lambda: call(running, path).status_code == 200)
        took.append(time.monotonic() - accepted_at)
    assert min(took) < 1
    running.assert_settled()


def test_what_one_client_acknowledged_opens_nothing_for_another(run: Run):
    running = run(settings())
    own_id, own_key = running.client_id, running.key
    running.client_id = running.database.write_now(factories.client, 'other', running.source.current)
    running.key = running.new_key().key
    acknowledge(running)
    wait_until(lambda: call(running).status_code == 200)
    running.client_id, running.key = own_id, own_key
    assert told(call(running)).endswith(f'/clients/{own_id}')
    acknowledge(running)
    wait_until(lambda: call(running).status_code == 200)


def test_the_sdk_says_what_to_do(run: Run):
    running = run(settings())
    with pytest.raises(openai.PermissionDeniedError, match='must be acknowledged') as refused:
        running.openai.embeddings.create(model='m', input='hello')
    assert refused.value.code == 'acknowledgement_required'
    assert f'https://lumen.example.org/clients/{running.client_id}' in str(refused.value)


def test_a_changed_message_asks_again_at_once(run: Run):
    running = run(settings())
    acknowledge(running)
    wait_until(lambda: call(running).status_code == 200)
    running.source.current = settings('Data leaves the country.')
    told(call(running))
    running.source.current = settings()
    assert call(running).status_code == 200


def test_a_model_that_is_blocked_asks_for_nothing(run: Run):
    running = run(settings(access='blocked'))
    response = call(running)
    assert (response.status_code, response.json()['error']['code']) == (404, 'model_not_found')
    assert 'acknowledged' not in response.text


def test_calls_can_be_exempt(run: Run):
    running = run(settings())
    exempt = running.source.current.api.model_copy(update={'consent': False})
    running.source.current = running.source.current.model_copy(update={'api': exempt})
    assert call(running).status_code == 200


def test_where_no_address_is_configured_the_page_is_where_the_call_came_to(run: Run):
    running = run(settings(url=''))
    assert told(call(running)).endswith(f' {running.address}/clients/{running.client_id}')
    assert f' http://lumen.internal:81/clients/{running.client_id}' in told(call(running, host='lumen.internal:81'))
    assert f' http://[::1]:81/clients/{running.client_id}' in told(call(running, host='[::1]:81'))


def test_neither_a_forwarded_header_nor_a_strange_host_is_believed(run: Run):
    running = run(settings(url=''))
    forwarded = {
        'x-forwarded-host': 'evil.example.org',
        'x-forwarded-proto': 'https',
        'forwarded': 'host=evil.example.org;proto=https',
    }
    assert told(call(running, **forwarded)).endswith(f' {running.address}/clients/{running.client_id}')
    for host in ('a b', 'evil.example.org/x', 'user@evil', 'evil<script>', ''):
        message = told(call(running, host=host))
        assert message.endswith(f' /clients/{running.client_id}')
        assert not re.search('evil|a b', message)
