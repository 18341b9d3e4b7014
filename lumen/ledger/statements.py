"""The SQL of the hot path, written once for both engines: each statement reads or writes a whole batch of rows.

Python's `sqlite3` gives up the interpreter at every step of a statement, and beside a busy event loop each return
costs. So what a batch writes goes in as one statement a table: a list of rows on SQLite, arrays on PostgreSQL.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_left
from collections.abc import Collection, Sequence
from functools import cache
from typing import Any

import models
from lumen.engine import SqliteEngine

Row = Sequence[Any]
Columns = tuple[tuple[str, str], ...]
"""Names and PostgreSQL's types."""

SIZES = (1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28, 32, 48, 64, 96, 128)
"""Of statements on SQLite, in rows: each is prepared once."""

HOLD: Columns = (
    ('request_id', 'text'),
    ('account_id', 'bigint'),
    ('key_id', 'bigint'),
    ('process_id', 'text'),
    ('model', 'text'),
    ('amount', 'bigint'),
    ('unlimited', 'boolean'),
    ('input_price', 'bigint'),
    ('output_price', 'bigint'),
    ('audio_price', 'bigint'),
    ('expected_input_tokens', 'bigint'),
    ('expected_output_tokens', 'bigint'),
    ('expected_audio_us', 'bigint'),
    ('streamed', 'boolean'),
    ('created_at', 'bigint'),
)
ACCOUNT: Columns = (
    ('id', 'bigint'),
    ('balance', 'bigint'),
    ('held', 'bigint'),
    ('touched_at', 'bigint'),
    ('remainder', 'bigint'),
    ('accrued', 'bigint'),
    ('spent', 'bigint'),
    ('spent_unlimited', 'bigint'),
    ('requests', 'bigint'),
    ('input_tokens', 'bigint'),
    ('output_tokens', 'bigint'),
)
"""What is absolute comes first; from `accrued` on it is what was added."""

KEY: Columns = (
    ('id', 'bigint'),
    ('requests', 'bigint'),
    ('input_tokens', 'bigint'),
    ('output_tokens', 'bigint'),
    ('spent', 'bigint'),
    ('last_used_at', 'bigint'),
)
HOUR: Columns = (
    ('account_id', 'bigint'),
    ('key_id', 'bigint'),
    ('model', 'text'),
    ('outcome', 'text'),
    ('hour', 'bigint'),
    ('requests', 'bigint'),
    ('input_tokens', 'bigint'),
    ('output_tokens', 'bigint'),
    ('spent', 'bigint'),
    ('last_used_at', 'bigint'),
)
REQUEST: Columns = (
    ('request_id', 'text'),
    ('account_id', 'bigint'),
    ('key_id', 'bigint'),
    ('model', 'text'),
    ('endpoint', 'text'),
    ('outcome', 'text'),
    ('status', 'integer'),
    ('streamed', 'boolean'),
    ('input_tokens', 'bigint'),
    ('output_tokens', 'bigint'),
    ('audio_us', 'bigint'),
    ('estimated', 'boolean'),
    ('cost', 'bigint'),
    ('shortfall', 'bigint'),
    ('started_at', 'bigint'),
    ('settled_at', 'bigint'),
    ('duration_us', 'bigint'),
    ('time_to_first_byte_us', 'bigint'),
)

ACCOUNTS_OF_HOLDS = ('account_id', 'from hold where request_id {among}')
_ACCOUNT = (
    'id, active, kind, handle, balance, held, touched_at, refill_remainder, granted + accrued, spent, input_tokens, '
    'output_tokens'
)
ACCOUNTS = (_ACCOUNT, 'from account where id {among}')
ACCOUNTS_AND_LINES = (
    f'{_ACCOUNT}, (select json_agg(json_build_array(process_id, since, seen_at)) from line where account_id = id)',  # noqa: S608 - names of ours
    'from account where id {among} order by id for update',
)
"""With whoever stands first for their coins in each process. They are locked, in their order."""

KEYS = ('id, account_id, revoked_at, expires_at', 'from api_key where id {among}')
HOLDS = (
    'request_id, account_id, key_id, process_id, model, amount, unlimited, input_price, output_price, audio_price, '
    'expected_input_tokens, expected_output_tokens, expected_audio_us, streamed, created_at',
    'from hold where request_id {among}',
)
IN_FLIGHT = (
    'key_id, number',
    'from (select key_id, count(*) as number from hold where key_id {among} group by key_id) as counted',
)
RECORDED = ('cost, shortfall, outcome', 'from request where request_id {among}')


class Write:
    """A statement that writes rows of these columns, all at once.

    In it, `{given}` is a table of them, `{rows}` what is inserted, and `{among}` compares with their first column.
    """

    def __init__(self, statement: str, columns: Columns):
        self._statement = statement
        self._names = [name for name, _ in columns]
        self._kinds = [kind for _, kind in columns]
        self._of_size: dict[int, str] = {}

    def __call__(self, values: list[Any]) -> None:
        """Write rows whose `values` stand one behind the other."""
        if not values:
            return
        engine, width = models.database.obj, len(self._names)
        if not isinstance(engine, SqliteEngine):
            engine.execute_sql(self._on_postgresql(), [values[n::width] for n in range(width)])
            return
        if (statement := self._of_size.get(len(values) // width)) is not None:
            engine.run(statement, values)
            return
        for start in range(0, len(values), SIZES[-1] * width):
            some = values[start : start + SIZES[-1] * width]
            size = SIZES[bisect_left(SIZES, len(some) // width)]
            some += [0] * (size * width - len(some))  # rows of zeros, which are none
            engine.run(self._of_size.get(size) or self._on_sqlite(size), some)

    def _on_sqlite(self, size: int) -> str:
        if size == 1:
            return self._of_size.setdefault(1, self._of_one())
        named = ', '.join(f'column{number} as {name}' for number, name in enumerate(self._names, 1))
        rows = ', '.join([f'({", ".join("?" * len(self._names))})'] * size)
        given = f'(select {named} from (values {rows}) where column1 <> 0) as given'  # noqa: S608 - names of ours
        return self._of_size.setdefault(size, self._of_many(given))

    def _of_one(self) -> str:
        """For one row, of which SQLite need not make a table: a commit at one connection costs a tenth less."""
        marks = {name: f'?{number}' for number, name in enumerate(self._names, 1)}
        alone = self._statement.replace('from {given} where', 'where')
        alone = re.sub(r'given\.(\w+)', lambda found: marks[found[1]], alone)
        return alone.format(rows=f'({", ".join(self._names)}) values ({", ".join(marks.values())})', among='= ?1')

    @cache  # noqa: B019 - the statements live as long as the process
    def _on_postgresql(self) -> str:
        arrays = ', '.join(f'%s::{kind}[]' for kind in self._kinds)
        return self._of_many(f'unnest({arrays}) as given({", ".join(self._names)})')

    def _of_many(self, given: str) -> str:
        names = ', '.join(self._names)
        return self._statement.format(
            given=given,
            rows=f'({names}) select {names} from {given} where true',  # noqa: S608 - names of ours
            among=f'in (select {self._names[0]} from {given})',  # noqa: S608 - names of ours
        )


LINE: Columns = (('account_id', 'bigint'), ('process_id', 'text'), ('since', 'bigint'), ('seen_at', 'bigint'))

add_holds = Write('insert into hold {rows}', HOLD)
add_requests = Write('insert into request {rows}', REQUEST)
free = Write('delete from hold where request_id {among}', (('request_id', 'text'),))
save_amounts = Write(
    'update hold set amount = given.amount from {given} where hold.request_id = given.request_id',
    (('request_id', 'text'), ('amount', 'bigint')),
)
save_accounts = Write(
    """
    update account
    set balance = given.balance, held = given.held, touched_at = given.touched_at, refill_remainder = given.remainder,
        accrued = account.accrued + given.accrued, spent = account.spent + given.spent,
        spent_unlimited = account.spent_unlimited + given.spent_unlimited, requests = account.requests + given.requests,
        input_tokens = account.input_tokens + given.input_tokens,
        output_tokens = account.output_tokens + given.output_tokens
    from {given} where account.id = given.id
    """,
    ACCOUNT,
)
stand_first = Write(
    """
    insert into line {rows}
    on conflict (account_id, process_id) do update set since = excluded.since, seen_at = excluded.seen_at
    """,
    LINE,
)
leave_line = Write(
    'delete from line using {given} where line.account_id = given.account_id and line.process_id = given.process_id',
    (('account_id', 'bigint'), ('process_id', 'text')),
)
count_keys = Write(
    """
    update api_key
    set requests = api_key.requests + given.requests, input_tokens = api_key.input_tokens + given.input_tokens,
        output_tokens = api_key.output_tokens + given.output_tokens, spent = api_key.spent + given.spent,
        last_used_at = given.last_used_at
    from {given} where api_key.id = given.id
    """,
    KEY,
)
count_hours = Write(
    """
    insert into hourly_usage {rows}
    on conflict (account_id, key_id, model, outcome, hour) do update
    set requests = hourly_usage.requests + excluded.requests,
        input_tokens = hourly_usage.input_tokens + excluded.input_tokens,
        output_tokens = hourly_usage.output_tokens + excluded.output_tokens,
        spent = hourly_usage.spent + excluded.spent, last_used_at = excluded.last_used_at
    """,
    HOUR,
)


def read(question: tuple[str, str], among: Collection[int | str]) -> list[Row]:
    """The rows of a question above whose key is `among` these."""
    if not among:
        return []
    engine = models.database.obj
    if not isinstance(engine, SqliteEngine):
        return list(engine.execute_sql(_question(question, False), (sorted(among),)).fetchall())
    found: list[Row] = json.loads(engine.run(_question(question, True), (json.dumps(list(among)),)).fetchone()[0])
    return found


def is_locking() -> bool:
    """Whether others write at the same time, so that accounts must be locked before holds are believed."""
    return not isinstance(models.database.obj, SqliteEngine)


@cache
def _question(question: tuple[str, str], is_sqlite: bool) -> str:
    columns, rest = question
    if is_sqlite:
        rest = rest.format(among='in (select value from json_each(?))')
        return f'select json_group_array(json_array({columns})) {rest}'
    return f'select {columns} {rest.format(among="= any(%s)")}'
