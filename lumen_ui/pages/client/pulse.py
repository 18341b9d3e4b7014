"""Whether anything about a client changed, in one small query: open pages cost little while all is quiet."""

from __future__ import annotations

from typing import Any

from peewee import fn

from lumen.database import tuples
from lumen.identity.permissions import Actor
from models import Account, ApiKey, Manager

Pulse = tuple[Any, ...]
"""To be compared, not to be read."""


def pulse(actor: Actor, client_id: int) -> Pulse:
    """Within a read. Changes with every call, key, manager, role of the actor and state of the client."""
    managers = Manager.client == client_id
    query = Account.select(
        Account.active,
        Account.requests,
        Account.spent,
        Account.held,
        Manager.select(fn.count(Manager.id)).where(managers),
        Manager.select(fn.max(Manager.id)).where(managers),
        Manager.select(Manager.id).where(managers, Manager.is_owner),
        Manager.select(Manager.id).where(managers, Manager.user == actor.account_id),
        ApiKey.select(fn.max(ApiKey.id)).where(ApiKey.account == client_id),
        ApiKey.select(fn.count(ApiKey.revoked_at)).where(ApiKey.account == client_id),
    ).where(Account.id == client_id)
    return next(iter(tuples(query)), ())
