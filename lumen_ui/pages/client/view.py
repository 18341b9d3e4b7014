"""Everything that the page of one client shows, read in one transaction."""

from __future__ import annotations

from dataclasses import dataclass

from lumen import access
from lumen.config.settings import Settings
from lumen.identity.keys import KeyRow, keys_of
from lumen.identity.permissions import Action, Actor
from lumen.records import acknowledgements, clients
from lumen.records import health as healths
from lumen.records.acknowledgements import Acceptance
from lumen.records.clients import ClientDetail
from lumen.records.health import Health
from lumen.records.history import PAGE_SIZE, Event, history_of
from lumen.records.managers import ManagerRow, managers_of
from lumen.records.usage import ModelUsage, model_usage


@dataclass(frozen=True, slots=True)
class ModelRow:
    """A model as one client sees it.

    `access` is *allowed*, *needs acknowledgement*, *acknowledged*, *blocked* or *removed*; `rule` is where that comes
    from, `why` says it in words. `usage` is None when the client never called it. `message` is what has to be read
    before it is acknowledged, None when nothing has to be; `acceptance` is who did so. `health` is the model's,
    for whoever calls it.
    """

    name: str
    access: str
    rule: str
    why: str
    usage: ModelUsage | None
    message: str | None = None
    acceptance: Acceptance | None = None
    health: Health | None = None


@dataclass(frozen=True, slots=True)
class ClientView:
    client: ClientDetail
    managers: list[ManagerRow]
    keys: list[KeyRow]
    models: list[ModelRow]
    history: list[Event]
    has_older: bool
    """Whether more happened before what `history` begins with."""

    def may(self, action: Action) -> bool:
        return action in self.client.may

    @property
    def first_allowed_model(self) -> str | None:
        usable = ('allowed', 'acknowledged')
        return next((model.name for model in self.models if model.access in usable), None)


def load(
    actor: Actor,
    client_id: int,
    *,
    settings: Settings,
    include_revoked: bool = False,
    history_length: int = PAGE_SIZE,
) -> ClientView:
    """Within a read. Raises NotFound for a client that does not exist or is not the actor's."""
    client = clients.get(actor, client_id, settings=settings)
    events = history_of(actor, client_id, settings=settings, limit=history_length + 1)
    used = model_usage(actor, client_id, settings=settings)
    return ClientView(
        client=client,
        managers=managers_of(actor, client_id, settings=settings),
        keys=keys_of(actor, client_id, settings=settings, include_revoked=include_revoked),
        models=_models(client.handle, used, acknowledgements.accepted(client_id), healths.seen(), settings),
        history=events[:history_length],
        has_older=len(events) > history_length,
    )


def _models(
    handle: str,
    used: dict[str, ModelUsage],
    accepted: dict[tuple[str, str], Acceptance],
    seen: healths.Seen,
    settings: Settings,
) -> list[ModelRow]:
    rows = []
    for model in settings.models:
        decision = access.decide(settings, 'client', handle, model)
        shown, message, acceptance = str(decision.access), None, None
        if decision.needs_ack and settings.api.consent:
            message = acknowledgements.message_of(settings, model)
            acceptance = accepted.get((model.name, acknowledgements.digest_of(message)))
            shown = 'acknowledged' if acceptance else 'needs acknowledgement'
        usage = used.get(model.name)
        health = healths.of_model(model, seen)
        rows.append(ModelRow(model.name, shown, decision.rule, decision.why, usage, message, acceptance, health))
    configured = {model.name for model in settings.models}
    rows += [
        ModelRow(name, 'removed', '', 'It is not in the configuration any more.', usage)
        for name, usage in sorted(used.items())
        if name not in configured
    ]
    return rows
