"""Rows that cannot be: figures out of range or no whole numbers, rows of an account or key that is not there."""

from __future__ import annotations

from typing import Any

from peewee import BooleanField, ForeignKeyField, IntegerField

import models
from lumen.coins import exact
from lumen.database import now
from lumen.ledger.pools import HOUR_US

Row = tuple[Any, ...]

CLOCKS_DIFFER_US = 60_000_000
"""Processes that share an SQLite file have clocks of their own."""
LIMIT = 1000
"""So many differences of one kind are named; a database that lost a table would have millions."""

ACCOUNTS = f"""
    select id, name, granted, accrued, spent, spent_unlimited, balance, held, refill_remainder, created_at, touched_at
    from account
    where granted + accrued - (spent - spent_unlimited) <> balance or held < 0 or held > balance or accrued < 0
          or spent_unlimited < 0 or spent_unlimited > spent or refill_remainder < 0 or refill_remainder >= {HOUR_US}
          or touched_at < created_at or touched_at > {{latest}}
    order by id
"""  # noqa: S608 - made of constants

OF_ANOTHER_ACCOUNT = """
    select {table}.account_id, {table}.key_id, api_key.account_id, count(*)
    from {table} join api_key on api_key.id = {table}.key_id
    where api_key.account_id <> {table}.account_id
    group by {table}.account_id, {table}.key_id, api_key.account_id
    order by {table}.account_id, {table}.key_id
"""
SETTLED_HOLDS = 'select hold.request_id from hold join request on request.request_id = hold.request_id order by hold.id'
HOLDS = 'select request_id, amount from hold where amount < 0 or (unlimited and amount <> 0) order by id'
HOURS = f"""
    select account_id, key_id, model, outcome, hour, last_used_at from hourly_usage
    where last_used_at / {HOUR_US} <> hour order by id
"""  # noqa: S608 - made of constants
NEGATIVE = """
    select request_id from request
    where cost < 0 or shortfall < 0 or input_tokens < 0 or output_tokens < 0 or audio_us < 0 order by id
"""


def not_whole_numbers() -> list[str]:
    """Figures that SQLite let in though they are none: it takes any value into any column. One sentence a column."""
    if models.database.param != '?':
        return []
    found = []
    for table in models.TABLES:
        columns = [field.column_name for field in table._meta.sorted_fields if _is_whole(field)]
        if not columns:
            continue
        name = table._meta.table_name
        is_none = [f'{column} <> cast({column} as integer)' for column in columns]
        if not _rows(f'select 1 from {name} where {" or ".join(is_none)} limit 1'):  # noqa: S608 - names of our schema
            continue
        counts = ', '.join(f'sum(coalesce({each}, false))' for each in is_none)
        (numbers,) = _rows(f'select {counts} from {name}')  # noqa: S608 - as above
        found += [
            f'{name}: {number} rows whose {column} is no whole number'
            for column, number in zip(columns, numbers, strict=True)
            if number
        ]
    return found


def impossible() -> list[str]:
    """What no row may be, beside sums that differ: one sentence each."""
    return [*_accounts(), *_references(), *_keys_of_others(), *_holds(), *_hours(), *_requests()]


def first(statement: str, kind: str) -> tuple[list[Row], list[str]]:
    """The first `LIMIT` rows of the statement; and if there are more, a sentence that says so: of what `kind`."""
    found = _rows(f'{statement} limit {LIMIT + 1}')
    if len(found) <= LIMIT:
        return found, []
    return found[:LIMIT], [f'more than {LIMIT:,} {kind}: only the first {LIMIT:,} of them are named']


def _accounts() -> list[str]:
    found = []
    latest = now() + CLOCKS_DIFFER_US
    accounts, more = first(ACCOUNTS.format(latest=latest), 'accounts have figures that cannot be')
    for row in accounts:
        account_id, name, granted, accrued, spent, unlimited, balance, held, remainder, created_at, touched_at = row
        who = f'account {account_id} ({name})'
        if granted + accrued - (spent - unlimited) != balance:
            found.append(
                f'{who}: granted {exact(granted)} + accrued {exact(accrued)} - spent {exact(spent - unlimited)} '
                f'from the pool is not its balance {exact(balance)}'
            )
        if not 0 <= held <= balance:
            found.append(f'{who}: held {exact(held)} is not between 0 and its balance {exact(balance)}')
        if not 0 <= unlimited <= spent:
            found.append(f'{who}: spent while unlimited {exact(unlimited)} is not between 0 and spent {exact(spent)}')
        if accrued < 0:
            found.append(f'{who}: accrued {exact(accrued)} is negative')
        if not 0 <= remainder < HOUR_US:
            found.append(f'{who}: the remainder of its refill, {remainder}, is not between 0 and a nanocoin')
        if not created_at <= touched_at <= latest:
            found.append(f'{who}: its pool was last refilled before it was made, or in the future')
    return found + more


def _references() -> list[str]:
    """Rows that refer to a row that is not there. Requests are left out: their accounts and keys are those of hours."""
    found = []
    for table in models.TABLES:
        for field in table._meta.sorted_fields:
            if not isinstance(field, ForeignKeyField) or table is models.Request:
                continue
            child, column, parent = table._meta.table_name, field.column_name, field.rel_model._meta.table_name
            statement = f"""
                select child.{column}, count(*) from {child} as child left join {parent} as parent
                     on parent.id = child.{column}
                where child.{column} is not null and parent.id is null
                group by child.{column} order by child.{column}
            """  # noqa: S608 - the names of our schema
            lost, more = first(statement, f'values of {column} in {child} are of no {parent} that there is')
            for identity, number in lost:
                found.append(f'{child}: {number} rows whose {column} is {identity}, and there is no such {parent}')
            found += more
    return found


def _keys_of_others() -> list[str]:
    found = []
    for table in ('hold', 'hourly_usage'):
        pairs, more = first(OF_ANOTHER_ACCOUNT.format(table=table), f'pairs in {table} are of a key of another account')
        for account_id, key_id, owner_id, number in pairs:
            found.append(f'{table}: {number} rows of account {account_id} with key {key_id} of account {owner_id}')
        found += more
    return found


def _holds() -> list[str]:
    settled, more_settled = first(SETTLED_HOLDS, 'holds are of calls that are settled already')
    impossible, more = first(HOLDS, 'holds are not what can be held')
    return [
        *(f'hold of {request_id}: that call is settled already' for (request_id,) in settled),
        *more_settled,
        *(f'hold of {request_id}: {exact(amount)} is not what can be held' for request_id, amount in impossible),
        *more,
    ]


def _hours() -> list[str]:
    hours, more = first(HOURS, 'hours were last used at a time that is not in them')
    return [
        f'account {account_id}, key {key_id}, {model}, {outcome}, hour {hour}: last used at {last_used_at}, '
        'which is not in that hour'
        for account_id, key_id, model, outcome, hour, last_used_at in hours
    ] + more


def _requests() -> list[str]:
    negative, more = first(NEGATIVE, 'requests have a figure that is negative')
    return [f'request {request_id}: a figure is negative' for (request_id,) in negative] + more


def _is_whole(field: Any) -> bool:
    return isinstance(field, IntegerField | BooleanField | ForeignKeyField)


def _rows(statement: str) -> list[Row]:
    rows: list[Row] = models.database.execute_sql(statement).fetchall()
    return rows
