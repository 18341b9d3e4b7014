"""Signed-in browsers: an opaque cookie whose hash is a row, so that every process knows it and any can end it."""

from __future__ import annotations

import hashlib
import secrets

import models
from lumen.database import now

COOKIE = 'lumen_session'
LIFETIME_SECONDS = 12 * 3600


def start(user_id: int) -> str:
    """Within a write: a new session of the user. Returns the cookie's value, which is stored nowhere."""
    moment = now()
    models.Session.delete().where(models.Session.expires_at <= moment).execute()
    cookie = secrets.token_urlsafe(32)
    models.Session.create(
        digest=digest(cookie), user=user_id, created_at=moment, expires_at=moment + LIFETIME_SECONDS * 1_000_000
    )
    return cookie


def find(cookie: str) -> int | None:
    """Within a read: the user whose live session this is; None when it ended, expired or the user is deactivated."""
    row = (
        models.Session.select(models.Session.user)
        .join(models.Account, on=(models.Account.id == models.Session.user))
        .where(
            models.Session.digest == digest(cookie),
            models.Session.ended_at.is_null(),
            models.Session.expires_at > now(),
            models.Account.active,
        )
        .first()
    )
    return None if row is None else int(row.user_id)


def end(cookie: str) -> None:
    """Within a write: end the session, in all its tabs."""
    models.Session.update(ended_at=now()).where(
        models.Session.digest == digest(cookie), models.Session.ended_at.is_null()
    ).execute()


def digest(cookie: str) -> str:
    """What is kept of a cookie: it recognises the session and cannot be used to get in."""
    return hashlib.sha256(cookie.encode('utf-8', 'surrogateescape')).hexdigest()
