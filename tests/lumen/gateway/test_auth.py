"""What changes a key is seen, whatever went wrong before."""

from __future__ import annotations

import asyncio

import peewee
import pytest

from lumen.database import Database
from lumen.errors import DatabaseUnavailable
from lumen.gateway import auth
from lumen.gateway.auth import Authenticator
from lumen.identity import keys, revisions
from lumen.identity.permissions import COMMAND_LINE
from tests.conftest import wait_until
from tests.lumen import factories


@pytest.mark.parametrize('fault', [DatabaseUnavailable('gone', 'wait'), peewee.ProgrammingError('no such table')])
async def test_the_poll_for_revocations_goes_on_after_any_fault(
    database: Database, fault: Exception, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(auth, 'POLL_SECONDS', 0.01)
    authenticator = Authenticator(database, b'secret')
    known = authenticator._known
    has_failed = False
    numbers = revisions.numbers

    def fail_once() -> dict[str, int]:
        nonlocal has_failed
        if not has_failed:
            has_failed = True
            raise fault
        return numbers()

    monkeypatch.setattr(revisions, 'numbers', fail_once)
    known[b'before'] = None
    watching = asyncio.create_task(authenticator.watch())
    try:
        # Nobody is let in on what may have changed.
        await asyncio.to_thread(wait_until, lambda: has_failed and not known)
        known[b'after'] = None
        await database.write(revisions.bump, revisions.KEYS)
        await asyncio.to_thread(wait_until, lambda: not known)
        assert not watching.done()
    finally:
        watching.cancel()


async def test_only_so_many_keys_are_remembered_and_the_oldest_is_forgotten(
    database: Database, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(auth, 'CACHE_SIZE', 3)
    authenticator = Authenticator(database, factories.SECRET)
    settings = factories.settings()

    def new_keys() -> list[str]:
        client_id = factories.client('bot', settings)
        return [
            keys.create_key(COMMAND_LINE, client_id, 'key', None, settings=settings, secret=factories.SECRET).key
            for _ in range(5)
        ]

    made = [[(b'x-api-key', key.encode())] for key in await database.write(new_keys)]
    for number, headers in enumerate(made, 1):
        await authenticator.identify(headers)
        assert len(authenticator._known) == min(number, 3)
    assert [authenticator.recall(headers) is not None for headers in made] == [False, False, True, True, True]
