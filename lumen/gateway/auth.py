"""Whose call it is: the key of the request, looked up once and then remembered until something changes."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Iterable

import structlog

from lumen.database import Database
from lumen.errors import DatabaseUnavailable, Forbidden, NotAuthenticated
from lumen.identity import keys, revisions
from lumen.identity.keys import KeyIdentity

log = structlog.get_logger()

POLL_SECONDS = 0.5
CACHE_SIZE = 200_000


class Authenticator:
    """Knows keys by their digest. The revision numbers, polled every 500 ms, tell when to forget."""

    def __init__(self, database: Database, key_secret: bytes):
        self._database = database
        self._secret = key_secret
        self._known: OrderedDict[str, KeyIdentity | None] = OrderedDict()
        self._revisions: dict[str, int] = {}

    async def identify(self, headers: Iterable[tuple[bytes, bytes]]) -> KeyIdentity:
        """The identity behind a request's key.

        Raises NotAuthenticated (none, several, malformed, unknown, expired, revoked) or Forbidden
        (`account_deactivated`).
        """
        key = _key_of(headers)
        digest = keys.digest(key, self._secret)
        if digest in self._known:
            self._known.move_to_end(digest)
            identity = self._known[digest]
        elif keys.looks_valid(key):
            identity = await self._find(digest)
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
            except DatabaseUnavailable as error:
                log.error('the revisions cannot be read', error=str(error))
                self._known.clear()  # nobody is let in on what may have changed
            else:
                if numbers != self._revisions:
                    self._revisions = numbers
                    self._known.clear()
            await asyncio.sleep(POLL_SECONDS)

    async def _find(self, digest: str) -> KeyIdentity | None:
        revisions_before = self._revisions
        identity = await self._database.read(keys.find, digest)
        if self._revisions is revisions_before:  # else what was read may be from before the change
            self._known[digest] = identity
            if len(self._known) > CACHE_SIZE:
                self._known.popitem(last=False)
        return identity


def _key_of(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """The one key that was sent. Of two that differ nobody knows whose coins are meant, so that neither is taken."""
    pairs = list(headers)
    authorization = _only(pairs, 'Authorization')
    scheme, _, value = (authorization or '').partition(' ')
    bearer = value.strip() if scheme.lower() == 'bearer' else ''
    other = _only(pairs, 'x-api-key')
    if bearer and other is not None and bearer != other:
        raise NotAuthenticated('Authorization and x-api-key hold different keys. Send one of them.')
    if bearer or other is not None:
        return bearer or other or ''
    raise NotAuthenticated('No API key was given. Send it as "Authorization: Bearer sk_lumen_...".')


def _only(headers: list[tuple[bytes, bytes]], name: str) -> str | None:
    """The value of a header that may be sent once; None when it was not."""
    found = [value.decode('latin-1').strip() for sent, value in headers if sent == name.lower().encode()]
    if len(found) > 1:
        raise NotAuthenticated(f'The header {name} was sent {len(found)} times. Send it once.')
    return found[0] if found else None
