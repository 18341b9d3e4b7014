"""Proof that the books add up: every counter against every other record of the same coins, to the nanocoin."""

from __future__ import annotations

from typing import NamedTuple

import models
from lumen.coins import exact

COUNTERS = ('requests', 'input_tokens', 'output_tokens', 'spent')


class Comparison(NamedTuple):
    """Two sums that must be equal, per account or per key. `left` and `right` are subqueries with `id` and counters."""

    subject: str
    left_name: str
    left: str
    right_name: str
    right: str
    counters: tuple[str, ...] = COUNTERS


ACCOUNT = 'select id, requests, input_tokens, output_tokens, spent, held from account'
KEY = 'select id, requests, input_tokens, output_tokens, spent from api_key'

COMPARISONS = (
    Comparison(
        'account',
        'counted on the account',
        ACCOUNT,
        'in its requests',
        """
        select id, sum(requests) as requests, sum(input_tokens) as input_tokens, sum(output_tokens) as output_tokens,
               sum(spent) as spent
        from (
            select account_id as id, count(*) as requests, sum(input_tokens) as input_tokens,
                   sum(output_tokens) as output_tokens, sum(cost) as spent
            from request group by account_id
            union all
            select account_id, requests, input_tokens, output_tokens, spent from carried_total
        ) as parts group by id
        """,
    ),
    Comparison(
        'account',
        'counted on the account',
        ACCOUNT,
        'counted on its keys',
        """
        select account_id as id, sum(requests) as requests, sum(input_tokens) as input_tokens,
               sum(output_tokens) as output_tokens, sum(spent) as spent
        from api_key group by account_id
        """,
    ),
    Comparison(
        'account',
        'counted on the account',
        ACCOUNT,
        'in its hourly usage',
        """
        select account_id as id, sum(requests) as requests, sum(input_tokens) as input_tokens,
               sum(output_tokens) as output_tokens, sum(spent) as spent
        from hourly_usage group by account_id
        """,
    ),
    Comparison(
        'key',
        'counted on the key',
        KEY,
        'in its hourly usage',
        """
        select key_id as id, sum(requests) as requests, sum(input_tokens) as input_tokens,
               sum(output_tokens) as output_tokens, sum(spent) as spent
        from hourly_usage group by key_id
        """,
    ),
    Comparison(
        'account',
        'counted as held on the account',
        ACCOUNT,
        'in its holds',
        'select account_id as id, sum(amount) as held from hold group by account_id',
        ('held',),
    ),
)

LAW = """
    select id, name, granted, accrued, spent, spent_unlimited, balance, held from account
    where granted + accrued - (spent - spent_unlimited) <> balance or balance < 0 or held < 0 or held > balance
          or spent_unlimited < 0 or spent_unlimited > spent
    order by id
"""


def differences() -> list[str]:
    """Every difference in the books, one sentence each; empty when they add up. One consistent read."""
    found = []
    for row in models.database.execute_sql(LAW).fetchall():
        account_id, name, granted, accrued, spent, spent_unlimited, balance, held = row
        found.append(
            f'account {account_id} ({name}): granted {exact(granted)} + accrued {exact(accrued)} - spent '
            f'{exact(spent - spent_unlimited)} from the pool is not its balance {exact(balance)}, '
            f'or its held {exact(held)} is not between 0 and that'
        )
    for comparison in COMPARISONS:
        found.extend(_compare(comparison))
    return found


def _compare(comparison: Comparison) -> list[str]:
    counters = comparison.counters
    columns = ', '.join(f'coalesce(kept.{name}, 0), coalesce(other.{name}, 0)' for name in counters)
    unequal = ' or '.join(f'coalesce(kept.{name}, 0) <> coalesce(other.{name}, 0)' for name in counters)
    statement = f"""
        select kept.id, {columns}
        from ({comparison.left}) as kept left join ({comparison.right}) as other on other.id = kept.id
        where {unequal} order by kept.id
    """  # noqa: S608 - made of the constants above only
    found = []
    for identity, *pairs in models.database.execute_sql(statement).fetchall():
        for name, kept, other in zip(counters, pairs[::2], pairs[1::2], strict=True):
            if kept != other:
                show = exact if name in ('spent', 'held') else str
                found.append(
                    f'{comparison.subject} {identity}: {name} {show(int(kept))} {comparison.left_name}, '
                    f'{show(int(other))} {comparison.right_name}'
                )
    return found
