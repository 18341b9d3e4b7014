"""Every function that changes something: what the audit says of it exactly, and that it happens only together with it.

The functions and how they are called are those of the walk, `tests/walk/test_functions.py`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import peewee
import pytest

import models
from lumen.database import Database, now
from lumen.identity import keys, people
from lumen.identity.permissions import Actor
from lumen.identity.rotation import rotate_key
from lumen.records import clients, managers
from lumen.records.acknowledgements import digest_of
from tests.conftest import Clock
from tests.lumen import factories
from tests.walk.test_functions import CONFIGURED, FUNCTIONS, Call, K, S, Target, target

ADMIN, MANAGER = 'admin@example.org', 'manager@example.org'
DAY_US = 86_400_000_000


@dataclass(frozen=True)
class Event:
    """`about` is the account that it is told of: the client, unless it says otherwise."""

    action: str
    subject: str
    before: dict[str, Any]
    after: dict[str, Any]
    about: int | None = None


@dataclass(frozen=True)
class Change:
    """`events` are told by the target, what the call returned, and the time of it."""

    function: str
    events: Callable[[Target, Any, int], list[Event]]
    call: Call | None = None
    actor: str = ADMIN

    def __str__(self) -> str:
        return self.function if self.call is None else f'{self.function} otherwise'

    def make(self, actor: Actor, aim: Target) -> Any:
        return (self.call or FUNCTIONS[self.function][1])(actor, aim)


def hint(key_id: int) -> str:
    return str(models.ApiKey.get_by_id(key_id).hint)


def user_id(email: str) -> int:
    return int(models.Account.get(models.Account.handle == email).id)


CHANGES = (
    Change(
        'records.clients.create_client',
        lambda t, made, at: [Event('client.created', 'new', {}, {'name': 'new', 'active': True}, about=made)],
    ),
    Change(
        'records.clients.rename_client',
        lambda t, made, at: [Event('client.renamed', 'x', {'name': 'bot'}, {'name': 'x'})],
    ),
    Change(
        'records.clients.set_active',
        lambda t, made, at: [Event('client.deactivated', 'bot', {'active': True}, {'active': False})],
    ),
    Change(
        'records.clients.set_active',
        lambda t, made, at: [
            Event('client.deactivated', 'bot', {'active': True}, {'active': False}),
            Event('client.activated', 'bot', {'active': False}, {'active': True}),
        ],
        lambda a, t: [clients.set_active(a, t.client_id, active, **S) for active in (False, False, True, True)],
    ),
    Change(
        'records.managers.add_manager',
        lambda t, made, at: [
            Event(
                'user.created', 'new@example.org', {}, {'email': 'new@example.org'}, about=user_id('new@example.org')
            ),
            Event('manager.added', 'new@example.org', {}, {'email': 'new@example.org', 'owner': False}),
        ],
    ),
    Change(
        'records.managers.add_manager',
        lambda t, made, at: [
            Event(
                'manager.added',
                'user@example.org',
                {'owner': 'owner@example.org'},
                {'email': 'user@example.org', 'owner': True},
            )
        ],
        lambda a, t: managers.add_manager(a, t.client_id, 'User@example.org', as_owner=True, **S),
    ),
    Change(
        'records.managers.hand_over',
        lambda t, made, at: [
            Event(
                'owner.changed', 'person@example.org', {'owner': 'owner@example.org'}, {'owner': 'person@example.org'}
            )
        ],
    ),
    Change(
        'records.managers.remove_manager',
        lambda t, made, at: [
            Event('manager.removed', 'person@example.org', {'email': 'person@example.org', 'owner': False}, {})
        ],
    ),
    Change(
        'records.managers.remove_manager',
        lambda t, made, at: [
            Event('manager.removed', 'owner@example.org', {'email': 'owner@example.org', 'owner': True}, {})
        ],
        lambda a, t: managers.remove_manager(a, t.client_id, user_id('owner@example.org'), **S),
    ),
    Change(
        'records.managers.leave',
        lambda t, made, at: [Event('manager.left', MANAGER, {'email': MANAGER, 'owner': False}, {})],
        actor=MANAGER,
    ),
    Change(
        'records.acknowledgements.acknowledge',
        lambda t, made, at: [
            Event('model.acknowledged', 'careful', {}, {'model': 'careful', 'message_digest': digest_of('Read me.')})
        ],
    ),
    Change(
        'identity.keys.create_key',
        lambda t, made, at: [
            Event('key.created', hint(made.id), {}, {'name': 'k', 'hint': hint(made.id), 'expires_at': None})
        ],
    ),
    Change(
        'identity.keys.create_key',
        lambda t, made, at: [
            Event('key.created', hint(made.id), {}, {'name': 'k', 'hint': hint(made.id), 'expires_at': at + DAY_US})
        ],
        lambda a, t: keys.create_key(a, t.client_id, ' k ', now() + DAY_US, **K),
    ),
    Change(
        'identity.keys.revoke_key',
        lambda t, made, at: [
            Event(
                'key.revoked',
                hint(t.key_id),
                {'name': 'key', 'state': 'active'},
                {'name': 'key', 'state': 'revoked'},
            )
        ],
    ),
    Change(
        'identity.rotation.rotate_key',
        lambda t, made, at: [
            Event(
                'key.rotated',
                hint(t.key_id),
                {'name': 'key', 'hint': hint(t.key_id), 'expires_at': None},
                {'hint': hint(made.id), 'expires_at': None, 'works_until': None},
            )
        ],
    ),
    Change(
        'identity.rotation.rotate_key',
        lambda t, made, at: [
            Event(
                'key.rotated',
                hint(t.key_id),
                {'name': 'key', 'hint': hint(t.key_id), 'expires_at': None},
                {'hint': hint(made.id), 'expires_at': at + 2 * DAY_US, 'works_until': at + DAY_US},
            )
        ],
        lambda a, t: rotate_key(a, t.key_id, expires_at=now() + 2 * DAY_US, works_until=now() + DAY_US, **K),
    ),
)


@pytest.fixture
def aim(database: Database) -> Target:
    """A client with an owner, two managers and a key, and a user who has nothing to do with it."""
    database.write_now(factories.user, 'user@example.org', CONFIGURED)
    return database.write_now(target)


def actor_of(database: Database, email: str) -> Actor:
    return database.write_now(factories.user, email, CONFIGURED)


@pytest.mark.parametrize('change', CHANGES, ids=str)
def test_the_audit_tells_who_did_what_to_whom_and_what_was_before_and_after(
    database: Database, clock: Clock, aim: Target, change: Change
):
    actor = actor_of(database, change.actor)
    clock.advance(seconds=1)

    def make_and_tell() -> tuple[list[Any], list[Any]]:
        before = models.AuditEvent.select().count()
        made = change.make(actor, aim)
        meant = [
            (now(), change.actor, actor.account_id, 'page', event.about or aim.client_id, *told(event))
            for event in change.events(aim, made, now())
        ]
        rows = models.AuditEvent.select().order_by(models.AuditEvent.id).offset(before)
        return [(row.at, row.actor, row.actor_account, row.via, row.account_id, *stored(row)) for row in rows], meant

    found, meant = database.write_now(make_and_tell)
    assert found == meant


def told(event: Event) -> tuple[Any, ...]:
    return event.action, event.subject, event.before, event.after


def stored(row: models.AuditEvent) -> tuple[Any, ...]:
    return row.action, row.subject, json.loads(row.before), json.loads(row.after)


@pytest.mark.parametrize('change', CHANGES, ids=str)
def test_what_cannot_be_audited_is_not_done(database: Database, aim: Target, change: Change):
    actor = actor_of(database, change.actor)
    database.write_now(close_the_audit)
    before = database.read_now(everything)
    # Alone in its transaction, and as one of several that are committed together.
    for beside in (0, 2):
        futures = [
            database.submit(change.make, actor, aim),
            *(database.submit(models.Account.select().count) for _ in range(beside)),
        ]
        with pytest.raises(peewee.DatabaseError, match='the audit is closed'):
            futures[0].result(timeout=30)
        assert database.read_now(everything) == before


@pytest.mark.parametrize('is_there', [False, True])
def test_a_sign_in_that_cannot_be_audited_is_not_done(database: Database, is_there: bool):
    if is_there:  # under the name that was guessed for them, which the sign-in changes
        actor_of(database, 'max@example.org')
    database.write_now(models.Account.update(name='max').execute)
    database.write_now(close_the_audit)
    before = database.read_now(everything)
    with pytest.raises(peewee.DatabaseError, match='the audit is closed'):
        database.write_now(people.sign_in_dev, 'max@example.org', CONFIGURED)
    assert database.read_now(everything) == before


@pytest.mark.parametrize('database_url', ['sqlite'], indirect=True)
def test_every_function_that_changes_something_is_in_the_table(database: Database, aim: Target):
    admin = actor_of(database, ADMIN)
    database.write_now(managers.add_manager, admin, aim.client_id, ADMIN, **S)  # so that they have something to leave
    changing = {name for name, (_, call) in FUNCTIONS.items() if changes_something(database, admin, aim, call)}
    assert changing == {change.function for change in CHANGES}


def changes_something(database: Database, actor: Actor, aim: Target, call: Call) -> bool:
    class _Undone(Exception):
        pass

    found = []

    def look() -> None:
        connection = models.database.connection()
        before = connection.total_changes
        call(actor, aim)
        found.append(connection.total_changes > before)
        raise _Undone

    with pytest.raises(_Undone):
        database.write_now(look)
    return found[0]


def close_the_audit() -> None:
    """From now on the database takes no event."""
    if isinstance(models.database.obj, peewee.SqliteDatabase):
        statements = [
            'create trigger closed before insert on audit_event begin select raise(abort, "the audit is closed"); end'
        ]
    else:
        statements = [
            'create function closed() returns trigger language plpgsql as'
            " $$ begin raise exception 'the audit is closed'; end $$",
            'create trigger closed before insert on audit_event for each row execute function closed()',
        ]
    for statement in statements:
        models.database.execute_sql(statement)


def everything() -> dict[str, list[Any]]:
    """All rows of all tables."""
    tables = cast('list[type[peewee.Model]]', models.Table.__subclasses__())
    return {
        table.__name__: sorted(table.select().tuples(), key=repr) for table in tables if table.__name__ != 'Process'
    }
