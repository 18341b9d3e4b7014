"""The Peewee engine for a database's address, and the guard that keeps SQL off the event loop."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import peewee
from psycopg.conninfo import conninfo_to_dict

from lumen import database_address
from lumen.errors import ConfigurationError, DatabaseUnavailable

BUSY_TIMEOUT_MS = 10_000
CACHED_STATEMENTS = 512
"""Prepared ones of a connection to an SQLite file: those of the ledger come in many sizes."""
PRAGMAS = {
    'page_size': 2048,  # of new files: a commit writes the whole pages of all rows that it touches, wherever they are
    'journal_mode': 'wal',
    'wal_autocheckpoint': 32_000,  # pages, 64 MB: with many accounts the file gets few pages twice
    'synchronous': 'full',
    'foreign_keys': 1,
    'busy_timeout': BUSY_TIMEOUT_MS,
}
LINK_LIMITS: dict[str, Any] = {
    'connect_timeout': 10,
    'keepalives_idle': 15,
    'keepalives_interval': 5,
    'keepalives_count': 3,
    'tcp_user_timeout': 30_000,
}
"""Of a link to PostgreSQL over TCP, unless its address says otherwise (libpq's names): one that was dropped silently is
found out within half a minute. Seconds, the last in milliseconds.
"""


_in_words_of_peewee: AbstractContextManager[None] = vars(peewee)['__exception_wrapper__']


class _OffLoop:
    """Refuses to run SQL on a thread with a running event loop, where it would stop every other request."""

    now: Callable[[], int]

    def execute_sql(self, sql: str, params: Any = None) -> Any:
        if asyncio._get_running_loop() is not None:
            raise RuntimeError(f'a query on the event loop: {sql[:200]}')
        return super().execute_sql(sql, params)  # type: ignore[misc]  # completed by the peewee class beside it


class Connection(sqlite3.Connection):
    """A connection to an SQLite file that counts how often something that was done over it was taken back."""

    undone = 0
    known: Any = None
    """What whoever writes over it keeps in mind of the database; see `ledger/known.py`."""


class SqliteEngine(_OffLoop, peewee.SqliteDatabase):
    _state: Any
    """Of this thread; `conn` is its connection."""

    def run(self, sql: str, values: Sequence[Any] = ()) -> sqlite3.Cursor:
        """`execute_sql`, for those who are in a hurry: without hooks and logs of queries."""
        if asyncio._get_running_loop() is not None:
            raise RuntimeError(f'a query on the event loop: {sql[:200]}')
        with _in_words_of_peewee:
            return self.connection().execute(sql, values)

    def connection(self) -> Connection:
        found: Connection = self._state.conn or super().connection()  # type: ignore[no-untyped-call]  # has no types
        return found

    def rollback(self) -> None:
        self._count_undone()
        super().rollback()

    def execute_sql(self, sql: str, params: Any = None) -> Any:
        if sql[:8].upper() == 'ROLLBACK':  # to a savepoint
            self._count_undone()
        return super().execute_sql(sql, params)

    def _count_undone(self) -> None:
        if not self.is_closed():
            self.connection().undone += 1


class PostgresqlEngine(_OffLoop, peewee.PostgresqlDatabase):
    tells_fates: bool | None = None
    """Whether the server knows what became of a transaction; None before it was asked. See `commit_fate.py`."""


Engine = SqliteEngine | PostgresqlEngine


def connect(url: str) -> Engine:
    """The engine for `sqlite:///relative.db`, `sqlite:////absolute.db` or `postgresql://user@host/name?...`.

    Raises ConfigurationError for any other address, DatabaseUnavailable when an SQLite file can have no folder. The
    connection itself is made by the first query.
    """
    try:
        database_address.check(url)
    except ValueError as error:
        raise ConfigurationError(f'app.database.url: {error}') from None
    if database_address.is_sqlite(url):
        path = database_address.sqlite_path(url)
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            reason = f'the folder {path.parent} cannot be made: {error.strerror or error}'
            raise DatabaseUnavailable(reason, 'correct the path of the database') from None
        engine = SqliteEngine(
            str(path),
            pragmas=PRAGMAS,
            factory=Connection,
            cached_statements=CACHED_STATEMENTS,
        )
        engine.register_function(str.lower, 'lower', 1)  # SQLite's own knows the letters of ASCII only
        return engine
    # Prepared statements belong to a session; without them a pooler in transaction mode may stand between.
    stated = conninfo_to_dict(url)
    limits = {name: value for name, value in LINK_LIMITS.items() if name not in stated}
    return PostgresqlEngine(url, prefer_psycopg3=True, prepare_threshold=None, **limits)
