"""What calls write down of the health of the model server that they went to."""

from __future__ import annotations

from collections.abc import Callable

import httpx2
import pytest

from lumen.config.settings import Settings
from lumen.gateway.health import HealthNotes
from lumen.records import health
from tests.lumen.gateway.conftest import Running, Script, ScriptedServer, configured, wait_until

Run = Callable[[Settings], Running]
BODY = {'model': 'm', 'messages': [{'role': 'user', 'content': 'hello'}]}
ANSWER = b'{"choices":[{"message":{"content":"x"}}],"usage":{"prompt_tokens":1,"completion_tokens":1}}'


def state(running: Running) -> str:
    model = running.source.current.model('m')
    assert model is not None
    return health.of_model(model, running.database.read_now(health.seen)).state


def call(running: Running) -> int:
    headers = {'authorization': f'Bearer {running.key}'}
    return httpx2.post(f'{running.address}/v1/chat/completions', json=BODY, headers=headers).status_code


def test_a_model_server_that_fails_is_down_until_it_answers_again(run: Run, scripted: ScriptedServer):
    running = run(configured(scripted.address))
    assert state(running) == 'unknown'
    scripted.script = Script(parts=[ANSWER])
    assert call(running) == 200
    wait_until(lambda: state(running) == 'ok')
    scripted.script = Script(status=500)
    assert call(running) == 502
    wait_until(lambda: state(running) == 'down')
    scripted.script = Script(status=400, parts=[b'{"error": {"message": "no"}}'])
    assert call(running) == 400  # it understood the request, so it is there
    wait_until(lambda: state(running) == 'ok')


def test_a_model_server_that_is_not_there_is_down(run: Run):
    running = run(configured('http://127.0.0.1:1/v1'))
    assert call(running) == 502
    wait_until(lambda: state(running) == 'down')


@pytest.mark.parametrize(
    ('outcome', 'status'),
    [('disconnected', 499), ('interrupted', 503), ('internal_error', 500), ('upstream_error', 429)],
)
def test_what_the_model_server_did_not_do_says_nothing(run: Run, outcome: str, status: int):
    running = run(configured('builtin:echo'))
    HealthNotes(running.database).saw('m', 'builtin:echo', outcome, status)
    running.database.write_now(lambda: None)
    assert state(running) == 'unknown'
