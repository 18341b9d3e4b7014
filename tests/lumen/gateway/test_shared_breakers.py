"""What one gateway finds out about an endpoint, the others go by."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import pytest

from lumen.config.settings import Settings
from lumen.gateway import breaker, shared_breakers
from lumen.gateway.breaker import FAILURES
from lumen.gateway.turn import Standing
from lumen.records import breakers, health
from tests.lumen.gateway.conftest import Running, Script, ScriptedServer, wait_until
from tests.lumen.gateway.test_failures import call
from tests.lumen.gateway.test_trying_again import NOWHERE, first, good

Run = Callable[[Settings], Running]
KNOWN_WITHIN_SECONDS = 2
OF_HEALTH = {health.note, breakers.opened, breakers.closed, breakers.claim, breakers.give_up}


def standing(running: Running, place: str) -> Standing:
    """What this gateway knows of the endpoint."""
    (found,) = [
        one
        for one in running.gateway._relay._endpoints.of(running.source.current.models[0]).members
        if one.place == place
    ]
    return found


def rests(running: Running, place: str) -> bool:
    return bool(standing(running, place).breaker.rests_until)


def is_rested(running: Running, place: str) -> bool:
    return rests(running, place) and standing(running, place).breaker.lets_through(time.monotonic())


@pytest.fixture
def long_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(breaker, 'FIRST_REST_SECONDS', 30.0)


@pytest.fixture
def short_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(breaker, 'FIRST_REST_SECONDS', 0.2)


def break_down(running: Running, server: ScriptedServer) -> None:
    """Call until the endpoint rests."""
    server.script = Script(status=500)
    for _ in range(FAILURES):
        assert call(running).status_code == 200
    assert len(server.script.received) == FAILURES
    assert rests(running, server.address)


@pytest.mark.usefixtures('long_rests')
def test_what_one_gateway_found_broken_the_others_avoid(run: Run, scripted: ScriptedServer, other: ScriptedServer):
    other.script = good(False)
    settings = first(scripted.address, other.address)
    one, two = run(settings), run(settings)
    assert not rests(two, scripted.address)
    break_down(one, scripted)
    wait_until(lambda: rests(two, scripted.address), KNOWN_WITHIN_SECONDS)
    assert [call(two).status_code for _ in range(3)] == [200] * 3
    three = run(settings)  # that begins only now
    wait_until(lambda: three.gateway._learning._number >= 0)
    assert call(three).status_code == 200
    assert len(scripted.script.received) == FAILURES


@pytest.mark.usefixtures('long_rests')
def test_all_know_that_a_server_cannot_be_reached(run: Run):
    one, two = run(first(NOWHERE)), run(first(NOWHERE))
    standing(two, NOWHERE)
    assert call(one).status_code == 502
    wait_until(lambda: rests(two, NOWHERE), KNOWN_WITHIN_SECONDS)
    refused = call(two)
    assert (refused.status_code, refused.json()['error']['code']) == (503, 'no_healthy_endpoint')
    assert 20 <= int(refused.headers['retry-after']) <= 36


@pytest.mark.usefixtures('short_rests')
def test_one_gateway_finds_out_for_all(run: Run, scripted: ScriptedServer, other: ScriptedServer):
    other.script = good(False)
    settings = first(scripted.address, other.address)
    one, two = run(settings), run(settings)
    standing(two, scripted.address)
    break_down(one, scripted)
    wait_until(lambda: is_rested(one, scripted.address) and is_rested(two, scripted.address))
    trial = scripted.script = Script(parts=good(False).parts, waits_after=-1)
    caller = threading.Thread(target=call, args=(two,))
    caller.start()
    wait_until(lambda: len(trial.received) == 1)
    assert [call(gateway).status_code for gateway in (one, two, one)] == [200] * 3
    assert len(trial.received) == 1
    trial.proceed.set()
    caller.join()
    wait_until(lambda: not rests(one, scripted.address), KNOWN_WITHIN_SECONDS)
    assert call(one).status_code == 200
    assert len(trial.received) == 2


@pytest.mark.usefixtures('short_rests')
def test_what_is_on_probation_rests_again_at_its_first_failure_and_longer(
    run: Run, scripted: ScriptedServer, other: ScriptedServer
):
    other.script = good(False)
    settings = first(scripted.address, other.address)
    one, two = run(settings), run(settings)
    standing(two, scripted.address)
    break_down(one, scripted)
    wait_until(lambda: is_rested(one, scripted.address) and rests(two, scripted.address))
    scripted.script = Script(parts=good(False).parts, then=Script(status=500))
    assert call(one).status_code == 200
    wait_until(lambda: not rests(two, scripted.address))
    assert call(two).status_code == 200
    assert rests(two, scripted.address)
    assert standing(two, scripted.address).breaker._rest_seconds == pytest.approx(0.4, abs=0.1)


def test_a_call_that_ends_well_writes_nothing_of_health(
    run: Run, scripted: ScriptedServer, monkeypatch: pytest.MonkeyPatch
):
    scripted.script = good(False)
    running = run(first(scripted.address))
    written: list[Any] = []
    submit = running.database.submit

    def spy(work: Any, *args: Any, **kwargs: Any) -> Any:
        written.extend({work} & OF_HEALTH)
        return submit(work, *args, **kwargs)

    monkeypatch.setattr(running.database, 'submit', spy)
    for _ in range(10):
        assert call(running).status_code == 200
    assert written == [health.note]


@pytest.mark.usefixtures('short_rests')
def test_a_gateway_whose_database_does_not_answer_finds_out_by_itself(
    run: Run, scripted: ScriptedServer, other: ScriptedServer, monkeypatch: pytest.MonkeyPatch
):
    other.script = good(False)
    running = run(first(scripted.address, other.address))
    break_down(running, scripted)
    wait_until(lambda: is_rested(running, scripted.address))
    submit = running.database.submit

    def silent(work: Any, *args: Any, **kwargs: Any) -> Any:
        return Future[None]() if work is breakers.claim else submit(work, *args, **kwargs)

    monkeypatch.setattr(running.database, 'submit', silent)
    monkeypatch.setattr(shared_breakers, 'CLAIMED_WITHIN_SECONDS', 0.05)
    scripted.script = good(False)
    assert call(running).status_code == 200
    assert not rests(running, scripted.address)
    running.assert_settled()


@pytest.mark.usefixtures('long_rests')
def test_an_endpoint_that_is_configured_otherwise_is_no_longer_left_out(
    run: Run, scripted: ScriptedServer, other: ScriptedServer
):
    other.script = good(False)
    running = run(first(scripted.address, other.address))
    break_down(running, scripted)
    scripted.script = good(False)
    running.source.current = first(scripted.address, other.address, headers={'x-key': 'the-right-one'})
    assert call(running).status_code == 200
    assert len(scripted.script.received) == 1
