"""Many rows at once: `COPY` on PostgreSQL, one prepared statement on SQLite. Only within `Database.write()`."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing
from itertools import islice

import models

Value = int | str | bool | None
Row = tuple[Value, ...]

MEMORY_KIB = 128 * 1024
STAGE_ROWS = 20_000


def load(table: str, columns: tuple[str, ...], rows: Iterable[Row]) -> None:
    """Insert `rows` in the order in which they come. They may be made on the way, without asking the database."""
    listed = ', '.join(columns)
    with closing(models.database.cursor()) as cursor:
        if _is_sqlite():
            marks = ', '.join('?' * len(columns))
            cursor.executemany(f'insert into {table} ({listed}) values ({marks})', rows)  # noqa: S608 - names of ours
            return
        with cursor.copy(f'copy {table} ({listed}) from stdin') as copy:
            for row in rows:
                copy.write_row(row)


def next_id(table: str) -> int:
    """The id from which on rows may be loaded. Who else would insert some waits until the commit."""
    if _is_sqlite():
        return _number(f'select coalesce(max(id), 0) + 1 from {table}')  # noqa: S608 - a name of ours
    models.database.execute_sql(f'lock table {table} in share row exclusive mode')
    return _number(f"select nextval(pg_get_serial_sequence('{table}', 'id'))")


def used_up_to(table: str, last_id: int) -> None:
    """Say which id was given last, so that the next row gets the one after it. Needed after `next_id` and a `load`."""
    if not _is_sqlite():
        _number(f"select setval(pg_get_serial_sequence('{table}', 'id'), {last_id})")


def make_room() -> None:
    """Let indexes grow and rows be sorted in memory: in this transaction, on SQLite until it disconnects."""
    if _is_sqlite():
        models.database.execute_sql(f'pragma cache_size = -{MEMORY_KIB}')
    else:
        models.database.execute_sql(f"set local work_mem = '{MEMORY_KIB}kB'")


class Stage:
    """Rows that are made in one order and inserted in another: that of `order`, so that ids follow it."""

    def __init__(self, table: str, columns: tuple[str, ...], order: str):
        self._table = table
        self._columns = columns
        self._order = order
        self.name = f'staged_{table}'
        self._rows: list[Row] = []
        listed = ', '.join(columns)
        models.database.execute_sql(
            f'create temporary table {self.name} as select {listed} from {table} limit 0'  # noqa: S608 - names of ours
        )

    def add(self, rows: Iterable[Row]) -> None:
        """Keep `rows` for later: a few in memory, the others in a temporary table."""
        waiting = iter(rows)
        while some := list(islice(waiting, STAGE_ROWS - len(self._rows))):
            self._rows += some
            if len(self._rows) >= STAGE_ROWS:
                self.flush()

    def pour(self) -> None:
        """Insert all that was added, in order."""
        self.flush()
        listed = ', '.join(self._columns)
        models.database.execute_sql(
            f'insert into {self._table} ({listed}) '  # noqa: S608 - names of ours
            f'select {listed} from {self.name} order by {self._order}'
        )
        models.database.execute_sql(f'drop table {self.name}')

    def flush(self) -> None:
        """Bring all that was added to the temporary table."""
        load(f'{self.name}', self._columns, self._rows)
        self._rows.clear()


def _is_sqlite() -> bool:
    return str(models.database.param) == '?'


def _number(statement: str) -> int:
    return int(models.database.execute_sql(statement).fetchone()[0])
