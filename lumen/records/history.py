"""What happened to a client, from the audit, in sentences; and the audit itself for those who keep it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from peewee import fn

import models
from lumen.config.settings import Settings
from lumen.database import tuples
from lumen.identity import permissions
from lumen.identity.permissions import Action, Actor

PAGE_SIZE = 20

State = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Event:
    """`at` is microseconds since the epoch; `via` is *page*, *command* or another way in."""

    id: int
    at: int
    actor: str
    via: str
    action: str
    client: str | None
    subject: str
    before: State
    after: State

    @property
    def sentence(self) -> str:
        """What was done, to be read after the actor's name."""
        say = SENTENCES.get(self.action)
        return say(self) if say else f'{self.action} {self.subject}'

    @property
    def until(self) -> int | None:
        """Until when that holds, microseconds since the epoch, where the sentence is to be completed so."""
        ends = (self.after.get('works_until'), self.before.get('expires_at'))
        return min(end for end in ends if end) if ends[0] and self.action == 'key.rotated' else None


def history_of(actor: Actor, client_id: int, *, settings: Settings, limit: int = PAGE_SIZE) -> list[Event]:
    """The newest events of a client, newest first."""
    permissions.require(actor, Action.SEE_CLIENT, settings, client_id)
    return _events(models.AuditEvent.account == client_id, limit=limit)


def audit_events(
    actor: Actor,
    *,
    settings: Settings,
    client_id: int | None = None,
    by: str = '',
    since: int | None = None,
    limit: int | None = None,
) -> list[Event]:
    """Every event that matches, newest first: of a client, by an actor (an e-mail address), at or after `since`."""
    permissions.require(actor, Action.READ_AUDIT, settings)
    event, wanted = models.AuditEvent, []
    if client_id is not None:
        wanted.append(event.account == client_id)
    if by:
        wanted.append(fn.lower(event.actor) == by.casefold())
    if since is not None:
        wanted.append(event.at >= since)
    return _events(*wanted, limit=limit)


def _events(*wanted: Any, limit: int | None) -> list[Event]:
    event, account = models.AuditEvent, models.Account
    query = (
        event.select(
            event.id,
            event.at,
            event.actor,
            event.via,
            event.action,
            account.name,
            event.subject,
            event.before,
            event.after,
        )
        .left_outer_join(account, on=(account.id == event.account) & (account.kind == models.CLIENT))
        .order_by(event.id.desc())
        .limit(limit)
    )
    if wanted:
        query = query.where(*wanted)
    return [_event(row) for row in tuples(query)]


def _event(row: tuple[Any, ...]) -> Event:
    event_id, at, actor, via, action, client, subject, before, after = row
    return Event(event_id, at, actor, via, action, client, subject, json.loads(before), json.loads(after))


def _names(event: Event) -> str:
    return f'from "{event.before.get("name")}" to "{event.after.get("name")}"'


def _key_created(event: Event) -> str:
    return f'made the key "{event.after.get("name")}" ({event.subject})'


def _key_revoked(event: Event) -> str:
    name = event.before.get('name')
    return f'revoked the key "{name}" ({event.subject})' if name else f'revoked the key {event.subject}'


def _key_rotated(event: Event) -> str:
    old = 'works on' if event.until else 'stopped working'
    return f'rotated the key "{event.before.get("name")}": {event.after.get("hint")} is new, {event.subject} {old}'


def _manager_added(event: Event) -> str:
    return f'made {event.subject} {"the owner" if event.after.get("owner") else "a manager"}'


def _manager_removed(event: Event) -> str:
    return f'removed {event.subject} from its managers'


def _user_created(event: Event) -> str:
    return 'signed in for the first time' if event.actor == event.subject else f'made the user {event.subject}'


SENTENCES: Mapping[str, Callable[[Event], str]] = {
    'demo.made': lambda event: f'filled the database with a demo of {event.after.get("clients"):,} clients',
    'client.created': lambda event: 'created the client',
    'client.renamed': lambda event: f'renamed it {_names(event)}',
    'client.activated': lambda event: 'activated the client',
    'client.deactivated': lambda event: 'deactivated the client',
    'key.created': _key_created,
    'key.revoked': _key_revoked,
    'key.rotated': _key_rotated,
    'manager.added': _manager_added,
    'manager.removed': _manager_removed,
    'manager.left': lambda event: 'left its managers',
    'owner.changed': lambda event: f'made {event.subject} the owner',
    'model.acknowledged': lambda event: f'acknowledged the model "{event.subject}"',
    'user.created': _user_created,
    'user.renamed': lambda event: f'renamed the user {event.subject} {_names(event)}',
}
