"""In front of everything: which app answers a path. The gateway never passes through the pages, nor they through it."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from uuid import uuid4

import structlog
from starlette.types import ASGIApp, Receive, Scope, Send

from lumen.errors import LumenError

log = structlog.get_logger()

Ready = Callable[[], Awaitable[str]]
"""Why this process is not ready to serve; empty when it is."""


class Dispatcher:
    """`/v1` goes to the gateway, `/healthz` and `/readyz` are answered here, everything else goes to the pages.

    An app that this process does not serve is None. `running` is entered at start-up and left at shutdown.
    """

    def __init__(
        self,
        *,
        gateway: ASGIApp | None,
        pages: ASGIApp | None,
        ready: Ready,
        running: Callable[[], AbstractAsyncContextManager[None]],
    ):
        self.gateway = gateway
        self.pages = pages
        self.ready = ready
        self.running = running

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope['type'] == 'lifespan':
            await self._live(receive, send)
            return
        app = self._choose(scope)
        if app is not None:
            await app(scope, receive, send)
        elif scope['type'] == 'websocket':
            await _refuse(scope, receive, send)
        elif _is_of_the_api(scope['path']):
            await _answer(send, 404, error('This process does not serve the API.', 'unknown_url'), with_id=True)
        else:
            await _answer(send, 404, error('There is nothing at this address.', 'not_found'))

    def _choose(self, scope: Scope) -> ASGIApp | None:
        path = scope['path']
        if scope['type'] == 'websocket':
            return None if _is_of_the_api(path) else self.pages
        if _is_of_the_api(path):
            return self.gateway
        if path == '/healthz':
            return self._healthz
        if path == '/readyz':
            return self._readyz
        return self.pages

    async def _healthz(self, scope: Scope, receive: Receive, send: Send) -> None:
        await _answer(send, 200, {'status': 'alive'})

    async def _readyz(self, scope: Scope, receive: Receive, send: Send) -> None:
        reason = await self.ready()
        if reason:
            await _answer(send, 503, {'status': 'not ready', 'reason': reason})
        else:
            await _answer(send, 200, {'status': 'ready'})

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        running = self.running()
        try:
            await running.__aenter__()
        except LumenError as failure:
            await send({'type': 'lifespan.startup.failed', 'message': failure.message})
            return
        await send({'type': 'lifespan.startup.complete'})
        await receive()
        await running.__aexit__(None, None, None)
        await send({'type': 'lifespan.shutdown.complete'})


def error(message: str, code: str) -> dict[str, object]:
    """An error in OpenAI's shape."""
    return {'error': {'message': message, 'type': 'invalid_request_error', 'param': None, 'code': code}}


def _is_of_the_api(path: str) -> bool:
    return path == '/v1' or path.startswith('/v1/')


async def _refuse(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer a handshake that nobody here takes: below `/v1` in OpenAI's shape, where the server can send a body."""
    await receive()
    if _is_of_the_api(scope['path']) and 'websocket.http.response' in (scope.get('extensions') or {}):
        message = 'There are no WebSockets below /v1. Streams are server-sent events: ask with "stream": true.'
        await _answer(send, 404, error(message, 'unknown_url'), with_id=True, kind='websocket.http')
    else:
        await send({'type': 'websocket.close', 'code': 1000})


async def _answer(
    send: Send, status: int, content: dict[str, object], *, with_id: bool = False, kind: str = 'http'
) -> None:
    body = json.dumps(content).encode()
    headers = [
        (b'content-type', b'application/json'),
        (b'content-length', str(len(body)).encode()),
        (b'cache-control', b'no-store'),
        (b'x-content-type-options', b'nosniff'),
    ]
    if with_id:
        headers.append((b'x-request-id', f'req_{uuid4().hex}'.encode()))
    await send({'type': f'{kind}.response.start', 'status': status, 'headers': headers})
    await send({'type': f'{kind}.response.body', 'body': body})
