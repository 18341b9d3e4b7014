"""The cookie that a signed-in browser holds: how it is set, read and taken away."""

from __future__ import annotations

from starlette.requests import HTTPConnection
from starlette.responses import Response

from lumen.config.settings import Settings
from lumen.identity import sessions

HOST_PREFIX = '__Host-'
"""Browsers keep a cookie of such a name only when this very host set it over TLS, so no other one can plant it."""


def read(connection: HTTPConnection, settings: Settings) -> str | None:
    return connection.cookies.get(_name(connection, settings))


def give(response: Response, cookie: str, connection: HTTPConnection, settings: Settings) -> None:
    response.set_cookie(
        _name(connection, settings),
        cookie,
        max_age=sessions.LIFETIME_SECONDS,
        path='/',
        httponly=True,
        samesite='lax',
        secure=_is_secure(connection, settings),
    )


def take_away(response: Response, connection: HTTPConnection, settings: Settings) -> None:
    response.delete_cookie(
        _name(connection, settings),
        path='/',
        httponly=True,
        samesite='lax',
        secure=_is_secure(connection, settings),
    )


def _name(connection: HTTPConnection, settings: Settings) -> str:
    return HOST_PREFIX + sessions.COOKIE if _is_secure(connection, settings) else sessions.COOKIE


def _is_secure(connection: HTTPConnection, settings: Settings) -> bool:
    """Whether people reach this site over TLS: as the configuration says, or a trusted proxy, or the socket itself."""
    return settings.app.url.startswith('https:') or connection.url.scheme in ('https', 'wss')
