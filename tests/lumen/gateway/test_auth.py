"""What changes a key is seen, whatever went wrong before."""

from __future__ import annotations

import asyncio

import peewee
import pytest

from lumen.database import Database
from lumen.errors import DatabaseUnavailable
from lumen.gateway import auth
from lumen.gateway.auth import Authenticator
from lumen.identity import revisions
from tests.conftest import wait_until


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
