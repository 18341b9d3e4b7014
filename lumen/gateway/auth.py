"""Whose call it is: the key of the request, looked up once and then remembered until something changes."""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from collections.abc import Iterable

import structlog

from lumen.database import Database
from lumen.errors import Forbidden, NotAuthenticated
from lumen.identity import keys, revisions
from lumen.identity.keys import KeyIdentity

log = structlog.get_logger()

POLL_SECONDS = 0.5
CACHE_SIZE = 200_000


class Authenticator:
    """Knows keys again by a hash of its own. The revision numbers, polled every 500 ms, tell when to forget."""

    def __init__(self, database: Database, key_secret: bytes):
        self._database = database
        self._secret = key_secret
        self._known: dict[bytes, KeyIdentity | None] = {}
        self._salt = os.urandom(32)
        self._revisions: dict[str, int] = {}

    def recall(self, headers: Iterable[tuple[bytes, bytes]]) -> KeyIdentity | None:
        """The identity behind a request's key, if it is known already and may call. Whatever else there is to say of
        it, `identify` says. Raises NotAuthenticated (no key, or several).
        """
        identity = self._known.get(self._mark(key_of(headers)))
        if identity is None or identity.revoked or not identity.account_active:
            return None
        return identity if identity.expires_at is None or identity.expires_at > time.time_ns() // 1000 else None

    async def identify(self, headers: Iterable[tuple[bytes, bytes]]) -> KeyIdentity:
        """The identity behind a request's key.

        Raises NotAuthenticated (none, several, malformed, unknown, expired, revoked) or Forbidden
        (`account_deactivated`).
        """
        key = key_of(headers)
        mark = self._mark(key)
        if mark in self._known:
            identity = self._known[mark]
        elif keys.looks_valid(key):
            identity = await self._find(key, mark)
        else:
            raise NotAuthenticated('This is not an API key of Lumen. A key starts with sk_lumen_; check it for typos.')
        if identity is None or identity.revoked:
            raise NotAuthenticated('This API key is not known, or it was revoked.')
        if identity.expires_at is not None and identity.expires_at <= time.time_ns() // 1000:
            raise NotAuthenticated('This API key has expired.')
        if not identity.account_active:
            raise Forbidden('This account is deactivated.', code='account_deactivated')
        return identity

    async def watch(self) -> None:
        """Poll the revisions until cancelled."""
        while True:
            try:
                numbers = await self._database.read(revisions.numbers)
            except Exception as error:  # noqa: BLE001 - whatever it is, one must go on looking
                log.error('the revisions cannot be read', error=repr(error))
                self._known.clear()  # nobody is let in on what may have changed
            else:
                if numbers != self._revisions:
                    self._revisions = numbers
                    self._known.clear()
            await asyncio.sleep(POLL_SECONDS)

    def _mark(self, key: str) -> bytes:
        """Not the digest that is stored: OpenSSL gives up the interpreter for it, and so a turn to other threads."""
        return hashlib.blake2b(key.encode(), key=self._salt, digest_size=16).digest()

    async def _find(self, key: str, mark: bytes) -> KeyIdentity | None:
        revisions_before = self._revisions
        identity = await self._database.read(keys.find, keys.digest(key, self._secret))
        if self._revisions is revisions_before:  # else what was read may be from before the change
            self._known[mark] = identity
            if len(self._known) > CACHE_SIZE:
                del self._known[next(iter(self._known))]
        return identity


def key_of(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """The one key that was sent. Of two that differ nobody knows whose coins are meant, so that neither is taken."""
    authorization: str | None = None
    other: str | None = None
    for name, value in headers:
        if name == b'authorization':
            authorization = _only(authorization, 'Authorization', value)
        elif name == b'x-api-key':
            other = _only(other, 'x-api-key', value)
    scheme, _, given = (authorization or '').partition(' ')
    bearer = given.strip() if scheme.lower() == 'bearer' else ''
    if bearer and other is not None and bearer != other:
        raise NotAuthenticated('Authorization and x-api-key hold different keys. Send one of them.')
    if bearer or other is not None:
        return bearer or other or ''
    raise NotAuthenticated('No API key was given. Send it as "Authorization: Bearer sk_lumen_...".')


def _only(before: str | None, name: str, value: bytes) -> str:
    if before is not None:
        raise NotAuthenticated(f'The header {name} was sent more than once. Send it once.')
    return value.decode('latin-1').strip()
