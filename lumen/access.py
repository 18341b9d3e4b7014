"""Which rule decides whether an account may use a model. The first that speaks does; its name is told."""

from __future__ import annotations

from dataclasses import dataclass

from lumen.config.settings import Access, Model, ModelAccess, Settings

MOST_DECISIONS = 100_000
"""So many are remembered by each configuration."""


@dataclass(frozen=True, slots=True)
class Decision:
    """`rule` is the place in the configuration that decided, `why` says it in words.

    `needs_ack` only ever adds to *allowed*.
    """

    access: Access
    rule: str
    why: str
    needs_ack: bool = False

    @property
    def is_allowed(self) -> bool:
        return self.access == 'allowed'


def decide(settings: Settings, kind: str, handle: str, model: Model) -> Decision:
    """The decision for one account (`kind` and case-folded `handle`) and one model."""
    key = kind, settings.scope(kind, handle), model.name  # whom the file does not name are decided on alike
    found: Decision | None = settings.decisions.get(key)
    if found is None:
        access, rule, why = _first_rule(settings, kind, handle, model)
        found = Decision(access, rule, why, needs_ack=model.needs_ack and access == 'allowed')
        if len(settings.decisions) < MOST_DECISIONS:
            settings.decisions[key] = found
    return found


def visible(settings: Settings, kind: str, handle: str) -> list[Model]:
    """The models that the account may use, in the order of the file."""
    return [model for model in settings.models if decide(settings, kind, handle, model).is_allowed]


def _first_rule(settings: Settings, kind: str, handle: str, model: Model) -> tuple[Access, str, str]:
    if model.disabled:
        return 'blocked', f'models.{model.name}.disabled', 'This model is switched off for everybody.'
    scope = settings.scope(kind, handle)
    own = settings.entry(kind, handle).model_access
    listed = _listed(own, model.name)
    if listed:
        return listed, f'{scope}.model_access.{listed}', f'{_whose(scope, kind)} names it as {listed}.'
    groups = settings.groups_of(kind, handle)
    by_group = [(_listed(group.model_access, model.name), name) for name, group in groups]
    for access in ('blocked', 'allowed'):
        for found, name in by_group:
            if found == access:
                return found, f'groups.{name}.model_access.{found}', f'The group "{name}" names it as {found}.'
    if model.access:
        return model.access, f'models.{model.name}.access', f'The model is {model.access} unless a rule names it.'
    for access in ('allowed', 'blocked'):
        for name, group in groups:
            if group.model_access.default == access:
                why = f'The group "{name}" has all models {access} by default.'
                return group.model_access.default, f'groups.{name}.model_access.default', why
    if own.default:
        why = f'{_whose(scope, kind)} has all models {own.default} by default.'
        return own.default, f'{scope}.model_access.default', why
    last = settings.defaults.models.access
    return last, 'defaults.models.access', f'All models are {last} unless a rule says otherwise.'


def _listed(rules: ModelAccess, name: str) -> Access | None:
    if name in rules.blocked:
        return 'blocked'
    return 'allowed' if name in rules.allowed else None


def _whose(scope: str, kind: str) -> str:
    if scope == 'clients.default':
        return 'The entry for all clients'
    return f'The {kind}’s own entry'
