import json
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

import models
from lumen.database import Database
from lumen.errors import Conflict, Invalid, NotFound
from lumen.identity import keys, revisions
from lumen.identity.keys import NewKey
from lumen.identity.permissions import COMMAND_LINE
from lumen.records import clients
from tests.conftest import Clock
from tests.lumen import factories

CONFIGURED = factories.settings()
SECRET = factories.SECRET


def make(database: Database, name: str = 'nightly', expires_at: int | None = None) -> NewKey:
    def create() -> NewKey:
        client_id = clients.find_by_name('bot') or factories.client('bot', CONFIGURED, 'max@example.org')
        return keys.create_key(COMMAND_LINE, client_id, name, expires_at, settings=CONFIGURED, secret=SECRET)

    return database.write_now(create)


def test_a_key_has_the_shape_that_scanners_know(database: Database):
    new = make(database)
    assert new.key.startswith('sk_lumen_')
    assert len(new.key) == 9 + 32 + 6
    assert keys.looks_valid(new.key)
    number = 0
    for character in new.key[-6:]:
        number = number * 62 + keys.ALPHABET.index(character)
    assert number == zlib.crc32(new.key[:-6].encode())
    assert new.hint == f'{new.key[:13]}…{new.key[-4:]}'


@given(position=st.integers(0, 46), replacement=st.characters(codec='utf-8'))
def test_one_wrong_character_is_refused_without_a_look_up(position: int, replacement: str):
    key = keys._new_key()
    if key[position] == replacement:
        return
    assert not keys.looks_valid(key[:position] + replacement + key[position + 1 :])


@pytest.mark.parametrize('text', ['', 'sk_lumen_', 'sk-1234', 'sk_lumen_' + 'é' * 38, 'sk_lumen_' + '0' * 38 + '\n'])
def test_what_is_no_key_is_refused(text: str):
    assert not keys.looks_valid(text)


def test_only_the_hmac_is_stored_and_nothing_else_tells_the_key(database: Database):
    new = make(database)

    def everything() -> str:
        return repr([list(table.select().dicts()) for table in models.TABLES])

    stored = database.read_now(everything)
    assert new.key not in stored
    assert new.key[9:41] not in stored
    assert keys.digest(new.key, SECRET) in stored
    assert new.key not in repr(new)
    assert keys.digest(new.key, b'another secret') != keys.digest(new.key, SECRET)


def test_a_key_is_found_by_its_digest(database: Database):
    new = make(database)
    found = database.read_now(keys.find, keys.digest(new.key, SECRET))
    assert found is not None
    assert (found.key_id, found.handle, found.account_active, found.revoked) == (new.id, 'bot', True, False)
    assert database.read_now(keys.find, 'nothing') is None


def test_a_revoked_key_is_listed_only_when_asked_for(database: Database, clock: Clock):
    new = make(database)
    before = database.read_now(revisions.numbers)
    database.write_now(keys.revoke_key, COMMAND_LINE, new.id, settings=CONFIGURED)
    assert database.read_now(revisions.numbers)['keys'] == before['keys'] + 1
    client_id = database.read_now(clients.find_by_name, 'bot')
    assert client_id is not None
    assert database.read_now(keys.keys_of, COMMAND_LINE, client_id, settings=CONFIGURED) == []
    listed = database.read_now(keys.keys_of, COMMAND_LINE, client_id, settings=CONFIGURED, include_revoked=True)
    assert [(row.state, row.revoked_at) for row in listed] == [('revoked', clock())]


def test_revoking_twice_is_audited_once(database: Database):
    new = make(database)
    for _ in range(2):
        database.write_now(keys.revoke_key, COMMAND_LINE, new.id, settings=CONFIGURED)
    actions = [action for _, action, _ in database.read_now(factories.audited)]
    assert actions.count('key.revoked') == 1
    events = database.read_now(lambda: repr(list(models.AuditEvent.select().dicts())))
    assert new.key not in events
    assert new.hint in events


def test_an_expiry_lies_in_the_future_and_then_passes(database: Database, clock: Clock):
    with pytest.raises(Invalid) as refused:
        make(database, expires_at=clock())
    assert refused.value.param == 'expires_at'
    make(database, expires_at=clock() + 1)
    clock.advance(seconds=1)
    client_id = database.read_now(clients.find_by_name, 'bot')
    assert client_id is not None
    (row,) = database.read_now(keys.keys_of, COMMAND_LINE, client_id, settings=CONFIGURED)
    assert row.state == 'expired'


@pytest.mark.parametrize('name', ['', '   ', 'x' * 65, 'two\nlines', 'nul\x00'])
def test_a_bad_name_is_refused_with_its_reason(database: Database, name: str):
    with pytest.raises(Invalid) as refused:
        make(database, name)
    assert refused.value.param == 'name'


def test_a_deactivated_client_gets_no_key(database: Database):
    make(database)
    client_id = database.read_now(clients.find_by_name, 'bot')
    assert client_id is not None
    database.write_now(clients.set_active, COMMAND_LINE, client_id, False, settings=CONFIGURED)
    with pytest.raises(Conflict, match='deactivated'):
        make(database)


def test_keys_of_others_are_not_revealed(database: Database):
    new = make(database)
    stranger = database.write_now(factories.user, 'stranger@example.org', CONFIGURED)
    messages = set()
    for key_id in (new.id, 999_999):
        with pytest.raises(NotFound) as hidden:
            database.write_now(keys.revoke_key, stranger, key_id, settings=CONFIGURED)
        messages.add(hidden.value.message)
    assert len(messages) == 1


def test_a_manager_manages_keys(database: Database):
    new = make(database)
    manager = database.write_now(factories.user, 'max@example.org', CONFIGURED)
    database.write_now(keys.revoke_key, manager, new.id, settings=CONFIGURED)
    assert database.read_now(factories.audited)[-1] == ('max@example.org', 'key.revoked', new.hint)


def test_revoking_an_expired_key_says_what_it_was(database: Database, clock: Clock):
    new = make(database, expires_at=clock() + 1)
    clock.advance(seconds=1)
    database.write_now(keys.revoke_key, COMMAND_LINE, new.id, settings=CONFIGURED)
    event = database.read_now(lambda: models.AuditEvent.select().order_by(models.AuditEvent.id.desc()).first())
    assert event.action == 'key.revoked'
    assert json.loads(event.before) == {'name': 'nightly', 'state': 'expired'}
    assert json.loads(event.after) == {'name': 'nightly', 'state': 'revoked'}
