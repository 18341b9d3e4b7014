"""People and clients for tests: an admin, users, clients with managers."""

from __future__ import annotations

from typing import Any

import models
from lumen.config.settings import Settings
from lumen.identity import people
from lumen.identity.permissions import COMMAND_LINE, Actor
from lumen.records import clients, managers

ADMIN = 'admin@example.org'
SECRET = b'a secret of thirty-two characters'


def settings(**more: Any) -> Settings:
    """A configuration with one admin and a pool of 10 coins for every client. Scalars are text, as they are read."""
    values: dict[str, Any] = {
        'admins': [ADMIN],
        'clients': {'default': {'max': '10', 'refresh': '1', 'starting': '10'}},
        'login': {'dev_users': [{'email': ADMIN, 'name': 'Ada Admin'}, {'email': 'max@example.org', 'name': 'Max'}]},
    }
    return Settings.model_validate(values | more)


def user(email: str, configured: Settings) -> Actor:
    """Within a write: a user, as the actor that they are."""
    return Actor(people.ensure_user(email, email.partition('@')[0].title(), configured, 'test'))


def client(name: str, configured: Settings, *emails: str) -> int:
    """Within a write: a client with these managers, the first of whom owns it."""
    client_id = clients.create_client(COMMAND_LINE, name, settings=configured)
    for email in emails:
        managers.add_manager(COMMAND_LINE, client_id, email, settings=configured)
    return client_id


def audited() -> list[tuple[str, str, str]]:
    """Within a read: who did what to whom, in order."""
    query = models.AuditEvent.select().order_by(models.AuditEvent.id)
    return [(event.actor, event.action, event.subject) for event in query]
