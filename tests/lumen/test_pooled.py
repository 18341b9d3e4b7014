"""Behind a pooler in transaction mode: any transaction may find itself on another connection than the one before."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from lumen.database import Database
from lumen.identity import revisions
from lumen.ledger import Ledger, recovery
from lumen.ledger.check import differences
from tests.lumen.ledger.accounts import account, ask, open_client, outcome, settings
from tests.lumen.ledger.test_ledger import Source
from tests.lumen.test_database import only_postgresql

POOL = settings(max='100', refresh='1', starting='100')
CALLS = 8
"""More than the five executions after which psycopg would prepare a statement."""

LEFT_BEHIND = """
    select 'prepared statement' from pg_prepared_statements
    union all select 'listens' from pg_listening_channels()
    union all select 'advisory lock' from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()
    union all select 'setting ' || name from pg_settings where source = 'session' and name <> all(%s)
    union all select 'temporary table ' || relname from pg_class where relnamespace = pg_my_temp_schema()
"""
OF_A_TRANSACTION = ['transaction_isolation', 'transaction_read_only', 'transaction_deferrable']


async def serve_calls(database: Database) -> int:
    """What a gateway does all day. Returns the account."""
    ledger = Ledger(database, Source(POOL))
    client = await database.write(open_client, POOL)
    await ledger.start('gateway')
    for _ in range(CALLS):
        held = await ledger.hold(await database.read(ask, *client))
        await ledger.extend(held, held.amount + 1)
        await asyncio.wrap_future(ledger.settle(held, outcome(10, 20)))
        await database.write(revisions.bump, revisions.KEYS)
        await database.read(revisions.numbers)
        await ledger.beat()
    await ledger.stop()
    return client[0]


@only_postgresql
async def test_nothing_of_what_a_gateway_does_stays_with_its_connections(
    database_url: str, new_database: Callable[[str], Database]
):
    database = new_database(database_url)
    await serve_calls(database)

    def left_behind() -> list[str]:
        return [row[0] for row in database.engine.execute_sql(LEFT_BEHIND, (OF_A_TRANSACTION,)).fetchall()]

    assert await database.write(left_behind) == []
    assert await database.read(left_behind) == []


@only_postgresql
async def test_every_transaction_may_have_another_connection(
    database_url: str, new_database: Callable[[str], Database], monkeypatch: pytest.MonkeyPatch
):
    transaction = Database._transaction

    @contextmanager
    def on_a_new_connection(database: Database, read_only: bool) -> Iterator[None]:
        try:
            with transaction(database, read_only):
                yield
        finally:
            database.engine.close()

    monkeypatch.setattr(Database, '_transaction', on_a_new_connection)
    database = new_database(database_url)
    account_id = await serve_calls(database)
    assert (await database.read(account, account_id)).requests == CALLS
    assert await database.read(differences) == []
    assert await database.read(recovery.left_behind, 'nobody') == []
