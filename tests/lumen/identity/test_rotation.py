import pytest

import models
from lumen.database import Database
from lumen.errors import Conflict, Invalid, NotFound
from lumen.identity import keys, revisions
from lumen.identity.keys import NewKey
from lumen.identity.permissions import COMMAND_LINE, Actor
from lumen.identity.rotation import MAX_GRACE_US, rotate_key, same_expiry
from lumen.records import clients
from tests.conftest import Clock
from tests.lumen import factories

CONFIGURED = factories.settings()
SECRET = factories.SECRET
HOUR_US = 3_600_000_000


def make(database: Database, expires_at: int | None = None) -> NewKey:
    client_id = database.write_now(factories.client, 'bot', CONFIGURED, 'max@example.org')
    return database.write_now(
        keys.create_key, COMMAND_LINE, client_id, 'nightly', expires_at, settings=CONFIGURED, secret=SECRET
    )


def rotate(
    database: Database,
    key_id: int,
    *,
    expires_at: int | None = None,
    works_until: int | None = None,
    actor: Actor = COMMAND_LINE,
) -> NewKey:
    return database.write_now(
        rotate_key,
        actor,
        key_id,
        expires_at=expires_at,
        works_until=works_until,
        settings=CONFIGURED,
        secret=SECRET,
    )


def states(database: Database) -> list[tuple[str, str]]:
    client_id = database.read_now(clients.find_by_name, 'bot')
    assert client_id is not None
    rows = database.read_now(keys.keys_of, COMMAND_LINE, client_id, settings=CONFIGURED, include_revoked=True)
    return [(row.name, row.state) for row in rows]


def test_the_old_key_works_until_its_grace_ends_and_then_expires(database: Database, clock: Clock):
    old = make(database)
    new = rotate(database, old.id, works_until=clock() + HOUR_US)
    assert new.key != old.key
    assert keys.looks_valid(new.key)
    assert states(database) == [('nightly', 'active'), ('nightly', 'active')]
    clock.advance(hours=1)
    assert states(database) == [('nightly', 'active'), ('nightly', 'expired')]


def test_without_grace_the_old_key_is_revoked_at_once(database: Database):
    old = make(database)
    before = database.read_now(revisions.numbers)[revisions.KEYS]
    rotate(database, old.id)
    assert states(database) == [('nightly', 'active'), ('nightly', 'revoked')]
    assert database.read_now(revisions.numbers)[revisions.KEYS] > before


def test_a_key_that_ends_earlier_still_does(database: Database, clock: Clock):
    old = make(database, expires_at=clock() + HOUR_US)
    rotate(database, old.id, works_until=clock() + 5 * HOUR_US)
    assert database.read_now(lambda: models.ApiKey.get_by_id(old.id).expires_at) == clock() + HOUR_US


def test_the_grace_is_at_most_thirty_days_and_lies_ahead(database: Database, clock: Clock):
    old = make(database)
    for wrong in (clock() + MAX_GRACE_US + 1, clock(), clock() - 1):
        with pytest.raises(Invalid) as refused:
            rotate(database, old.id, works_until=wrong)
        assert refused.value.param == 'works_until'
    with pytest.raises(Invalid) as refused:
        rotate(database, old.id, expires_at=clock())
    assert refused.value.param == 'expires_at'
    assert states(database) == [('nightly', 'active')]
    rotate(database, old.id, works_until=clock() + MAX_GRACE_US)
    assert len(states(database)) == 2


def test_a_key_that_does_not_work_any_more_is_not_rotated(database: Database, clock: Clock):
    old = make(database, expires_at=clock() + HOUR_US)
    clock.advance(hours=2)
    with pytest.raises(Conflict, match='is expired'):
        rotate(database, old.id)
    database.write_now(keys.revoke_key, COMMAND_LINE, old.id, settings=CONFIGURED)
    with pytest.raises(Conflict, match='is revoked'):
        rotate(database, old.id)


def test_a_key_of_others_is_not_found(database: Database):
    old = make(database)
    stranger = database.write_now(factories.user, 'amy@example.org', CONFIGURED)
    for key_id in (old.id, 999_999):
        with pytest.raises(NotFound, match=r'There is no such key\.'):
            rotate(database, key_id, actor=stranger)


def test_a_deactivated_clients_key_is_not_rotated(database: Database):
    old = make(database)
    client_id = database.read_now(clients.find_by_name, 'bot')
    assert client_id is not None
    database.write_now(clients.set_active, COMMAND_LINE, client_id, False, settings=CONFIGURED)
    with pytest.raises(Conflict, match='deactivated'):
        rotate(database, old.id)


def test_a_rotation_is_one_event_with_both_keys_and_no_secret(database: Database, clock: Clock):
    old = make(database)
    new = rotate(database, old.id, works_until=clock() + HOUR_US)
    events = database.read_now(lambda: list(models.AuditEvent.select().order_by(models.AuditEvent.id)))
    assert events[-1].action == 'key.rotated'
    assert [event.action for event in events].count('key.created') == 1
    assert events[-1].subject == old.hint
    assert new.hint in events[-1].after
    assert new.key not in repr([event.__data__ for event in events])


def test_a_new_key_expires_as_the_old_one_was_made_to():
    made_at, later = 1_700_000_000_123_456, 1_701_000_000_000_007
    assert same_expiry(made_at, None, later) is None
    for length in (12 * HOUR_US, 90 * 24 * HOUR_US):
        assert same_expiry(made_at, made_at + length, later) == later + length
    end_of_a_day = 1_767_225_599_000_000
    assert same_expiry(made_at, end_of_a_day, later) == end_of_a_day
