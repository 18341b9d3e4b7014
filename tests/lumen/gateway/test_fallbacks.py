"""Other models that answer when none of a model's endpoints does: held for, charged at their own price, and allowed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from lumen.config import rules
from lumen.config.settings import Settings
from tests.lumen import factories
from tests.lumen.gateway.conftest import Running, Script, ScriptedServer
from tests.lumen.gateway.test_failures import STREAM, call
from tests.lumen.gateway.test_outcomes import ended, leave_when
from tests.lumen.gateway.test_trying_again import NOWHERE, PARTS, WHOLE

Run = Callable[[Settings], Running]
MILLICOIN = 1_000_000
FIVE = {'input_cost_per_million': '5000', 'output_cost_per_million': '5000'}


def configured(*others: dict[str, Any], pool: str = '10', url: str = NOWHERE, **more: Any) -> Settings:
    """A model `m` that cannot be reached, at 1 and 2 millicoins a token, and the models that may stand in for it."""
    common = {'access': 'allowed', 'context_window': '8192', 'max_output_tokens': '512'}
    model = common | {'name': 'm', 'input_cost_per_million': '1000', 'output_cost_per_million': '2000'}
    named = [other['name'] for other in others]
    return factories.settings(
        models=[
            model | {'endpoints': [{'url': url}], 'fallbacks': named},
            *(common | FIVE | {'endpoints': [{'url': NOWHERE}]} | other for other in others),
        ],
        clients={'default': {'max': pool, 'refresh': '0', 'starting': pool}},
        **more,
    )


def at(address: str) -> dict[str, Any]:
    return {'endpoints': [{'url': address}]}


@pytest.mark.parametrize('stream', [False, True])
def test_another_model_answers_and_its_own_price_is_charged(run: Run, scripted: ScriptedServer, stream: bool):
    scripted.script = Script(headers=STREAM, parts=PARTS) if stream else Script(parts=[WHOLE])
    running = run(configured({'name': 'org/other', **at(scripted.address)}))
    answer = call(running, stream=stream)
    assert answer.status_code == 200
    assert answer.headers['x-lumen-model'] == 'org/other'
    assert scripted.script.received[0]['model'] == 'org/other'
    request = ended(running)
    assert (request.outcome, request.model, request.endpoint) == ('success', 'org/other', scripted.address)
    assert (request.input_tokens, request.output_tokens) == (7, 3)
    assert request.cost == 10 * 5 * MILLICOIN
    assert running.account().spent == request.cost


def test_they_are_tried_in_their_order_and_the_last_failure_is_told(
    run: Run, scripted: ScriptedServer, other: ScriptedServer
):
    scripted.script, other.script = Script(status=501), Script(parts=[WHOLE])
    running = run(
        configured({'name': 'away'}, {'name': 'broken', **at(scripted.address)}, {'name': 'fine', **at(other.address)})
    )
    answer = call(running)  # 501 is an answer: nobody else is asked for another
    assert (answer.status_code, answer.headers['x-lumen-model']) == (502, 'broken')
    assert other.script.received == []
    request = ended(running)
    assert (request.outcome, request.model, request.cost) == ('upstream_error', 'broken', 0)


def test_the_model_itself_answers_while_it_can(run: Run, scripted: ScriptedServer, other: ScriptedServer):
    scripted.script = Script(parts=[WHOLE])
    running = run(configured({'name': 'other', **at(other.address)}, url=scripted.address))
    answer = call(running)
    assert 'x-lumen-model' not in answer.headers
    request = ended(running)
    assert (request.model, request.cost) == ('m', 13 * MILLICOIN)
    assert other.script.received == []


@pytest.mark.parametrize(
    'forbidden', [{'access': 'blocked'}, {'disabled': 'true'}, {'needs_ack': 'true', 'ack_message': 'Read this.'}]
)
def test_what_the_account_may_not_use_does_not_stand_in(run: Run, scripted: ScriptedServer, forbidden: dict[str, str]):
    running = run(configured({'name': 'other', **at(scripted.address), **forbidden}))
    assert call(running).status_code == 502
    assert scripted.script.received == []
    assert ended(running).model == 'm'


def test_what_is_held_covers_the_dearest(run: Run, scripted: ScriptedServer):
    scripted.script = Script(parts=[WHOLE], waits_after=-1)
    running = run(configured({'name': 'other', **at(scripted.address)}, url=scripted.address))
    held: list[int] = []

    def look() -> bool:
        held.append(running.account().held)
        return held[-1] > 0

    leave_when(running, look, max_tokens=100)
    assert held[-1] > 100 * 5 * MILLICOIN
    request = ended(running)
    assert (request.outcome, request.model) == ('disconnected', 'm')
    assert request.cost <= 100 * 5 * MILLICOIN


def test_each_model_is_told_its_own_limit(run: Run, scripted: ScriptedServer, other: ScriptedServer):
    scripted.script, other.script = Script(status=503), Script(parts=[WHOLE])
    more = {'name': 'other', **at(other.address), 'max_output_tokens': '2048'}
    running = run(configured(more, url=scripted.address))
    assert call(running, max_tokens=1000).status_code == 200
    assert scripted.script.received[0]['max_tokens'] == 512
    assert other.script.received[0]['max_tokens'] == 1000


def test_a_pool_that_cannot_pay_the_dearest_pays_the_model_itself(run: Run, scripted: ScriptedServer):
    scripted.script = Script(parts=[WHOLE])
    other = {'name': 'other', **at(scripted.address), 'input_cost_per_million': '9000000'}
    running = run(configured(other, pool='1', url=scripted.address))
    assert call(running, max_tokens=20).status_code == 200
    assert ended(running).model == 'm'
    assert running.account().balance == 10**9 - 13 * MILLICOIN


def test_where_it_cannot_pay_another_nobody_else_is_asked(run: Run, scripted: ScriptedServer):
    other = {'name': 'other', **at(scripted.address), 'input_cost_per_million': '9000000'}
    running = run(configured(other, pool='1'))
    assert call(running, max_tokens=20).status_code == 502
    assert scripted.script.received == []


def test_calls_go_on_at_once_when_the_endpoints_are_full_or_down(run: Run, scripted: ScriptedServer):
    scripted.script = Script(parts=[WHOLE])
    running = run(configured({'name': 'other', **at(scripted.address)}))
    for _ in range(3):
        assert call(running).status_code == 200
    assert {request.model for request in running.wait_for_requests(3)} == {'other'}
    running.assert_settled()


def test_a_fallback_must_be_another_model_of_the_file_and_stand_there_once():
    data = {'models': [{'name': 'one', 'fallbacks': ['one', 'tow', 'two', 'two']}, {'name': 'two'}]}
    found = [(fault.path, fault.message) for fault in rules.faults(data) if 'fallbacks' in fault.path]
    place = ('models', 0, 'fallbacks')
    assert found == [
        ((*place, 3), '"two" is there already, as "two"'),
        ((*place, 0), 'is the model itself'),
        ((*place, 1), 'no model "tow" (did you mean "two"?)'),
    ]
