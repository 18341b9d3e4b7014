"""Acceptances of models' messages: which text was accepted for which account, by whom, when.

A text is recognised by its digest, so that a changed one asks again.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import models
from lumen import access
from lumen.config.settings import Model, Settings
from lumen.database import now, tuples
from lumen.errors import Conflict, NotFound
from lumen.identity import permissions, revisions
from lumen.identity.permissions import Action, Actor
from lumen.records import audit


@dataclass(frozen=True, slots=True)
class Acceptance:
    """`at` is microseconds since the epoch."""

    at: int
    by: str


def message_of(settings: Settings, model: Model) -> str:
    """What has to be read before the model is used: its own message or else the one for all models."""
    return model.ack_message or settings.defaults.models.ack_message


def message_to_accept(settings: Settings, model_name: str) -> str:
    """The message of a model that asks for an acknowledgement. Raises NotFound (`model_not_found`) for any other."""
    return message_of(settings, _model(settings, model_name))


def digest_of(message: str) -> str:
    return hashlib.sha256(message.encode()).hexdigest()


def accepted(account_id: int) -> dict[tuple[str, str], Acceptance]:
    """Within a read: everything that was ever accepted for an account, by model name and digest of the text."""
    row = models.Acknowledgement
    query = row.select(row.model, row.message_digest, row.acknowledged_at, row.acknowledged_by).where(
        row.account == account_id
    )
    return {(model, digest): Acceptance(at, by) for model, digest, at, by in tuples(query)}


def acknowledge(actor: Actor, client_id: int, model_name: str, digest: str, *, settings: Settings) -> None:
    """Accept for a client the message that `digest` stands for: the one that the actor was shown.

    Accepting it again changes nothing. Raises NotFound (`model_not_found`), Conflict when the model is blocked for the
    client or its message is another one by now, or what `permissions.require` does.
    """
    person = permissions.require(actor, Action.ACKNOWLEDGE, settings, client_id)
    model = _model(settings, model_name)
    client = models.Account.get_by_id(client_id)
    if not access.decide(settings, client.kind, client.handle, model).is_allowed:
        raise Conflict(f'The model "{model.name}" is blocked for this client.')
    if digest != digest_of(message_of(settings, model)):
        raise Conflict('The message of this model has changed. Read the new one first.', code='message_changed')
    row = models.Acknowledgement
    added = (
        row.insert(
            account=client_id,
            model=model.name,
            message_digest=digest,
            acknowledged_at=now(),
            acknowledged_by=person.label,
        )
        .on_conflict_ignore()
        .as_rowcount()
        .execute()
    )
    if added:
        revisions.bump(revisions.ACCOUNTS)
        audit.record(
            person,
            'model.acknowledged',
            account_id=client_id,
            subject=model.name,
            after={'model': model.name, 'message_digest': digest},
        )


def _model(settings: Settings, name: str) -> Model:
    model = settings.model(name)
    if model is None or not model.needs_ack:
        raise NotFound(f'There is no model "{name[:200]}" to acknowledge.', code='model_not_found', param='model')
    return model
