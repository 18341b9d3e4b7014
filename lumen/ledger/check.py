"""Proof that the books add up: every counter against every other record of the same coins, to the nanocoin.

Proved are the law of every pool; accounts against their requests (with what retention carried), keys, hours and holds;
keys against their hours; every hour of an account, key, model and outcome against its requests. What is on one side
only is a difference too. Retention removes the oldest requests of an account: hours after that of its oldest kept
request must match exactly, those before must be no less than what is kept.

What cannot be: granted and accrued have no record but the account's row, where the law binds their sum; which part of
what was spent was spent while unlimited has none either; and a shortfall is on its request only.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import peewee

import models
from lumen.coins import exact
from lumen.ledger import rows
from lumen.ledger.pools import HOUR_US

COUNTERS = ('requests', 'input_tokens', 'output_tokens', 'spent')


class Comparison(NamedTuple):
    """Two sources of sums that must be equal by `id`, of an account or a key; either may lack an id."""

    subject: str
    left_name: str
    left: str
    right_name: str
    right: str
    counters: tuple[str, ...] = COUNTERS


def _sums_of(table: str, by: str) -> str:
    sums = ', '.join(f'sum({name}) as {name}' for name in COUNTERS)
    return f'select {by} as id, {sums} from {table} group by {by}'  # noqa: S608 - made of constants


COMPARISONS = (
    Comparison(
        'account', 'counted on the account', 'account', 'counted on its keys', _sums_of('api_key', 'account_id')
    ),
    Comparison(
        'account', 'counted on the account', 'account', 'in its hourly usage', _sums_of('hourly_usage', 'account_id')
    ),
    Comparison('key', 'counted on the key', 'api_key', 'in its hourly usage', _sums_of('hourly_usage', 'key_id')),
    Comparison(
        'account',
        'counted as held on the account',
        'account',
        'in its holds',
        'select account_id as id, sum(amount) as held from hold group by account_id',
        ('held',),
    ),
)

# Hours against requests in one sorting. The hour comes first: requests lie in its order, and sorting what is in order
# already costs a third of sorting it otherwise.
HOURS = f"""
    with sides as (
        select hour, account_id, key_id, model, outcome, requests as kept_requests, input_tokens as kept_input_tokens,
               output_tokens as kept_output_tokens, spent as kept_spent, 0 as requests, 0 as input_tokens,
               0 as output_tokens, 0 as spent
        from hourly_usage
        union all
        select settled_at / {HOUR_US}, account_id, key_id, model, outcome, 0, 0, 0, 0, 1, input_tokens, output_tokens,
               cost
        from request
    ),
    hours as (
        select hour, account_id, key_id, model, outcome, sum(kept_requests) as kept_requests, sum(requests) as requests,
               sum(kept_input_tokens) as kept_input_tokens, sum(input_tokens) as input_tokens,
               sum(kept_output_tokens) as kept_output_tokens, sum(output_tokens) as output_tokens,
               sum(kept_spent) as kept_spent, sum(spent) as spent
        from sides group by hour, account_id, key_id, model, outcome
        having sum(kept_requests) <> sum(requests) or sum(kept_input_tokens) <> sum(input_tokens)
               or sum(kept_output_tokens) <> sum(output_tokens) or sum(kept_spent) <> sum(spent)
    ),
    oldest as (
        select account_id, (select min(settled_at) from request where request.account_id = carried_total.account_id)
               / {HOUR_US} as hour
        from carried_total where requests > 0
    )
    select hours.account_id, key_id, model, outcome, hours.hour, kept_requests, requests, kept_input_tokens,
           input_tokens, kept_output_tokens, output_tokens, kept_spent, spent
    from hours left join oldest on oldest.account_id = hours.account_id
    where kept_requests < requests or kept_input_tokens < input_tokens or kept_output_tokens < output_tokens
          or kept_spent < spent or oldest.account_id is null or hours.hour > oldest.hour
    order by hours.account_id, hours.hour, key_id, model, outcome
"""  # noqa: S608 - made of constants

SORTING_KIB = 256 * 1024
"""SQLite sorts in so much memory what would go through files otherwise."""


def differences() -> list[str]:
    """Every difference in the books, one sentence each; empty when they add up. One consistent read.

    Of one kind at most `rows.LIMIT` are named, and one sentence says that there are more. Figures that are no whole
    numbers are named alone: nothing can be added up.
    """
    if broken := rows.not_whole_numbers():
        return broken
    found = rows.impossible()
    try:
        with _room_to_sort():
            found += _sums()
    except peewee.OperationalError as error:
        if 'integer overflow' not in str(error):
            raise
        found.append('the database: its figures add up to more than 64 bits hold')
    return found


def _sums() -> list[str]:
    """Sums that differ. Where the hours of an account are its requests, and their sum is the account's, nothing is left
    to be compared; for all others accounts and requests are.
    """
    found, suspects = list[str](), set[int]()
    for comparison in COMPARISONS:
        identities, sentences = _compare(comparison)
        found += sentences
        if comparison.subject == 'account':
            suspects.update(identities)
    hours = list[str]()
    unequal, more = rows.first(HOURS, 'hours differ from their requests')
    for account_id, key_id, model, outcome, hour, *pairs in unequal:
        suspects.add(account_id)
        subject = f'account {account_id}, key {key_id}, {model}, {outcome}, {_utc(hour)}'
        hours += _named(subject, COUNTERS, pairs, 'in its hourly usage', 'in its requests')
    _, sentences = _compare(_accounts_and_requests(suspects))
    return found + sentences + hours + more


def _accounts_and_requests(suspects: set[int]) -> Comparison:
    """The comparison of these accounts, and of all whose older requests are gone, with their requests."""
    named = ', '.join(map(str, sorted(suspects))) or 'null'
    among = f'in (select account_id from carried_total) or {{}} in ({named})'  # noqa: S608 - numbers of ours
    kept = f"""(
        select account_id, requests, input_tokens, output_tokens, spent from carried_total
        union all
        select account_id, 1, input_tokens, output_tokens, cost from request
        where account_id {among.format('account_id')}
    ) as kept"""  # noqa: S608 - numbers of ours
    accounts = f'(select * from account where id {among.format("id")}) as suspected'  # noqa: S608 - as above
    return Comparison('account', 'counted on the account', accounts, 'in its requests', _sums_of(kept, 'account_id'))


def _compare(comparison: Comparison) -> tuple[list[int], list[str]]:
    """The ids where something differs, and what does, in sentences."""
    counters = comparison.counters
    named = ', '.join(counters)
    none = ', '.join('0' for _ in counters)
    kept = ', '.join(f'{name} as kept_{name}' for name in counters)
    other = ', '.join(f'0 as {name}' for name in counters)
    sums = ', '.join(f'sum(kept_{name}), sum({name})' for name in counters)
    unequal = ' or '.join(f'sum(kept_{name}) <> sum({name})' for name in counters)
    statement = f"""
        select id, {sums} from (
            select id, {kept}, {other} from {comparison.left}
            union all
            select id, {none}, {named} from ({comparison.right}) as summed
        ) as sides
        group by id having {unequal} order by id
    """  # noqa: S608 - made of the constants above and numbers of ours
    left_name, right_name = comparison.left_name, comparison.right_name
    differing, more = rows.first(statement, f'{comparison.subject}s differ: {left_name}, and {right_name}')
    found = list[str]()
    for identity, *pairs in differing:
        found += _named(f'{comparison.subject} {identity}', counters, pairs, left_name, right_name)
    return [identity for identity, *_ in differing], found + more


@contextmanager
def _room_to_sort() -> Iterator[None]:
    if models.database.param != '?':
        yield
        return
    ((before,),) = models.database.execute_sql('pragma cache_size').fetchall()
    models.database.execute_sql(f'pragma cache_size = -{SORTING_KIB}')
    try:
        yield
    finally:
        models.database.execute_sql(f'pragma cache_size = {before}')


def _named(subject: str, counters: tuple[str, ...], pairs: list[Any], left_name: str, right_name: str) -> list[str]:
    found = []
    for name, kept, other in zip(counters, pairs[::2], pairs[1::2], strict=True):
        if kept != other:
            show = exact if name in ('spent', 'held') else str
            found.append(f'{subject}: {name} {show(int(kept))} {left_name}, {show(int(other))} {right_name}')
    return found


def _utc(hour: int) -> str:
    try:
        return f'{datetime(1970, 1, 1, tzinfo=UTC) + timedelta(hours=hour):%Y-%m-%d %H:00} UTC'
    except OverflowError:
        return f'hour {hour}'
