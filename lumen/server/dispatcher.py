"""In front of everything: which app answers a path. The gateway never passes through the pages, nor they through it."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

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
            await receive()
            await send({'type': 'websocket.close', 'code': 1000})
        else:
            await _answer(send, 404, error('There is nothing at this address.', 'not_found'))

    def _choose(self, scope: Scope) -> ASGIApp | None:
        if scope['type'] == 'websocket':
            return self.pages
        path = scope['path']
        if path == '/v1' or path.startswith('/v1/'):
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


async def _answer(send: Send, status: int, content: dict[str, object]) -> None:
    body = json.dumps(content).encode()
    start: Message = {
        'type': 'http.response.start',
        'status': status,
        'headers': [
            (b'content-type', b'application/json'),
            (b'content-length', str(len(body)).encode()),
            (b'cache-control', b'no-store'),
            (b'x-content-type-options', b'nosniff'),
        ],
    }
    await send(start)
    await send({'type': 'http.response.body', 'body': body})
