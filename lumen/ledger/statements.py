"""The SQL of the hot path, written once for both engines."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import models

ACCOUNT = """
    select account.active, account.balance, account.held, account.touched_at, account.refill_remainder,
           account.granted + account.accrued, api_key.revoked_at, api_key.expires_at,
           hold.amount, hold.unlimited, hold.created_at
    from account join api_key on api_key.account_id = account.id
         left join hold on hold.request_id = ? and hold.account_id = account.id and hold.key_id = api_key.id
    where account.id = ? and api_key.id = ?
    for update of account
"""

RESERVE = """
    update account set balance = ?, accrued = accrued + ?, touched_at = ?, refill_remainder = ?, held = held + ?
    where id = ?
"""

HOLD = """
    insert into hold (request_id, account_id, key_id, process_id, model, amount, unlimited, input_price, output_price,
                      expected_input_tokens, expected_output_tokens, streamed, created_at)
    values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""

HELD = """
    select hold.id, hold.account_id, hold.key_id, hold.model, hold.amount, hold.unlimited, hold.input_price,
           hold.output_price, hold.streamed, hold.created_at, account.kind, account.handle, account.balance,
           account.held, account.touched_at, account.refill_remainder, account.granted + account.accrued,
           account.spent, account.input_tokens, account.output_tokens
    from hold join account on account.id = hold.account_id
    where hold.request_id = ?
    for update of hold, account
"""

FREE = 'delete from hold where id = ?'

CHARGE = """
    update account
    set balance = ?, accrued = accrued + ?, touched_at = ?, refill_remainder = ?, held = held - ?, spent = spent + ?,
        spent_unlimited = spent_unlimited + ?, requests = requests + 1, input_tokens = input_tokens + ?,
        output_tokens = output_tokens + ?
    where id = ?
"""

COUNT_KEY = """
    update api_key
    set spent = spent + ?, requests = requests + 1, input_tokens = input_tokens + ?, output_tokens = output_tokens + ?,
        last_used_at = ?
    where id = ?
"""

COUNT_HOUR = """
    insert into hourly_usage (account_id, key_id, model, outcome, hour, requests, input_tokens, output_tokens, spent,
                              last_used_at)
    values (?, ?, ?, ?, ?, 1, ?, ?, ?, ?)
    on conflict (account_id, key_id, model, outcome, hour) do update
    set requests = hourly_usage.requests + 1,
        input_tokens = hourly_usage.input_tokens + excluded.input_tokens,
        output_tokens = hourly_usage.output_tokens + excluded.output_tokens,
        spent = hourly_usage.spent + excluded.spent,
        last_used_at = excluded.last_used_at
"""

RECORD = """
    insert into request (request_id, account_id, key_id, model, endpoint, outcome, status, streamed, input_tokens,
                         output_tokens, estimated, cost, shortfall, started_at, settled_at, duration_us,
                         time_to_first_byte_us)
    values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""

RECORDED = 'select cost, shortfall, outcome from request where request_id = ?'


def run(statement: str, values: Sequence[Any]) -> Any:
    """Execute one of the statements above and return its cursor."""
    return models.database.execute_sql(_for_engine(statement, models.database.param), values)


@cache
def _for_engine(statement: str, param: str) -> str:
    if param == '?':  # SQLite: one writer at a time, nothing to lock
        return statement.partition('for update')[0]
    return statement.replace('?', param)
