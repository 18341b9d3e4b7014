"""How many pages one may open a minute and hold open: far above what people do, far below what fills the memory.

An open page is memory on the server. Who is signed in is counted by session, so that a class behind one address does
not share a limit; strangers are counted by address, and all of them together have a limit too.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from nicegui import Client
from nicegui import app as pages_app
from starlette.datastructures import Headers
from starlette.requests import HTTPConnection, Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from lumen.errors import DatabaseUnavailable
from lumen.identity import sessions
from lumen_ui import session_cookie
from lumen_ui.frugal_page import frugal_page
from lumen_ui.limiter import TooMany, address_of
from lumen_ui.pages import errors
from lumen_ui.services import Services

DATABASE_ANSWERS_WITHIN_SECONDS = 2.0
SOCKETS = '/_nicegui_ws/'
SOCKET = '/_nicegui_ws/socket.io/'
ICON = '/favicon.ico'
# What is sent as it lies on the disk costs no memory, and a page loads dozens of it.
FOLDERS = ('/static/', '/_nicegui/')
NO_POLLING = PlainTextResponse('Pages speak over WebSockets, which something on the way does not let through.\n', 400)
KEY = 'lumen.counted_as'
"""Where the scope of a request, and so the page that it opens, keeps whom it counts for."""


@dataclass(frozen=True, slots=True)
class Allowance:
    """`openings` of pages a minute (a redirect is one too), and `held` pages at one time."""

    openings: int
    held: int


# Somebody who reloads twice a second, with a tab for every client they manage.
SIGNED_IN = Allowance(openings=120, held=120)
# A lecture hall behind one address in which everybody opens the sign-in page at once: two redirects and a page each.
STRANGERS = Allowance(openings=900, held=600)
# A sign-in page takes some 230 kB, for a minute when no browser connects to it: 350 MB are what strangers get.
STRANGERS_TOGETHER = 1500
# A refusal in the frame is a page too, and the limits are there to spare those: so many a minute, for all together.
REFUSALS_IN_THE_FRAME = 30


class PageLimits:
    """In front of the pages: what is too much is answered with a sentence, before anything is built for it."""

    def __init__(self, app: ASGIApp, services: Services):
        self.app = app
        self._services = services
        self._sockets: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope['type'] == 'websocket':
            await (self._socket(scope, receive, send) if scope['path'] == SOCKET else _close(receive, send))
        elif scope['type'] == 'lifespan' or _is_file(scope):
            await self.app(scope, receive, send)
        elif scope['path'].startswith(SOCKETS):
            await NO_POLLING(scope, receive, send)
        else:
            await self._page(scope, receive, send)

    async def _page(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            key = await self._count(scope, _open_pages)
        except TooMany as refusal:
            response = await self._refusal(scope, refusal)
            await response(scope, receive, send)
        else:
            await self.app({**scope, KEY: key}, receive, send)

    async def _refusal(self, scope: Scope, refusal: TooMany) -> Response:
        """A page where a browser asks for one, in the frame where few did; for others the sentence alone."""
        response: Response = PlainTextResponse(f'{refusal.message}\n', refusal.status)
        if 'text/html' in Headers(scope=scope).get('accept', ''):
            request = Request({**scope, 'app': pages_app})
            says = (refusal.status, 'Too many pages', refusal.message)
            try:
                await self._services.limiter.count(REFUSALS_IN_THE_FRAME, 'refusals in the frame')
                response = await errors.refusal(request, *says)
            except (TooMany, TimeoutError, DatabaseUnavailable):
                response = frugal_page(request, self._services.settings, *says)
        response.headers['retry-after'] = str(refusal.retry_after_seconds)
        response.headers['cache-control'] = 'no-store'
        return response

    async def _socket(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            key = await self._count(scope, lambda: self._sockets)
        except TooMany:
            await _close(receive, send)
            return
        self._sockets[key] += 1
        try:
            await self.app(scope, receive, send)
        finally:
            self._sockets[key] -= 1
            if not self._sockets[key]:
                del self._sockets[key]

    async def _count(self, scope: Scope, held: Callable[[], Counter[str]]) -> str:
        """Whom it counts for. Raises TooMany."""
        session = await self._session(scope)
        key, allowance = (session, SIGNED_IN) if session else (f'from {address_of(scope)}', STRANGERS)
        await self._services.limiter.count(allowance.openings, scope['type'], key)
        holding = held()
        strangers = 0 if session else sum(number for name, number in holding.items() if name.startswith('from '))
        if holding[key] >= allowance.held or strangers >= STRANGERS_TOGETHER:
            raise TooMany('Too many pages are open. Close some, and try again.', retry_after_seconds=60)
        return key

    async def _session(self, scope: Scope) -> str:
        """A name for the session that the cookie stands for; empty for strangers and for what they make up."""
        connection = HTTPConnection(scope)
        cookie = session_cookie.read(connection, self._services.settings)
        if not cookie:
            return ''
        try:
            async with asyncio.timeout(DATABASE_ANSWERS_WITHIN_SECONDS):
                if await self._services.database.read(sessions.find, cookie) is None:
                    return ''
        except (TimeoutError, DatabaseUnavailable):
            return ''  # nobody can say; the page that was asked for tells it better than a limit could
        return f'session {sessions.digest(cookie)}'


async def _close(receive: Receive, send: Send) -> None:
    await receive()
    await send({'type': 'websocket.close', 'code': 1013})


def _is_file(scope: Scope) -> bool:
    """Whether no page is built for it, not even one that says that there is no such file, or no such method."""
    path: str = scope['path']
    return scope['method'] == 'GET' and (path == ICON or path.startswith(FOLDERS))


def _open_pages() -> Counter[str]:
    keys = (client.request.scope.get(KEY) for client in Client.instances.values())
    return Counter(key for key in keys if key)
