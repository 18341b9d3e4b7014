"""Rotating a key: a new one now, and the old one works on until its programs have changed over."""

from __future__ import annotations

import models
from lumen.config.settings import Settings
from lumen.database import now
from lumen.errors import Conflict, Invalid
from lumen.identity import keys, permissions, revisions
from lumen.identity.keys import NewKey
from lumen.identity.permissions import Action, Actor
from lumen.records import audit

HOUR_US = 3_600_000_000
MAX_GRACE_US = 30 * 24 * HOUR_US


def length_of(created_at: int, expires_at: int) -> int | None:
    """For how long a key was made, in microseconds; None when it was made to end at a moment.

    Lengths are chosen in hours and days, which a moment is not away from any other to the microsecond.
    """
    length = expires_at - created_at
    return length if length % HOUR_US == 0 else None


def same_expiry(created_at: int, expires_at: int | None, moment: int) -> int | None:
    """When a key made at `moment` in the place of another expires, to do so as that one does: None for never."""
    if expires_at is None:
        return None
    length = length_of(created_at, expires_at)
    return expires_at if length is None else moment + length


def rotate_key(
    actor: Actor, key_id: int, *, expires_at: int | None, works_until: int | None, settings: Settings, secret: bytes
) -> NewKey:
    """Make a key of the same name and end the old one at `works_until`, or at once for None.

    `expires_at` is the new key's; both are microseconds since the epoch. A key that expires earlier still does.
    Raises NotFound for a key of somebody else, Conflict when it does not work any more, Invalid (`works_until`) for a
    time that has passed or is more than 30 days away, or what `keys.create_key` does.
    """
    row = keys.require_key(actor, key_id, settings)
    person = permissions.require(actor, Action.MANAGE_KEYS, settings, row.account_id)
    moment = now()
    state = keys.state_of(row, moment)
    if state != 'active':
        raise Conflict(f'The key {row.hint} is {state}. Make a new one.')
    if works_until is not None and works_until <= moment:
        raise Invalid('The old key can only work until a time that is still to come.', param='works_until')
    if works_until is not None and works_until > moment + MAX_GRACE_US:
        raise Invalid('The old key can work for at most 30 more days.', param='works_until')
    new = keys.add_key(person, row.account_id, row.name, expires_at, settings=settings, secret=secret)
    if works_until is None:
        ended = {models.ApiKey.revoked_at: moment}
    else:
        ended = {models.ApiKey.expires_at: min(works_until, row.expires_at or works_until)}
    models.ApiKey.update(ended).where(models.ApiKey.id == key_id).execute()
    revisions.bump(revisions.KEYS)
    audit.record(
        person,
        'key.rotated',
        account_id=row.account_id,
        subject=row.hint,
        before={'name': row.name, 'hint': row.hint, 'expires_at': row.expires_at},
        after={'hint': new.hint, 'expires_at': expires_at, 'works_until': works_until},
    )
    return new
