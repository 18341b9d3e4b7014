"""Migrating from empty must give exactly what `models.py` says: the two are written separately."""

import re
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import peewee
import psycopg
import pytest
from playhouse.migrations import Runner

import models
from lumen import schema
from lumen.database import Database
from lumen.errors import MigrationsPending
from tests.conftest import wait_until

TABLES = [table for table in models.Table.__subclasses__() if table.__module__ == 'models']


def described(database: Database) -> dict[str, Any]:
    """Every table of a database: columns, primary key, indexes, foreign keys and checks."""
    engine = database.engine
    return {
        name: {
            'columns': columns(database, name),
            'primary key': engine.get_primary_keys(name),
            'indexes': sorted(
                (index.name, index.columns, index.unique, index.sql) for index in engine.get_indexes(name)
            ),
            'foreign keys': sorted(engine.get_foreign_keys(name)),
            'checks': checks(database, name),
        }
        for name in engine.get_tables()
        if name != 'schema_migration'
    }


def columns(database: Database, table: str) -> list[tuple[Any, ...]]:
    if database.is_sqlite:
        return sorted(tuple(column) for column in database.engine.get_columns(table))
    rows = database.engine.execute_sql(
        """
        select attname, format_type(atttypid, atttypmod), attnotnull, attidentity, pg_get_expr(adbin, adrelid)
        from pg_attribute left join pg_attrdef on adrelid = attrelid and adnum = attnum
        where attrelid = %s::regclass and attnum > 0 order by attname
        """,
        (table,),
    )
    return list(rows.fetchall())


def checks(database: Database, table: str) -> list[str]:
    if database.is_sqlite:
        sql = database.engine.execute_sql('select sql from sqlite_master where name = ?', (table,)).fetchone()[0]
        return sorted(re.findall(r'(?:CHECK|CONSTRAINT|REFERENCES)\b[^,]*', sql, re.IGNORECASE))
    rows = database.engine.execute_sql(
        'select pg_get_constraintdef(oid) from pg_constraint where conrelid = %s::regclass', (table,)
    )
    return sorted(row[0] for row in rows.fetchall())


def make_tables(database: Database) -> None:
    database.engine.create_tables(TABLES, safe=False)


@pytest.fixture
def from_models(request: pytest.FixtureRequest, database_url: str, tmp_path: Path) -> Any:
    """The address of an empty database on the same engine as `database_url`."""
    if database_url.startswith('sqlite'):
        yield f'sqlite:///{tmp_path}/from_models.db'
        return
    server = request.getfixturevalue('postgresql_server')
    name = f'{tmp_path.name}_models'.replace('-', '_').lower()[-60:]
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f'create database "{name}"')
        yield database_url.replace(re.search(r'/(lumen_[0-9a-f]{32})\?', database_url)[1], name)
        connection.execute(f'drop database "{name}" with (force)')


def test_migrating_from_empty_gives_the_models(
    database_url: str, from_models: str, new_database: Callable[[str], Database]
):
    migrated = new_database(database_url)
    steps = migrated.read_now(described, migrated)
    made = new_database(from_models)
    made.write_now(make_tables, made)
    assert {table._meta.table_name for table in TABLES} == set(steps)
    assert steps == made.read_now(described, made)


def test_every_step_is_applied_once(database_url: str, new_database: Callable[[str], Database]):
    database = new_database(database_url)
    assert schema.pending(database) == []
    assert schema.migrate(database) == []
    schema.require_current(database)


def test_a_database_that_is_behind_is_refused_with_what_to_do(tmp_path: Path, new_database: Callable[[str], Database]):
    database = new_database(f'sqlite:///{tmp_path}/empty.db')
    with pytest.raises(MigrationsPending, match=r'0001_first_schema, .*; run `lumen migrate`'):
        schema.require_current(database)


@pytest.mark.parametrize('database_url', ['postgresql'], indirect=True)
@pytest.mark.parametrize('there', [None, '0001_first_schema', '0003_fingerprint', '0004_audit_without_replacing'])
def test_of_two_processes_that_migrate_at_once_one_does_it(
    from_models: str, new_database: Callable[[str], Database], monkeypatch: pytest.MonkeyPatch, there: str | None
):
    first, second = new_database(from_models), new_database(from_models)
    if there is not None:
        first.write_now(Runner(first.engine, directory=str(schema.DIRECTORY)).up, there)
    missing = schema.pending(first)

    def somebody_waits() -> bool:
        with psycopg.connect(from_models) as connection:
            waiting = "select 1 from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
            return connection.execute(waiting).fetchone() is not None

    class Slow(Runner):
        """The first one commits only when the other one has come as far as to wait for it."""

        def up(self, *_: Any) -> Any:
            found = super().up()
            if self.database is first.engine:
                done.set()
                wait_until(somebody_waits)
            return found

    done = threading.Event()
    monkeypatch.setattr(schema, 'Runner', Slow)
    with ThreadPoolExecutor(max_workers=2) as threads:
        by_first = threads.submit(schema.migrate, first)
        assert done.wait(30)
        by_second = threads.submit(schema.migrate, second)
        assert [by_first.result(30), by_second.result(30)] == [missing, []]
    schema.require_current(second)


@pytest.mark.parametrize('database_url', ['postgresql'], indirect=True)
def test_a_step_that_fails_by_itself_is_not_tried_for_ever(
    from_models: str, new_database: Callable[[str], Database], monkeypatch: pytest.MonkeyPatch
):
    database = new_database(from_models)

    class Broken(Runner):
        def up(self, *_: Any) -> None:
            database.engine.execute_sql('drop table nonsense')

    monkeypatch.setattr(schema, 'Runner', Broken)
    with pytest.raises(peewee.ProgrammingError, match='nonsense'):
        schema.migrate(database)
