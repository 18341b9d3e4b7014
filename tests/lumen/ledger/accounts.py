"""Accounts, keys and asks for tests of the ledger."""

from __future__ import annotations

from itertools import count
from typing import Any

import models
from lumen.coins import Price
from lumen.config.settings import Settings
from lumen.database import now
from lumen.ledger import Ask, Outcome, pools

COIN = 1_000_000_000
_numbers = count(1)


def settings(**pool: str) -> Settings:
    return Settings.model_validate({'clients': {'default': pool}})


def open_client(settings: Settings, name: str | None = None) -> tuple[int, int]:
    """Within a write: a client with one key. Returns the ids of both."""
    name = name or f'client-{next(_numbers)}'
    account_id = pools.new_account('client', name, name, '', 'test', settings=settings)
    key = models.ApiKey.create(
        account=account_id, name='key', digest=f'digest-{next(_numbers)}', hint='', created_at=now(), created_by='test'
    )
    return account_id, key.id


def ask(account_id: int, key_id: int, **changes: Any) -> Ask:
    """A call that could cost 1 coin: 100 tokens in at 2 and 200 out at 4 millicoins a token."""
    account = models.Account.get_by_id(account_id)
    values: dict[str, Any] = {
        'request_id': f'req_{next(_numbers)}',
        'account_id': account_id,
        'key_id': key_id,
        'kind': 'client',
        'handle': account.handle,
        'model': 'echo',
        'price': Price(input=2 * COIN * 1000, output=4 * COIN * 1000),
        'input_bound': 100,
        'output_bound': 200,
        'choices': 1,
        'expected_input_tokens': 25,
        'expected_output_tokens': 50,
        'streamed': False,
    }
    return Ask(**(values | changes))


def outcome(input_tokens: int, output_tokens: int, **changes: Any) -> Outcome:
    values: dict[str, Any] = {
        'outcome': 'success',
        'status': 200,
        'input_tokens': input_tokens,
        'output_tokens': output_tokens,
        'estimated': False,
        'endpoint': 'http://127.0.0.1/v1',
        'duration_us': 1000,
    }
    return Outcome(**(values | changes))


def account(account_id: int) -> models.Account:
    return models.Account.get_by_id(account_id)
