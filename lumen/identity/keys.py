"""API keys: made, recognised, listed, revoked. A key is shown once; only its HMAC is kept.

`sk_lumen_` + 32 random base62 characters + 6 base62 characters of the CRC-32 of all before them, so that a typo is
refused without a look-up and secret scanners can find leaks.
"""

from __future__ import annotations

import hmac
import re
import secrets
import string
import zlib
from dataclasses import dataclass, field

import models
from lumen.config.settings import Settings
from lumen.database import now, tuples
from lumen.errors import Conflict, Invalid, NotFound
from lumen.identity import fingerprint, permissions, revisions
from lumen.identity.permissions import Action, Actor, Person
from lumen.records import audit

PREFIX = 'sk_lumen_'
ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
SHAPE = re.compile(r'sk_lumen_[0-9A-Za-z]{38}\Z')
CHECKSUM_LENGTH = 6
MAX_NAME = 64
LAST_EXPIRY = 253_402_300_799_999_999
"""The last microsecond of the year 9999 in UTC: what comes later has a year that dates cannot be written with."""


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key at the only moment when it can be read."""

    id: int
    name: str
    hint: str
    key: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class KeyRow:
    """A key as its owners see it later. Times are microseconds since the epoch, `spent` is nanocoins."""

    id: int
    name: str
    hint: str
    requests: int
    input_tokens: int
    output_tokens: int
    spent: int
    created_at: int
    last_used_at: int | None
    expires_at: int | None
    revoked_at: int | None
    state: str


@dataclass(frozen=True, slots=True)
class KeyIdentity:
    """Whose key it is, as the gateway needs to know."""

    key_id: int
    account_id: int
    kind: str
    handle: str
    account_active: bool
    expires_at: int | None
    revoked: bool
    accepted: frozenset[tuple[str, str]]
    """What was acknowledged for the account: model and digest of the message."""


def looks_valid(key: str) -> bool:
    """Whether the shape and the checksum are right; says nothing about whether such a key exists."""
    return SHAPE.match(key) is not None and hmac.compare_digest(
        _checksum(key[:-CHECKSUM_LENGTH]), key[-CHECKSUM_LENGTH:]
    )


def digest(key: str, secret: bytes) -> str:
    """What is stored of a key: its HMAC-SHA-256 in hexadecimal."""
    return hmac.digest(secret, key.encode(), 'sha256').hex()


def hint(key: str) -> str:
    """What a key is recognised by later: its first and its last characters."""
    return f'{key[: len(PREFIX) + 4]}…{key[-4:]}'


def find(digest: str) -> KeyIdentity | None:
    """Within a read: whose key this is."""
    query = (
        models.ApiKey.select(
            models.ApiKey.id,
            models.ApiKey.account,
            models.ApiKey.expires_at,
            models.ApiKey.revoked_at,
            models.Account.kind,
            models.Account.handle,
            models.Account.active,
        )
        .join(models.Account, on=(models.Account.id == models.ApiKey.account))
        .where(models.ApiKey.digest == digest)
    )
    for key_id, account_id, expires_at, revoked_at, kind, handle, active in tuples(query):
        row = models.Acknowledgement
        accepted = frozenset(tuples(row.select(row.model, row.message_digest).where(row.account == account_id)))
        revoked = revoked_at is not None
        return KeyIdentity(key_id, account_id, kind, handle, bool(active), expires_at, revoked, accepted)
    return None


def create_key(
    actor: Actor, account_id: int, name: str, expires_at: int | None, *, settings: Settings, secret: bytes
) -> NewKey:
    """Make a key for a client. `expires_at` is microseconds since the epoch, None for never.

    Raises Invalid (`name`, `expires_at`), Conflict when the client is deactivated, ConfigurationError when `secret` is
    not that of the other keys, or what `permissions.require` does.
    """
    person = permissions.require(actor, Action.MANAGE_KEYS, settings, account_id)
    new = add_key(person, account_id, name, expires_at, settings=settings, secret=secret)
    audit.record(
        person,
        'key.created',
        account_id=account_id,
        subject=new.hint,
        after={'name': new.name, 'hint': new.hint, 'expires_at': expires_at},
    )
    return new


def add_key(
    person: Person, account_id: int, name: str, expires_at: int | None, *, settings: Settings, secret: bytes
) -> NewKey:
    """Within a write, for actions that checked that `person` may and that write the audit. Raises as `create_key`."""
    name = _check_name(name)
    moment = now()
    if expires_at is not None and expires_at <= moment:
        raise Invalid('The expiry must lie in the future.', param='expires_at')
    if expires_at is not None and expires_at > LAST_EXPIRY:
        raise Invalid('The expiry can be the end of 9999-12-31 (UTC) at the latest.', param='expires_at')
    account = models.Account.get_by_id(account_id)
    if not account.active:
        raise Conflict(f'Client "{account.name}" is deactivated. Activate it before you make a key.')
    fingerprint.require_same(secret, settings=settings)
    key = _new_key()
    shown = hint(key)
    row = models.ApiKey.create(
        account=account_id,
        name=name,
        digest=digest(key, secret),
        hint=shown,
        created_at=moment,
        created_by=person.label,
        expires_at=expires_at,
    )
    revisions.bump(revisions.KEYS)
    return NewKey(row.id, name, shown, key)


def revoke_key(actor: Actor, key_id: int, *, settings: Settings) -> KeyRow:
    """Make a key stop working. Revoking it again changes nothing. Raises NotFound for a key of somebody else."""
    row = require_key(actor, key_id, settings)
    person = permissions.require(actor, Action.MANAGE_KEYS, settings, row.account_id)
    moment = now()
    before = state_of(row, moment)
    revoked = (
        models.ApiKey.update(revoked_at=moment)
        .where(models.ApiKey.id == key_id, models.ApiKey.revoked_at.is_null())
        .execute()
    )
    if revoked:
        row.revoked_at = moment
        revisions.bump(revisions.KEYS)
        audit.record(
            person,
            'key.revoked',
            account_id=row.account_id,
            subject=row.hint,
            before={'name': row.name, 'state': before},
            after={'name': row.name, 'state': 'revoked'},
        )
    return _row(row, moment)


def require_key(actor: Actor, key_id: int, settings: Settings) -> models.ApiKey:
    """The row of a key that the actor may manage. Raises NotFound, in the same words for a key of somebody else."""
    row = models.ApiKey.get_or_none(models.ApiKey.id == key_id)
    try:
        if row is not None:
            permissions.require(actor, Action.MANAGE_KEYS, settings, row.account_id)
            return row
    except NotFound:
        pass
    raise NotFound('There is no such key.', code='key_not_found')


def keys_of(actor: Actor, account_id: int, *, settings: Settings, include_revoked: bool = False) -> list[KeyRow]:
    """The keys of a client, newest first."""
    permissions.require(actor, Action.SEE_CLIENT, settings, account_id)
    query = models.ApiKey.select().where(models.ApiKey.account == account_id).order_by(models.ApiKey.id.desc())
    if not include_revoked:
        query = query.where(models.ApiKey.revoked_at.is_null())
    moment = now()
    return [_row(row, moment) for row in query]


def state_of(row: models.ApiKey, moment: int) -> str:
    """*active*, *expired* or *revoked*."""
    if row.revoked_at is not None:
        return 'revoked'
    return 'expired' if row.expires_at is not None and row.expires_at <= moment else 'active'


def _row(row: models.ApiKey, moment: int) -> KeyRow:
    return KeyRow(
        row.id,
        row.name,
        row.hint,
        row.requests,
        row.input_tokens,
        row.output_tokens,
        row.spent,
        row.created_at,
        row.last_used_at,
        row.expires_at,
        row.revoked_at,
        state_of(row, moment),
    )


def _check_name(name: str) -> str:
    name = name.strip()
    if not name:
        raise Invalid('Enter a name for the key.', param='name')
    if len(name) > MAX_NAME:
        raise Invalid(f'A name has at most {MAX_NAME} characters; this one has {len(name)}.', param='name')
    if not name.isprintable():
        raise Invalid('A name consists of printable characters.', param='name')
    return name


def _new_key() -> str:
    body = PREFIX + ''.join(secrets.choice(ALPHABET) for _ in range(32))
    return body + _checksum(body)


def _checksum(text: str) -> str:
    number = zlib.crc32(text.encode())
    characters = []
    for _ in range(CHECKSUM_LENGTH):
        number, remainder = divmod(number, len(ALPHABET))
        characters.append(ALPHABET[remainder])
    return ''.join(reversed(characters))
