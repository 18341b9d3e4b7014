from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lumen import access
from lumen.config.settings import Settings

WORDS = ('allowed', 'blocked')
SERVER = {'input_cost_per_million': '0', 'output_cost_per_million': '0', 'endpoints': [{'url': 'builtin:echo'}]}


def rules(default: str | None = None, **lists: bool) -> dict[str, Any]:
    found: dict[str, Any] = {word: ['m'] for word, listed in lists.items() if listed}
    return found | ({'default': default} if default else {})


def settings(
    *,
    model: dict[str, Any] | None = None,
    own: dict[str, Any] | None = None,
    first: dict[str, Any] | None = None,
    second: dict[str, Any] | None = None,
    default: str = 'blocked',
) -> Settings:
    return Settings.model_validate(
        {
            'models': [{'name': 'm'} | SERVER | (model or {})],
            'groups': {'one': {'model_access': first or {}}, 'two': {'model_access': second or {}}},
            'clients': {'Bot': {'groups': ['one', 'two'], 'model_access': own or {}}},
            'defaults': {'models': {'access': default}},
        }
    )


def decide(configured: Settings) -> tuple[str, str]:
    decision = access.decide(configured, 'client', 'bot', configured.models[0])
    return decision.access, decision.rule


# Each row adds a rule that comes before all above it.
PRECEDENCE: list[tuple[dict[str, Any], tuple[str, str]]] = [
    ({'default': 'allowed'}, ('allowed', 'defaults.models.access')),
    ({'own': rules('blocked')}, ('blocked', 'clients.Bot.model_access.default')),
    ({'second': rules('blocked'), 'own': rules('allowed')}, ('blocked', 'groups.two.model_access.default')),
    (
        {'first': rules('allowed'), 'second': rules('blocked'), 'own': rules('blocked')},
        ('allowed', 'groups.one.model_access.default'),
    ),
    ({'model': {'access': 'blocked'}, 'first': rules('allowed')}, ('blocked', 'models.m.access')),
    (
        {'model': {'access': 'blocked'}, 'first': rules('blocked', allowed=True)},
        ('allowed', 'groups.one.model_access.allowed'),
    ),
    (
        {'model': {'access': 'allowed'}, 'first': rules(allowed=True), 'second': rules(blocked=True)},
        ('blocked', 'groups.two.model_access.blocked'),
    ),
    (
        {'own': rules('blocked', allowed=True), 'second': rules(blocked=True)},
        ('allowed', 'clients.Bot.model_access.allowed'),
    ),
    (
        {'own': rules('allowed', blocked=True), 'first': rules(allowed=True)},
        ('blocked', 'clients.Bot.model_access.blocked'),
    ),
    ({'model': {'disabled': 'true'}, 'own': rules(allowed=True)}, ('blocked', 'models.m.disabled')),
]


@pytest.mark.parametrize(('changes', 'expected'), PRECEDENCE)
def test_the_first_rule_that_speaks_decides(changes: dict[str, Any], expected: tuple[str, str]):
    assert decide(settings(**changes)) == expected


default = st.sampled_from([None, *WORDS])
scope = st.builds(rules, default, allowed=st.booleans(), blocked=st.booleans())


@given(st.booleans(), default, scope, scope, scope, st.sampled_from(WORDS))
def test_the_decision_is_the_seven_rules_told_again(
    disabled: bool, own_access: str | None, own: Any, first: Any, second: Any, last: str
):
    model = {'disabled': str(disabled).lower()} | ({'access': own_access} if own_access else {})
    groups = (first, second)
    answers = [
        'blocked' if disabled else None,
        'blocked' if 'blocked' in own else 'allowed' if 'allowed' in own else None,
        'blocked' if any('blocked' in group for group in groups) else None,
        'allowed' if any('allowed' in group for group in groups) else None,
        own_access,
        'allowed' if any(group.get('default') == 'allowed' for group in groups) else None,
        'blocked' if any(group.get('default') == 'blocked' for group in groups) else None,
        own.get('default'),
        last,
    ]
    expected = next(answer for answer in answers if answer)
    assert decide(settings(model=model, own=own, first=first, second=second, default=last))[0] == expected


def test_an_acknowledgement_adds_to_allowed_and_only_to_that():
    def needs_ack(word: str) -> bool:
        configured = settings(model={'needs_ack': 'true'}, own=rules(word))
        return access.decide(configured, 'client', 'bot', configured.models[0]).needs_ack

    assert needs_ack('allowed')
    assert not needs_ack('blocked')


def test_a_client_without_an_entry_follows_the_default_entry():
    configured = settings().model_copy(
        update={
            'clients': Settings.model_validate({'clients': {'default': {'model_access': rules('allowed')}}}).clients
        }
    )
    decision = access.decide(configured, 'client', 'nobody', configured.models[0])
    assert (decision.access, decision.rule) == ('allowed', 'clients.default.model_access.default')


def test_only_models_that_may_be_used_are_visible():
    assert access.visible(settings(own=rules(blocked=True)), 'client', 'bot') == []
    assert [model.name for model in access.visible(settings(own=rules(allowed=True)), 'client', 'bot')] == ['m']
