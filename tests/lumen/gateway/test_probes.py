"""Endpoints are asked whether they work: what that tells, and that it is no call."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import models
from lumen.config.endpoint import Probe
from lumen.config.settings import Settings
from lumen.gateway import breaker
from lumen.gateway.breaker import FAILURES, UNREACHED
from lumen.gateway.probes import Plan, Probes
from lumen.records import health
from tests.e2e.launching import APP, Launched
from tests.lumen.gateway.conftest import Running, Script, ScriptedServer, configured, wait_until
from tests.lumen.gateway.test_failures import call
from tests.lumen.gateway.test_health import state
from tests.lumen.gateway.test_shared_breakers import is_rested, rests, standing
from tests.lumen.gateway.test_trying_again import NOWHERE, good

Run = Callable[[Settings], Running]
OFTEN = {'interval_seconds': '0.2'}
SELDOM = {'interval_seconds': '3600'}


def probed(address: str, probe: dict[str, str], **endpoint: Any) -> Settings:
    stated = {'url': address, 'api_key': 'upstream-secret', 'probe': probe}
    return configured(address, endpoints=[stated | endpoint])


def probe(*gateways: Running) -> None:
    """Let every endpoint of these gateways be due now, and wait for what comes of it."""

    async def begin(probes: Probes) -> list[asyncio.Task[None]]:
        probes.begin(time.monotonic())
        for plan in probes._plans.values():
            plan.due = 0.0
        probes.begin(time.monotonic())
        return [plan.task for plan in probes._plans.values() if plan.task is not None]

    async def end(tasks: list[asyncio.Task[None]]) -> None:
        await asyncio.gather(*tasks)

    begun = [
        (gateway, asyncio.run_coroutine_threadsafe(begin(gateway.gateway._probes), gateway.loop).result())
        for gateway in gateways
    ]
    for gateway, tasks in begun:
        asyncio.run_coroutine_threadsafe(end(tasks), gateway.loop).result()
        gateway.database.write_now(lambda: None)  # behind what they wrote down


def plan(running: Running) -> Plan:
    """Of the one endpoint that is probed."""
    (found,) = running.gateway._probes._plans.values()
    return found


def forget_that(running: Running) -> None:
    """As if it had not been tried for long."""
    running.database.write_now(lambda: models.EndpointHealth.update(tried_until=0).execute())


def test_how_a_model_is_that_nobody_calls(run: Run, scripted: ScriptedServer):
    running = run(probed(scripted.address, OFTEN, headers={'x-tenant': 'research'}))
    wait_until(lambda: state(running) == 'ok')
    path, headers = scripted.probed[0]
    assert path == '/v1/models'
    assert 'content-type' not in headers
    assert headers.items() >= {'authorization': 'Bearer upstream-secret', 'x-tenant': 'research'}.items()
    scripted.probe_status = 500
    wait_until(lambda: state(running) == 'down')
    scripted.probe_status = 200
    wait_until(lambda: state(running) == 'ok')


def test_a_probe_is_no_call(run: Run, scripted: ScriptedServer):
    running = run(probed(scripted.address, OFTEN, concurrency='1'))
    wait_until(lambda: len(scripted.probed) > 1)
    assert scripted.script.received == []
    assert running.requests() == []
    assert running.account().spent == running.account().held == 0
    assert standing(running, scripted.address).in_flight == 0


@pytest.mark.parametrize(
    ('path', 'asked'),
    [('models', '/v1/models'), ('/health', '/health'), ('/v1/models?x=1', '/v1/models?x=1'), ('../up', '/up')],
)
def test_the_path_is_relative_to_the_address(run: Run, scripted: ScriptedServer, path: str, asked: str):
    run(probed(scripted.address, OFTEN | {'path': path}))
    wait_until(lambda: bool(scripted.probed))
    assert scripted.probed[0][0] == asked


@pytest.mark.parametrize('path', ['', 'http://elsewhere/models', '//elsewhere/models', 'file:/etc', 'a b'])
def test_keys_are_not_sent_elsewhere(path: str):
    with pytest.raises(ValueError, match='must be a path'):
        Probe(path=path)


@pytest.mark.parametrize(
    'model',
    [
        {'endpoints': [{'url': 'http://127.0.0.1:9/v1', 'probe': {'interval_seconds': '0'}}]},
        {'endpoints': [{'url': 'builtin:echo', 'probe': OFTEN}]},
        {'endpoints': [{'url': 'http://127.0.0.1:9/v1', 'probe': OFTEN}], 'disabled': 'true'},
    ],
)
def test_who_is_not_asked(run: Run, model: dict[str, Any]):
    running = run(configured('http://127.0.0.1:9/v1', **model))
    probe(running)
    assert running.gateway._probes._plans == {}
    assert running.database.read_now(lambda: models.EndpointHealth.select().count()) == 0


def test_who_left_the_configuration_is_not_asked(run: Run, scripted: ScriptedServer, other: ScriptedServer):
    running = run(probed(scripted.address, SELDOM))
    probe(running)
    running.source.current = probed(other.address, SELDOM)
    forget_that(running)
    probe(running)
    assert (len(scripted.probed), len(other.probed)) == (1, 1)


def test_of_several_gateways_one_asks(run: Run, scripted: ScriptedServer):
    gateways = [run(probed(scripted.address, SELDOM)) for _ in range(3)]
    probe(*gateways)
    assert len(scripted.probed) == 1
    probe(*gateways)  # one did lately
    assert len(scripted.probed) == 1
    forget_that(gateways[0])
    probe(*gateways)
    assert len(scripted.probed) == 2


@pytest.mark.parametrize(('is_there', 'most'), [(True, FAILURES), (False, UNREACHED)])
def test_so_many_probes_that_fail_make_it_rest(run: Run, scripted: ScriptedServer, is_there: bool, most: int):
    scripted.probe_status = 503
    address = scripted.address if is_there else NOWHERE
    running = run(probed(address, SELDOM))
    for number in range(most):
        assert not rests(running, address)
        assert number == 0 or plan(running).due < time.monotonic() + 1.3
        probe(running)
    assert rests(running, address)
    assert state(running) == 'down'
    (row,) = running.database.read_now(lambda: list(models.EndpointHealth.select()))
    assert row.rests_until > 0


def test_one_that_fails_is_asked_again_each_second_but_not_for_ever(run: Run, scripted: ScriptedServer):
    scripted.probe_status = 500
    running = run(probed(scripted.address, SELDOM))
    for number in range(1, FAILURES):
        probe(running)
        assert plan(running).doubts == number
        assert plan(running).due < time.monotonic() + 1.3
        standing(running, scripted.address).breaker.succeeded()  # of a call
    probe(running)
    assert plan(running).due > time.monotonic() + 1000


@pytest.fixture
def rested(run: Run, scripted: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> Running:
    """A gateway whose only endpoint failed for calls, and has rested enough."""
    monkeypatch.setattr(breaker, 'FIRST_REST_SECONDS', 0.2)
    running = run(probed(scripted.address, SELDOM))
    probe(running)
    scripted.script = Script(status=500)
    while not rests(running, scripted.address):
        assert call(running).status_code == 502
    wait_until(lambda: is_rested(running, scripted.address) or len(scripted.probed) > 1)
    return running


def test_a_probe_lets_calls_through_again_on_probation(rested: Running, scripted: ScriptedServer):
    wait_until(lambda: not rests(rested, scripted.address))
    assert len(scripted.probed) >= 2
    found = standing(rested, scripted.address).breaker
    assert found._failures == FAILURES - 1
    before = found._rest_seconds
    assert call(rested).status_code == 502
    assert found._rest_seconds >= 2 * before  # one failure was enough, and it rests for longer
    scripted.script = good(False)
    wait_until(lambda: not rests(rested, scripted.address))
    assert call(rested).status_code == 200
    wait_until(lambda: found.is_spotless)


def test_a_probe_does_not_forgive_the_failures_of_calls(run: Run, scripted: ScriptedServer):
    running = run(probed(scripted.address, SELDOM))
    scripted.script = Script(status=501)
    for number in range(FAILURES):
        assert not rests(running, scripted.address)
        forget_that(running)
        probe(running)
        assert len(scripted.probed) == number + 1
        assert call(running).status_code == 502
    assert rests(running, scripted.address)


@pytest.mark.parametrize('status', [301, 401, 403, 404, 405, 429])
def test_an_answer_of_another_kind_tells_nothing(run: Run, scripted: ScriptedServer, status: int):
    scripted.probe_status = status
    running = run(probed(scripted.address, SELDOM))
    for _ in range(FAILURES + 1):
        forget_that(running)
        probe(running)
    assert len(scripted.probed) == FAILURES + 1
    assert not rests(running, scripted.address)
    assert state(running) == 'unknown'


def test_a_trial_that_told_nothing_is_left_to_calls(
    run: Run, scripted: ScriptedServer, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(breaker, 'FIRST_REST_SECONDS', 0.2)
    scripted.probe_status = 404
    running = run(probed(scripted.address, SELDOM))
    scripted.script = Script(status=500)
    while not rests(running, scripted.address):
        assert call(running).status_code == 502
    wait_until(lambda: plan(running).after_rest > 0 and plan(running).task is None)
    scripted.script = good(False)
    assert call(running).status_code == 200
    assert not rests(running, scripted.address)


@pytest.fixture
def stopped() -> Iterator[str]:
    """The address of a model server that is stopped: its machine takes connections, it does not."""
    process = Launched(('echo', '--port', '0'), APP.parent, os.environ, Path(os.devnull))
    with process.stdout:
        found = re.search(r'http://\S+', process.stdout.readline())
        assert found is not None
        os.kill(process.pid, signal.SIGSTOP)
        yield found.group()
        os.kill(process.pid, signal.SIGCONT)
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=20)


def test_a_server_that_hangs_is_found_by_its_probes(run: Run, stopped: str):
    running = run(probed(stopped, SELDOM | {'timeout_seconds': '0.2'}))
    began = time.monotonic()
    for _ in range(FAILURES):
        probe(running)
    assert time.monotonic() - began < 5
    assert rests(running, stopped)
    assert state(running) == 'down'


def test_a_call_to_a_server_that_hangs_is_given_up_and_not_asked_for_elsewhere(
    run: Run, stopped: str, other: ScriptedServer
):
    endpoints = [{'url': stopped, 'weight': '1000000', 'first_byte_timeout_seconds': '0.3'}, {'url': other.address}]
    running = run(configured(stopped, endpoints=endpoints))
    response = call(running, stream=True)
    assert (response.status_code, response.json()['error']['code']) == (504, 'upstream_timeout')
    assert other.script.received == []
    (request,) = running.wait_for_requests(1)
    assert (request.outcome, request.cost) == ('timeout', 0)
    running.assert_settled()


def test_two_endpoints_at_one_address_are_known_apart(run: Run, scripted: ScriptedServer):
    endpoints = [{'url': scripted.address, 'model': name, 'probe': SELDOM} for name in ('one', 'two', 'one')]
    running = run(configured(scripted.address, endpoints=endpoints))
    probe(running)
    seen = running.database.read_now(health.seen)
    assert set(seen) == {('m', scripted.address), ('m', f'{scripted.address}#2')}
    running.database.write_now(health.note, 'm', f'{scripted.address}#2', False, 'no')
    assert state(running) == 'degraded'
    running.database.write_now(health.note, 'm', scripted.address, False, 'no')
    assert state(running) == 'down'
