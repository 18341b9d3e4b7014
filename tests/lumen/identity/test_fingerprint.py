import pytest

import models
from lumen.database import Database
from lumen.errors import ConfigurationError
from lumen.identity import fingerprint, keys
from lumen.identity.keys import NewKey
from lumen.identity.permissions import COMMAND_LINE
from lumen.identity.rotation import rotate_key
from lumen.ledger import recovery
from tests.conftest import Clock
from tests.lumen import factories

CONFIGURED = factories.settings()
SECRET, ANOTHER = factories.SECRET, b'another secret of as many letters'


def make(database: Database, secret: bytes = SECRET, expires_at: int | None = None) -> NewKey:
    client_id = database.write_now(the_client)
    return database.write_now(
        keys.create_key, COMMAND_LINE, client_id, 'k', expires_at, settings=CONFIGURED, secret=secret
    )


def the_client() -> int:
    found = models.Account.get_or_none(models.Account.handle == 'bot')
    return found.id if found else factories.client('bot', CONFIGURED)


def start(database: Database, secret: bytes) -> None:
    database.write_now(fingerprint.require_same, secret, settings=CONFIGURED)


def kept(database: Database) -> list[tuple[str, str]]:
    return database.read_now(lambda: list(models.Fingerprint.select().tuples()))


def test_the_first_secret_is_remembered_and_not_told(database: Database):
    make(database)
    start(database, SECRET)
    assert kept(database) == [('encryption_key', fingerprint.of(SECRET))]
    assert len(fingerprint.of(SECRET)) == 64
    assert fingerprint.of(SECRET) != keys.digest('', SECRET)


def test_another_secret_makes_no_key_and_serves_none_while_a_key_works(database: Database):
    first, second = make(database), make(database)
    for attempt in (make, start):
        with pytest.raises(ConfigurationError) as refused:
            attempt(database, ANOTHER)
        assert 'app.encryption_key (from ' in refused.value.message
        assert refused.value.message.endswith(f'with `lumen key revoke`: {first.id}, {second.id}')
    assert database.read_now(models.ApiKey.select().count) == 2
    make(database)


def test_keys_are_not_rotated_under_another_secret(database: Database):
    old = make(database)
    with pytest.raises(ConfigurationError):
        database.write_now(
            rotate_key, COMMAND_LINE, old.id, expires_at=None, works_until=None, settings=CONFIGURED, secret=ANOTHER
        )
    assert database.read_now(lambda: models.ApiKey.get().revoked_at) is None


def test_another_secret_takes_the_place_once_no_key_works(database: Database, clock: Clock):
    database.write_now(keys.revoke_key, COMMAND_LINE, make(database).id, settings=CONFIGURED)
    make(database, expires_at=clock() + 1_000_000)
    with pytest.raises(ConfigurationError):
        start(database, ANOTHER)
    clock.advance(seconds=1)
    start(database, ANOTHER)
    make(database, ANOTHER)
    with pytest.raises(ConfigurationError):
        make(database, SECRET)
    assert kept(database) == [('encryption_key', fingerprint.of(ANOTHER))]


def test_another_secret_does_not_take_the_place_of_one_that_is_served_with(database: Database, clock: Clock):
    start(database, SECRET)
    database.write_now(recovery.register, 'server', 'all', alone=False)
    with pytest.raises(ConfigurationError, match='or stop the process that serves with it'):
        make(database, ANOTHER)
    clock.advance(seconds=31)
    make(database, ANOTHER)


def test_ten_keys_are_named_at_the_most(database: Database):
    for _ in range(12):
        last = make(database)
    with pytest.raises(ConfigurationError) as refused:
        start(database, ANOTHER)
    assert refused.value.message.endswith(f'{last.id - 2}, ...')
