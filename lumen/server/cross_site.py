"""Refusing what another site makes a browser send, without tokens: browsers say where a request comes from.

Source: Go's `net/http.CrossOriginProtection` and the article behind it, https://words.filippo.io/csrf/. Two things are
stricter here: a request that changes something and says nothing of its origin is refused as well, since nothing but
the forms of our own pages sends one; and the socket of the pages is held to the same, as a socket does whatever its
page can do.
"""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlsplit

import structlog
from starlette.types import ASGIApp, Receive, Scope, Send

from lumen.seldom import Seldom

log = structlog.get_logger()

SAFE_METHODS = frozenset({'GET', 'HEAD', 'OPTIONS'})
MOST_TOLD = 200
SOCKET_PATH = '/_nicegui_ws/'
REFUSAL = b'This came from another site. Do it from a page of this one.\n'


class NoCrossSite:
    """In front of pages, which know people by a cookie. Not for `/v1`: a key is never sent by a browser by itself.

    `own_address` returns the address under which people reach this site, empty when it is not configured.
    """

    def __init__(self, app: ASGIApp, *, own_address: Callable[[], str]):
        self.app = app
        self._own_address = own_address
        self._seldom = Seldom()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope['type'] in ('http', 'websocket') and _changes_something(scope) and not self._is_ours(scope):
            self._tell(scope)
            await _refuse(scope, receive, send)
            return
        await self.app(scope, receive, send)

    def _tell(self, scope: Scope) -> None:
        """Anybody can send these, as often and as long as they like."""
        if (untold := self._seldom.turn()) is not None:
            path, origin = scope['path'][:MOST_TOLD], _header(scope, b'origin')[:MOST_TOLD]
            log.warning('refused what another site sent', path=path, origin=origin, refused_before=untold)

    def _is_ours(self, scope: Scope) -> bool:
        site, origin = _header(scope, b'sec-fetch-site'), _header(scope, b'origin')
        own = urlsplit(self._own_address())
        if origin and own.netloc and origin.lower() == f'{own.scheme}://{own.netloc}'.lower():
            return True
        if site:
            return site in ('same-origin', 'none')
        if origin:
            return urlsplit(origin).netloc.lower() == _header(scope, b'host').lower() != ''
        # A page's own GET says neither over plain HTTP; what another site fetches always names its origin.
        return scope['type'] == 'http' and scope['method'] in SAFE_METHODS


def _changes_something(scope: Scope) -> bool:
    is_socket = scope['type'] == 'websocket' or scope['path'].startswith(SOCKET_PATH)
    return is_socket or scope['method'] not in SAFE_METHODS


def _header(scope: Scope, name: bytes) -> str:
    return next((value.decode('latin-1') for key, value in scope['headers'] if key == name), '')


async def _refuse(scope: Scope, receive: Receive, send: Send) -> None:
    if scope['type'] == 'websocket':
        await receive()
        await send({'type': 'websocket.close', 'code': 1008})  # before it was accepted, the server answers 403
        return
    headers = [(b'content-type', b'text/plain; charset=utf-8'), (b'content-length', str(len(REFUSAL)).encode())]
    await send({'type': 'http.response.start', 'status': 403, 'headers': headers})
    await send({'type': 'http.response.body', 'body': REFUSAL})
