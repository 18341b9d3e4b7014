"""Whether anything changed that a page of clients shows, in one small query: open pages cost little while all is quiet.

Every call that is settled adds a request, and every change that people make adds an event of the audit.
"""

from __future__ import annotations

from typing import Any

from peewee import fn

from lumen.database import tuples
from lumen.identity.permissions import Actor
from lumen.identity.revisions import HEALTH
from models import Account, AuditEvent, Manager, Request, Revision

Pulse = tuple[Any, ...]
"""To be compared, not to be read."""


def pulse_of_clients() -> Pulse:
    """Within a read. Changes with every call and with whatever is done to any client."""
    requests, events = Request.select(fn.max(Request.id)), AuditEvent.select(fn.max(AuditEvent.id))
    return (requests.scalar(), events.scalar())


def pulse_of_client(actor: Actor, client_id: int) -> Pulse:
    """Within a read. Changes with every call, with whatever is done to the client, with the actor's role, and when a
    model server fails or answers again.
    """
    managers = Manager.client == client_id
    query = Account.select(
        Account.active,
        Account.requests,
        Account.spent,
        Account.held,
        Manager.select(Manager.id).where(managers, Manager.user == actor.account_id),
        AuditEvent.select(fn.max(AuditEvent.id)).where(AuditEvent.account == client_id),
        Revision.select(Revision.number).where(Revision.topic == HEALTH),
    ).where(Account.id == client_id)
    return next(iter(tuples(query)), ())
