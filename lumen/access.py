"""Which rule decides whether an account may use a model. The first that speaks does; its name is told."""

from __future__ import annotations

from dataclasses import dataclass

from lumen.config.settings import Access, Model, ModelAccess, Settings


@dataclass(frozen=True, slots=True)
class Decision:
    """`rule` is the place in the configuration that decided. `needs_ack` only ever adds to *allowed*."""

    access: Access
    rule: str
    needs_ack: bool = False

    @property
    def is_allowed(self) -> bool:
        return self.access == 'allowed'


def decide(settings: Settings, kind: str, handle: str, model: Model) -> Decision:
    """The decision for one account (`kind` and case-folded `handle`) and one model."""
    access, rule = _first_rule(settings, kind, handle, model)
    return Decision(access, rule, needs_ack=model.needs_ack and access == 'allowed')


def visible(settings: Settings, kind: str, handle: str) -> list[Model]:
    """The models that the account may use, in the order of the file."""
    return [model for model in settings.models if decide(settings, kind, handle, model).is_allowed]


def _first_rule(settings: Settings, kind: str, handle: str, model: Model) -> tuple[Access, str]:
    if model.disabled:
        return 'blocked', f'models.{model.name}.disabled'
    scope = settings.scope(kind, handle)
    own = settings.entry(kind, handle).model_access
    listed = _listed(own, model.name)
    if listed:
        return listed, f'{scope}.model_access.{listed}'
    groups = settings.groups_of(kind, handle)
    by_group = [(_listed(group.model_access, model.name), name) for name, group in groups]
    for access in ('blocked', 'allowed'):
        for found, name in by_group:
            if found == access:
                return found, f'groups.{name}.model_access.{found}'
    if model.access:
        return model.access, f'models.{model.name}.access'
    for access in ('allowed', 'blocked'):
        for name, group in groups:
            if group.model_access.default == access:
                return group.model_access.default, f'groups.{name}.model_access.default'
    if own.default:
        return own.default, f'{scope}.model_access.default'
    return settings.defaults.models.access, 'defaults.models.access'


def _listed(rules: ModelAccess, name: str) -> Access | None:
    if name in rules.blocked:
        return 'blocked'
    return 'allowed' if name in rules.allowed else None
