"""What is sent to an endpoint besides the call, and which of several endpoints is asked."""

from __future__ import annotations

from collections.abc import Callable

import httpx2
import pytest

from lumen.config.settings import Settings
from tests.lumen.gateway.conftest import Running, Script, ScriptedServer, configured

Run = Callable[[Settings], Running]
ANSWER = b'{"choices":[{"message":{"content":"x"}}],"usage":{"prompt_tokens":1,"completion_tokens":1}}'


def call(running: Running) -> httpx2.Response:
    return httpx2.post(
        f'{running.address}/v1/chat/completions',
        headers={'authorization': f'Bearer {running.key}'},
        json={'model': 'm', 'messages': [{'role': 'user', 'content': 'hello'}]},
        timeout=30,
    )


@pytest.mark.parametrize(
    ('own', 'sent'),
    [
        ({'X-Tenant': 'research'}, {'x-tenant': 'research', 'user-agent': 'lumen'}),
        ({'User-Agent': 'ours', 'Authorization': 'Basic eDp5'}, {'user-agent': 'ours', 'authorization': 'Basic eDp5'}),
    ],
)
def test_an_endpoint_is_sent_its_own_headers(
    run: Run, scripted: ScriptedServer, own: dict[str, str], sent: dict[str, str]
):
    scripted.script = Script(parts=[ANSWER])
    running = run(configured(scripted.address, endpoints=[{'url': scripted.address, 'headers': own}]))
    assert call(running).status_code == 200
    (received,) = scripted.script.received_headers
    assert received.items() >= sent.items()


def test_the_values_of_headers_are_cut_from_what_is_passed_on(run: Run, scripted: ScriptedServer):
    scripted.script = Script(status=400, parts=[b'{"error": {"message": "tenant-secret of 1 is not known"}}'])
    own = {'x-tenant': 'tenant-secret', 'x-version': '1'}
    running = run(configured(scripted.address, endpoints=[{'url': scripted.address, 'headers': own}]))
    assert call(running).json()['error']['message'] == '... of 1 is not known'
