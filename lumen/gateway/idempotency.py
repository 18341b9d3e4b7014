"""`Idempotency-Key`: what a caller asks for again within a day is neither run nor charged again.

Only the caller can read the answer that is kept: it is encrypted with a key that is made of the API key and the
idempotency key, neither of which Lumen has. By the same means a request is known again without being kept.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import os
from collections.abc import Iterable
from typing import NamedTuple

import structlog
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from lumen.database import Database
from lumen.errors import Conflict, DatabaseUnavailable, Invalid, LumenError
from lumen.gateway.exchange import Exchange
from lumen.records import repeats
from lumen.records.repeats import Repeat

log = structlog.get_logger()

FIELD = b'idempotency-key'
MOST_CHARACTERS = 255
MOST_KEPT_BYTES = 1024 * 1024
NONCE_BYTES = 12
FORGETS_EVERY_SECONDS = 600.0


class Secrets(NamedTuple):
    """What is made of an API key and an idempotency key: a name for the database, and two secrets."""

    name: str
    encryption: bytes
    fingerprint: bytes


def key_of(headers: Iterable[tuple[bytes, bytes]]) -> bytes | None:
    """The idempotency key of a request, if it has one. Raises Invalid."""
    given = None
    for name, value in headers:  # as all calls are looked at
        if name == FIELD:
            given = [value] if given is None else [*given, value]
    if given is None:
        return None
    key = given[0].strip()
    is_printable = all(33 <= byte <= 126 for byte in key)
    if len(given) > 1 or not is_printable or not 0 < len(key) <= MOST_CHARACTERS:
        raise Invalid(
            f'Idempotency-Key must be one text of 1 to {MOST_CHARACTERS} printable ASCII characters without spaces.',
            param='Idempotency-Key',
        )
    return key


def secrets_of(api_key: str, idempotency_key: bytes) -> Secrets:
    derived = HKDF(SHA256(), 96, salt=idempotency_key, info=b'lumen idempotency').derive(api_key.encode())
    return Secrets(derived[:32].hex(), derived[32:64], derived[64:])


class Repeats:
    """The calls of one process that may be asked for again."""

    def __init__(self, database: Database):
        self._database = database

    async def watch(self) -> None:
        """Forget what is old, now and then, until cancelled."""
        while True:
            await asyncio.sleep(FORGETS_EVERY_SECONDS)
            try:
                await self._database.write(repeats.forget_old)
            except DatabaseUnavailable as error:
                log.error('old answers could not be forgotten', error=str(error))

    async def begin(self, secrets: Secrets, key_id: int, exchange: Exchange, content: bytes) -> Once | None:
        """Let a call that is asked for the first time run; None when it was answered with what is kept of it.

        Raises Conflict (`in_progress`, `already_done` with the id of the first, or `idempotency_key_reused`).
        """
        asked = hmac.digest(secrets.fingerprint, exchange.path.encode() + b'\0' + content, hashlib.sha256).hex()
        first = await self._database.write(repeats.begin, secrets.name, key_id, exchange.request_id, asked)
        if first is None:
            once = Once(self._database, secrets, exchange.request_id)
            exchange.before_answer = once.keep
            return once
        if not hmac.compare_digest(first.asked, asked):
            raise Conflict(
                'This Idempotency-Key was used for another request. Use a new one for each.',
                code='idempotency_key_reused',
                param='Idempotency-Key',
            )
        await self._repeat(secrets, first, exchange)
        return None

    async def _repeat(self, secrets: Secrets, first: Repeat, exchange: Exchange) -> None:
        if not first.has_ended:
            raise Conflict('The first call with this Idempotency-Key is still running.', code='in_progress')
        content = None if first.answer is None else _decrypted(secrets, first.answer, first.request_id)
        if content is None:
            raise Conflict(
                f'The call {first.request_id} with this Idempotency-Key has run, and its answer was not kept.',
                code='already_done',
            )
        more = {'idempotent-replayed': 'true', 'x-first-request-id': first.request_id}
        await exchange.answer(200, content, more)


class Once:
    """A call that runs once. Whoever began it says `ended`, however it did."""

    def __init__(self, database: Database, secrets: Secrets, request_id: str):
        self._database = database
        self._secrets = secrets
        self._request_id = request_id

    async def keep(self, status: int, content: bytes) -> None:
        """Keep a whole answer before it is released, if it is one to keep. Nothing withholds what is paid for."""
        if status != 200 or len(content) > MOST_KEPT_BYTES:
            return
        answer = _encrypted(self._secrets, content, self._request_id)
        try:
            await self._database.write(repeats.keep, self._secrets.name, self._request_id, answer)
        except DatabaseUnavailable as error:
            log.error('an answer could not be kept', request_id=self._request_id, error=str(error))

    def ended(self) -> None:
        """Note that it did; one that came to nothing may run again. Only queues, for it is said in a `finally`."""
        self._database.submit(repeats.end, self._secrets.name, self._request_id)


def _encrypted(secrets: Secrets, content: bytes, request_id: str) -> bytes:
    nonce = os.urandom(NONCE_BYTES)
    return nonce + AESGCM(secrets.encryption).encrypt(nonce, content, request_id.encode())


def _decrypted(secrets: Secrets, answer: bytes, request_id: str) -> bytes:
    try:
        return AESGCM(secrets.encryption).decrypt(answer[:NONCE_BYTES], answer[NONCE_BYTES:], request_id.encode())
    except InvalidTag:
        raise LumenError('The answer that was kept cannot be read.') from None
