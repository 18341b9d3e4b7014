"""Behind pgbouncer in transaction mode, where every transaction may get another connection."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import psycopg
import pytest

import models
from lumen import schema
from lumen.database import Database, now
from prove import pgbouncer

only_pooled = pytest.mark.parametrize('database_url', ['pooled'], indirect=True)
LONG = 30


def add_client(name: str) -> int:
    moment = now()
    return models.Account.create(
        kind='client', handle=name, name=name, created_at=moment, created_by='test', touched_at=moment
    ).id


def test_the_schema_is_made_through_it(postgresql_server: str, pooler: pgbouncer.Pooler):
    name = f'lumen_{uuid4().hex}'
    with psycopg.connect(postgresql_server, autocommit=True) as server:
        server.execute(f'create database {name}')
        database = Database(pooler.behind(postgresql_server.replace('/postgres?', f'/{name}?')))
        try:
            schema.migrate(database)
            database.write_now(add_client, 'one')
            assert database.read_now(models.Account.select().count) == 1
        finally:
            database.close()
            server.execute(f'drop database {name} with (force)')


@only_pooled
def test_many_share_few_connections_and_nothing_of_a_session(postgresql_server: str, database_url: str):
    """Two dozen threads have a connection each to the pooler; the server has no more than that may make."""
    database = Database(database_url, readers=24)
    name = database_url.rpartition('/')[2].partition('?')[0]
    question = 'select count(*) from pg_stat_activity where datname = %s'
    most = 0
    try:
        with psycopg.connect(postgresql_server, autocommit=True) as server, ThreadPoolExecutor(24) as threads:
            for turn in range(5):
                writes = [database.submit(add_client, f'{turn}-{number}') for number in range(20)]
                reads = [threads.submit(database.read_now, models.Account.select().count) for _ in range(24)]
                assert all(future.result(LONG) > 0 for future in writes)
                assert all(future.result(LONG) <= 20 * (turn + 1) for future in reads)
                found = server.execute(question, (name,)).fetchone()
                most = max(most, found[0] if found else 0)
        assert database.read_now(models.Account.select().count) == 100
    finally:
        database.close()
    assert 0 < most <= pgbouncer.CONNECTIONS
