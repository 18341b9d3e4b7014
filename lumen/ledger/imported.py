"""Writing accounts that have a past: theirs and their keys' rows, their requests in the order of time, every hour."""

from __future__ import annotations

from collections.abc import Iterable

import models
from lumen import bulk
from lumen.bulk import Row
from lumen.ledger.past import PastAccount, PastKey
from lumen.ledger.pools import HOUR_US

ACCOUNT = (
    'id',
    'kind',
    'handle',
    'name',
    'email',
    'active',
    'created_at',
    'created_by',
    'balance',
    'held',
    'granted',
    'accrued',
    'spent',
    'spent_unlimited',
    'touched_at',
    'refill_remainder',
    'requests',
    'input_tokens',
    'output_tokens',
)
KEY = (
    'id',
    'account_id',
    'name',
    'digest',
    'hint',
    'created_at',
    'created_by',
    'expires_at',
    'revoked_at',
    'last_used_at',
    'requests',
    'input_tokens',
    'output_tokens',
    'spent',
)
REQUEST = (
    'request_id',
    'account_id',
    'key_id',
    'model',
    'endpoint',
    'outcome',
    'status',
    'streamed',
    'input_tokens',
    'output_tokens',
    'estimated',
    'cost',
    'shortfall',
    'started_at',
    'settled_at',
    'duration_us',
    'time_to_first_byte_us',
)
HOURS = f"""
    insert into hourly_usage (account_id, key_id, model, outcome, hour, requests, input_tokens, output_tokens, spent,
                              last_used_at)
    select account_id, key_id, model, outcome, settled_at / {HOUR_US} as hour, count(*), sum(input_tokens),
           sum(output_tokens), sum(cost), max(settled_at)
    from staged_request
    group by account_id, key_id, model, outcome, hour
    order by hour, account_id, key_id, model, outcome
"""  # noqa: S608 - made of a constant


class Import:
    """One import, within one write. Add in any order; the rows of requests and hours come with `finish`."""

    def __init__(self) -> None:
        self._before = (
            models.Request.select(models.Request.id).order_by(models.Request.id.desc()).limit(1).scalar() or 0
        )
        self._requests = bulk.Stage('request', REQUEST, order='settled_at, request_id')

    def accounts(self, accounts: Iterable[PastAccount]) -> None:
        """Write accounts with all that they used."""
        bulk.load('account', ACCOUNT, map(_account, accounts))

    def keys(self, keys: Iterable[tuple[PastAccount, PastKey]]) -> None:
        """Write the keys of accounts that are written."""
        bulk.load('api_key', KEY, (_key(account, key) for account, key in keys))

    def requests(self, rows: Iterable[Row]) -> None:
        """Keep what `PastAccount.settle` returned, as it comes."""
        self._requests.add(rows)

    def finish(self) -> None:
        """Write the requests in the order of time, and the hours that they add up to."""
        self._requests.flush()
        models.database.execute_sql(HOURS)
        self._requests.pour()


def _account(account: PastAccount) -> Row:
    return (
        account.id,
        account.kind,
        account.handle,
        account.name,
        account.email,
        account.active,
        account.created_at,
        account.created_by,
        account.balance,
        0,
        account.granted,
        account.accrued,
        account.spent,
        account.spent_unlimited,
        account.touched_at,
        account.refill_remainder,
        account.requests,
        account.input_tokens,
        account.output_tokens,
    )


def _key(account: PastAccount, key: PastKey) -> Row:
    return (
        key.id,
        account.id,
        key.name,
        key.digest,
        key.hint,
        key.created_at,
        key.created_by,
        key.expires_at,
        key.revoked_at,
        key.last_used_at,
        key.requests,
        key.input_tokens,
        key.output_tokens,
        key.spent,
    )
