"""The SQL of the hot path, written once for both engines: each statement reads or writes a whole batch of rows.

Python's `sqlite3` gives up the interpreter at every step of a statement, and beside a busy event loop each return
costs. So a batch goes in as one value: JSON on SQLite, arrays on PostgreSQL.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from functools import cache
from typing import Any

import models

Row = Sequence[Any]
Columns = tuple[tuple[str, str], ...]
"""Names and PostgreSQL's types."""

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
    ('expected_input_tokens', 'bigint'),
    ('expected_output_tokens', 'bigint'),
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
    ('estimated', 'boolean'),
    ('cost', 'bigint'),
    ('shortfall', 'bigint'),
    ('started_at', 'bigint'),
    ('settled_at', 'bigint'),
    ('duration_us', 'bigint'),
    ('time_to_first_byte_us', 'bigint'),
)

ACCOUNTS_OF_HOLDS = ('account_id', 'from hold where request_id {among}')
ACCOUNTS = (
    'id, active, kind, handle, balance, held, touched_at, refill_remainder, granted + accrued, spent, input_tokens, '
    'output_tokens',
    'from account where id {among} {lock}',
)
KEYS = ('id, account_id, revoked_at, expires_at', 'from api_key where id {among}')
HOLDS = (
    'request_id, account_id, key_id, model, amount, unlimited, input_price, output_price, expected_input_tokens, '
    'expected_output_tokens, streamed, created_at',
    'from hold where request_id {among}',
)
RECORDED = ('cost, shortfall, outcome', 'from request where request_id {among}')

ADD_HOLDS = 'insert into hold ({names}) select {names} from {given}'
ADD_REQUESTS = 'insert into request ({names}) select {names} from {given}'
FREE = 'delete from hold where request_id {among}'
SAVE_AMOUNT = 'update hold set amount = given.amount from {given} where hold.request_id = given.request_id'
AMOUNT: Columns = (('request_id', 'text'), ('amount', 'bigint'))
SAVE_ACCOUNTS = """
    update account
    set balance = given.balance, held = given.held, touched_at = given.touched_at, refill_remainder = given.remainder,
        accrued = account.accrued + given.accrued, spent = account.spent + given.spent,
        spent_unlimited = account.spent_unlimited + given.spent_unlimited, requests = account.requests + given.requests,
        input_tokens = account.input_tokens + given.input_tokens,
        output_tokens = account.output_tokens + given.output_tokens
    from {given} where account.id = given.id
"""
COUNT_KEYS = """
    update api_key
    set requests = api_key.requests + given.requests, input_tokens = api_key.input_tokens + given.input_tokens,
        output_tokens = api_key.output_tokens + given.output_tokens, spent = api_key.spent + given.spent,
        last_used_at = given.last_used_at
    from {given} where api_key.id = given.id
"""
COUNT_HOURS = """
    insert into hourly_usage ({names}) select {names} from {given} where true
    on conflict (account_id, key_id, model, outcome, hour) do update
    set requests = hourly_usage.requests + excluded.requests,
        input_tokens = hourly_usage.input_tokens + excluded.input_tokens,
        output_tokens = hourly_usage.output_tokens + excluded.output_tokens,
        spent = hourly_usage.spent + excluded.spent, last_used_at = excluded.last_used_at
"""


def read(question: tuple[str, str], among: Collection[int | str]) -> list[Row]:
    """The rows of a question above whose key is `among` these. On PostgreSQL accounts are locked, in their order."""
    if not among:
        return []
    if not _is_sqlite():
        return list(models.database.execute_sql(_question(question, False), (sorted(among),)).fetchall())
    found: list[Row] = json.loads(
        models.database.execute_sql(_question(question, True), (_json(list(among)),)).fetchone()[0]
    )
    return found


def write(statement: str, columns: Columns, rows: list[Row]) -> None:
    """Carry out a statement above for all `rows` at once."""
    if not rows:
        return
    if _is_sqlite():
        models.database.execute_sql(_statement(statement, columns, True), (_json(rows),))
    else:
        models.database.execute_sql(
            _statement(statement, columns, False), [list(column) for column in zip(*rows, strict=True)]
        )


def free(request_ids: list[str]) -> None:
    """Delete the holds."""
    if request_ids:
        is_sqlite = _is_sqlite()
        values = _json(request_ids) if is_sqlite else request_ids
        models.database.execute_sql(FREE.format(among=_among(is_sqlite)), (values,))


def is_locking() -> bool:
    """Whether others write at the same time, so that accounts must be locked before holds are believed."""
    return not _is_sqlite()


def _is_sqlite() -> bool:
    return bool(models.database.param == '?')


_json = json.JSONEncoder(separators=(',', ':')).encode


@cache
def _question(question: tuple[str, str], is_sqlite: bool) -> str:
    columns, rest = question
    rest = rest.format(among=_among(is_sqlite), lock='' if is_sqlite else 'order by id for update')
    return f'select json_group_array(json_array({columns})) {rest}' if is_sqlite else f'select {columns} {rest}'


@cache
def _statement(statement: str, columns: Columns, is_sqlite: bool) -> str:
    names = ', '.join(name for name, _ in columns)
    if is_sqlite:
        extracted = ', '.join(f"json_extract(value, '$[{n}]') as {name}" for n, (name, _) in enumerate(columns))
        given = f'(select {extracted} from json_each(?)) as given'  # noqa: S608 - names of ours
    else:
        given = f'unnest({", ".join(f"%s::{kind}[]" for _, kind in columns)}) as given({names})'
    return statement.format(names=names, given=given)


def _among(is_sqlite: bool) -> str:
    return 'in (select value from json_each(?))' if is_sqlite else '= any(%s)'
