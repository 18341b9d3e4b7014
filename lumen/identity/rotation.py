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

MAX_GRACE_US = 30 * 86_400_000_000


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
