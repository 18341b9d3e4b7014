"""Everything that the page of one client shows, read in one transaction."""

from __future__ import annotations

from dataclasses import dataclass

from lumen import access
from lumen.config.settings import Settings
from lumen.identity.keys import KeyRow, keys_of
from lumen.identity.permissions import Action, Actor
from lumen.records import clients
from lumen.records.clients import ClientDetail
from lumen.records.managers import ManagerRow, managers_of
from lumen.records.usage import ModelUsage, model_usage


@dataclass(frozen=True, slots=True)
class ModelRow:
    """A model as one client sees it: `access` is *allowed*, *needs acknowledgement*, *blocked* or *removed*.

    `usage` is None when the client never called it; `rule` says where the access comes from.
    """

    name: str
    access: str
    rule: str
    usage: ModelUsage | None


@dataclass(frozen=True, slots=True)
class ClientView:
    client: ClientDetail
    managers: list[ManagerRow]
    keys: list[KeyRow]
    models: list[ModelRow]

    def may(self, action: Action) -> bool:
        return action in self.client.may

    @property
    def first_allowed_model(self) -> str | None:
        return next((model.name for model in self.models if model.access == 'allowed'), None)


def load(actor: Actor, client_id: int, *, settings: Settings, include_revoked: bool = False) -> ClientView:
    """Within a read. Raises NotFound for a client that does not exist or is not the actor's."""
    client = clients.get(actor, client_id, settings=settings)
    return ClientView(
        client=client,
        managers=managers_of(actor, client_id, settings=settings),
        keys=keys_of(actor, client_id, settings=settings, include_revoked=include_revoked),
        models=_models(client.handle, model_usage(actor, client_id, settings=settings), settings),
    )


def _models(handle: str, used: dict[str, ModelUsage], settings: Settings) -> list[ModelRow]:
    rows = []
    for model in settings.models:
        decision = access.decide(settings, 'client', handle, model)
        shown = 'needs acknowledgement' if decision.access == 'allowed' and decision.needs_ack else decision.access
        rows.append(ModelRow(model.name, shown, decision.rule, used.get(model.name)))
    configured = {model.name for model in settings.models}
    rows += [
        ModelRow(name, 'removed', 'not in config.yaml any more', usage)
        for name, usage in sorted(used.items())
        if name not in configured
    ]
    return rows
