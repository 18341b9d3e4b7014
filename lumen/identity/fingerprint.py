"""Whether keys are made and looked for under one secret: by its fingerprint in the database."""

from __future__ import annotations

import hashlib
import hmac

import models
from lumen.config import secrets
from lumen.config.settings import Settings
from lumen.database import now, tuples
from lumen.errors import ConfigurationError
from lumen.ledger.recovery import DEAD_AFTER_US

NAME = 'encryption_key'
TEXT = b'the fingerprint of the encryption key of Lumen'
MOST_NAMED = 10


def of(secret: bytes) -> str:
    """The HMAC-SHA-256 of a text that everybody knows, in hexadecimal."""
    return hmac.new(secret, TEXT, hashlib.sha256).hexdigest()


def require_same(secret: bytes, *, settings: Settings) -> None:
    """Within a write: remember the first secret by its fingerprint, refuse another one.

    Once no key works any more and nobody serves, another one takes its place. Raises ConfigurationError until then.
    """
    row, ours = models.Fingerprint, of(secret)
    # One that is there is not changed but locked, until the key that is being made is there for others to see.
    row.insert(name=NAME, value=ours).on_conflict(conflict_target=[row.name], update={row.name: NAME}).execute()
    if row.get_by_id(NAME).value == ours:
        return
    wrong = (
        f'app.encryption_key (from {secrets.origin(settings, NAME)}) is not the one that the keys in this database '
        'were made with; configure that one'
    )
    if working := _working_keys():
        named = ', '.join(map(str, working[:MOST_NAMED])) + (', ...' if len(working) > MOST_NAMED else '')
        raise ConfigurationError(f'{wrong}, or revoke the keys that are there with `lumen key revoke`: {named}')
    if _is_served():
        raise ConfigurationError(f'{wrong}, or stop the process that serves with it')
    row.update(value=ours).where(row.name == NAME).execute()


def _working_keys() -> list[int]:
    """The ids of the keys that are neither revoked nor expired, one more at the most than are named."""
    key = models.ApiKey
    lasts = key.expires_at.is_null() | (key.expires_at > now())
    query = key.select(key.id).where(key.revoked_at.is_null(), lasts).order_by(key.id).limit(MOST_NAMED + 1)
    return [key_id for (key_id,) in tuples(query)]


def _is_served() -> bool:
    process = models.Process
    return process.select().where(process.heartbeat_at > now() - DEAD_AFTER_US).exists()
