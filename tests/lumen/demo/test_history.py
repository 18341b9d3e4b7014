from __future__ import annotations

import json
from collections import defaultdict
from typing import Any

import models
from lumen.config.settings import Settings
from lumen.database import Database
from lumen.identity import keys
from lumen.identity.permissions import COMMAND_LINE
from lumen.records import clients
from tests.lumen import factories
from tests.lumen.demo.conftest import make, settings


def events(database: Database) -> list[models.AuditEvent]:
    return database.read_now(lambda: list(models.AuditEvent.select().order_by(models.AuditEvent.id)))


def shape(event: models.AuditEvent) -> tuple[Any, ...]:
    before, after = json.loads(event.before), json.loads(event.after)
    return event.action, event.account_id is None, tuple(before), tuple(after)


def really(configured: Settings) -> None:
    """Within a write: what the pages do, so that its traces can be compared."""
    client_id = factories.client('real', configured, 'max@example.org')
    new = keys.create_key(COMMAND_LINE, client_id, 'laptop', None, settings=configured, secret=factories.SECRET)
    keys.revoke_key(COMMAND_LINE, new.id, settings=configured)
    clients.set_active(COMMAND_LINE, client_id, False, settings=configured)


def test_events_are_as_the_pages_would_have_written_them(database: Database):
    make(database)
    made_up = {shape(event) for event in events(database)} - {
        ('demo.made', True, (), ('clients', 'days', 'requests', 'seed'))
    }
    last = events(database)[-1].id
    database.write_now(really, settings())
    real = {shape(event) for event in events(database) if event.id > last}
    assert made_up == real


def test_history_begins_with_the_making_and_is_in_the_order_of_time(database: Database):
    make(database)
    found = events(database)
    assert [event.at for event in found] == sorted(event.at for event in found)
    by_client = defaultdict(list)
    for event in found:
        by_client[event.account_id].append(event)
    own = by_client.pop(None)
    assert [(event.action, event.via) for event in own] == [('demo.made', 'command')]
    assert len(by_client) == 60
    for history in by_client.values():
        assert history[0].action == 'client.created'
    query = models.ApiKey.select()
    hints = {key.hint: key.created_by for key in database.read_now(lambda: list(query))}
    created = {event.subject: event.actor for event in found if event.action == 'key.created'}
    assert created == hints


def test_only_those_act_who_may_at_that_time(database: Database):
    make(database)
    query = models.Manager.select()
    since = {(link.client_id, link.user_id): link for link in database.read_now(lambda: list(query))}
    for event in events(database):
        if event.actor.startswith('command line (') or event.actor == 'admin@example.org':
            assert event.via == ('page' if '@' in event.actor else 'command')
            continue
        link = since[event.account_id, event.actor_account_id]
        assert link.added_at <= event.at
        if event.action in ('manager.added', 'client.deactivated'):
            assert link.is_owner
