"""Endpoints of a served installation: one that leaves the configuration during a call, and who asks how they are."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.e2e.serving import Server, wait_until
from tests.e2e.test_serving import complete
from tests.e2e.test_workers import served_by
from tests.lumen.gateway.conftest import Script, ScriptedServer, scripted_server
from tests.lumen.gateway.test_failures import STREAM
from tests.lumen.gateway.test_trying_again import PARTS, WHOLE

MILLICOIN = 1_000_000
COST = (7 + 2 * 3) * MILLICOIN
"""Of 7 tokens in and 3 out at the prices of the test's configuration."""


@pytest.fixture
def before() -> Iterator[ScriptedServer]:
    with scripted_server() as server:
        yield server


@pytest.fixture
def after() -> Iterator[ScriptedServer]:
    with scripted_server() as server:
        yield server


def charged(server: Server) -> list[tuple[Any, ...]]:
    """What the requests cost, in the order in which they ended."""
    with closing(sqlite3.connect(server.directory / 'data' / 'lumen.db')) as database:
        asked = 'select endpoint, outcome, input_tokens, output_tokens, cost from request order by id'
        return database.execute(asked).fetchall()


def replace(server: Server, *changes: tuple[str, str]) -> None:
    """Change the configuration while it is served, and wait until that is in force."""
    text = server.configuration.read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    reloads = server.log.read_text().count('configuration reloaded')
    server.configuration.write_text(text)
    wait_until(lambda: server.log.read_text().count('configuration reloaded') > reloads)


@pytest.mark.parametrize('leaves', ['endpoint', 'model'])
def test_a_stream_goes_on_though_its_endpoint_left_the_configuration(
    installation: Server, before: ScriptedServer, after: ScriptedServer, leaves: str
):
    script = before.script = Script(headers=STREAM, parts=PARTS, waits_after=0)
    after.script = Script(parts=[WHOLE])
    text = installation.configuration.read_text()
    installation.configuration.write_text(text.replace('builtin:echo', before.address))
    installation.start()
    key = installation.new_key('bot')
    with openai.OpenAI(base_url=f'{installation.address}/v1', api_key=key, max_retries=0) as client:
        hello: Any = [{'role': 'user', 'content': 'hello'}]
        stream = client.chat.completions.create(model='echo', messages=hello, stream=True)
        texts = [next(stream).choices[0].delta.content]
        prices = ('input_cost_per_million: 1000', 'input_cost_per_million: 9000')
        if leaves == 'endpoint':
            replace(installation, (before.address, after.address), prices)
            complete(installation, key)
        else:
            replace(installation, (before.address, after.address), prices, ('name: echo', 'name: another'))
            with pytest.raises(openai.NotFoundError):
                complete(installation, key)
            client.chat.completions.create(model='another', messages=hello)
        assert (len(script.received), len(after.script.received)) == (1, 1)
        script.proceed.set()
        texts += [chunk.choices[0].delta.content for chunk in stream]
    assert texts == ['fine']
    assert charged(installation) == [
        (after.address, 'success', 7, 3, COST + 7 * 8 * MILLICOIN),
        (before.address, 'success', 7, 3, COST),
    ]
    assert installation.json('check')['clean']


@pytest.mark.parametrize('database_url', ['postgresql', 'serializable'], indirect=True)
def test_of_several_processes_one_asks_how_an_endpoint_is(tmp_path: Path, database_url: str, before: ScriptedServer):
    server = served_by(tmp_path, database_url, before.address)
    text = server.configuration.read_text()
    often = f'url: "{before.address}", probe: {{interval_seconds: 2}}'
    server.configuration.write_text(text.replace(f'url: "{before.address}"', often))
    before.script = Script(parts=[WHOLE])
    key = server.new_key('bot')
    server.start('gateway', 0, '--workers', '3')
    try:
        wait_until(lambda: len(before.probed) >= 4)
        told = json.loads(server.get('/v1/models', key)[1])['data']
        assert {model['id']: model['health']['state'] for model in told} == {'echo': 'ok'}
        before.probe_status = 500
        wait_until(lambda: json.loads(server.get('/v1/models/echo', key)[1])['health']['state'] == 'down')
        assert before.script.received == []
        assert server.json('client', 'show', 'bot')['requests'] == 0
    finally:
        server.stop()
    assert 'Traceback' not in server.log.read_text()
    pauses = [later - sooner for sooner, later in zip(before.probed_at, before.probed_at[1:4], strict=False)]
    assert min(pauses[:3]) >= 2 * 0.75 - 0.3
    assert Counter(path for path, _ in before.probed).keys() == {'/v1/models'}
