"""What a database that cannot be used is told to be: by the errors that real databases raise."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

import models
from lumen import schema
from lumen.database import Database
from lumen.errors import DatabaseUnavailable
from tests.lumen import factories

CONFIGURED = factories.settings()


def fault(call: Callable[[], object]) -> DatabaseUnavailable:
    with pytest.raises(DatabaseUnavailable) as raised:
        call()
    assert '\n' not in str(raised.value)
    assert raised.value.message == 'Lumen cannot use its database at the moment. Please try again.'
    return raised.value


def test_a_disk_that_is_full(tmp_path: Path, new_database: Callable[[str], Database]):
    database = new_database(f'sqlite:///{tmp_path}/lumen.db')
    schema.migrate(database)

    def fill() -> None:
        pages = database.engine.execute_sql('pragma page_count').fetchone()[0]
        database.engine.execute_sql(f'pragma max_page_count = {pages}')
        for number in range(10_000):
            factories.client(f'bot {number}', CONFIGURED)

    found = fault(lambda: database.write_now(fill))
    assert found.cause.startswith('the database has no room left: ')
    assert found.remedy == 'free some space on its disk'
    assert database.read_now(models.Account.select().count) == 0


def test_a_write_to_what_can_only_be_read(database: Database):
    found = fault(lambda: database.read_now(factories.client, 'bot', CONFIGURED))
    assert found.cause.startswith('the database can only be read: ')


def test_a_server_that_is_not_there(new_database: Callable[[str], Database]):
    database = new_database('postgresql://lumen:hunter2@127.0.0.1:1/lumen')
    for ask in (database.read_now, database.write_now):
        found = fault(lambda ask=ask: ask(models.Account.select().count))
        assert found.cause.startswith('the database cannot be used: ')
        assert 'hunter2' not in str(found)


def test_a_server_that_has_no_such_database(postgresql_server: str, new_database: Callable[[str], Database]):
    database = new_database(postgresql_server.replace('/postgres?', '/nowhere?'))
    found = fault(lambda: database.read_now(models.Account.select().count))
    assert found.cause.startswith('the database does not exist: ')
    assert found.remedy == 'create it, or correct the address'


def test_a_file_that_is_no_database(tmp_path: Path, new_database: Callable[[str], Database]):
    (tmp_path / 'letter.db').write_text('Dear reader, ' * 1000)
    database = new_database(f'sqlite:///{tmp_path}/letter.db')
    found = fault(lambda: database.read_now(models.Account.select().count))
    assert found.cause.startswith('the database is no database of Lumen, or is damaged: ')


def test_a_folder_that_is_gone(tmp_path: Path, new_database: Callable[[str], Database]):
    folder = tmp_path / 'data'
    database = new_database(f'sqlite:///{folder}/lumen.db')
    folder.rmdir()
    found = fault(database.claim_serving)
    assert found.cause == f'the database cannot be opened: no file can be made in {folder}: no such file or directory'
    assert found.remedy.startswith('check that the folder exists')
    found = fault(lambda: database.read_now(models.Account.select().count))
    assert found.cause.startswith('the database cannot be opened: ')


def test_a_folder_that_holds_no_files_is_not_called_full(new_database: Callable[[str], Database]):
    """Nor read-only, where this user is let write to whatever can be written to."""
    database = new_database('sqlite:////proc/lumen.db')
    for ask in (database.claim_serving, lambda: database.read_now(models.Account.select().count)):
        found = fault(ask)
        assert 'no room left' not in found.cause
        assert os.geteuid() != 0 or found.cause.startswith('the database cannot be opened: ')
