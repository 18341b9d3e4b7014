"""`/v1` as one ASGI app: which call is asked for, and an answer in OpenAI's shape whatever happens."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from random import Random
from typing import Any

import structlog
from starlette.types import Receive, Scope, Send

from lumen import access
from lumen.config.settings import Model
from lumen.database import Database
from lumen.errors import DatabaseUnavailable, LumenError, NotFound
from lumen.gateway import body as request_body
from lumen.gateway import errors
from lumen.gateway.admission import Admission, find_model
from lumen.gateway.auth import Authenticator
from lumen.gateway.body import MEGABYTE, Disconnected
from lumen.gateway.calls import Calls
from lumen.gateway.expectation import Expectation
from lumen.gateway.health import HealthNotes
from lumen.gateway.operations import Operation, route_of
from lumen.gateway.relay import Relay
from lumen.gateway.upstream import Upstream
from lumen.ledger import Ledger
from lumen.ledger.ledger import SettingsSource

log = structlog.get_logger()

GRACE_SECONDS = 30.0
BODY_IS_THERE = 'lumen.body_is_there'
"""What Lumen's own server adds to a request: a function that says whether its whole body has come."""

HOST = re.compile(r'[A-Za-z0-9._-]+(:\d+)?|\[[0-9A-Fa-f:.]+\](:\d+)?')
OWNER = 'lumen'
CREATED = 1_700_000_000
"""OpenAI's model objects state when a model was made; nobody knows, and clients insist on a number."""


class Gateway:
    """The gateway of one process. `app` is the ASGI app; it refuses new calls once `stop` was called."""

    def __init__(self, configuration: SettingsSource, database: Database, ledger: Ledger, key_secret: bytes):
        expectation = Expectation()
        self._configuration = configuration
        self._upstream = Upstream()
        self._authenticator = Authenticator(database, key_secret)
        self._admission = Admission(ledger, expectation)
        self._relay = Relay(self._upstream, ledger, expectation, HealthNotes(database))
        self._calls = Calls()
        self._watching: asyncio.Task[None] | None = None
        self._is_stopping = False
        self._random = Random()  # noqa: S311 - ids open nothing; asking the system gives up the interpreter

    async def start(self) -> None:
        await self._upstream.start()
        self._watching = asyncio.create_task(self._authenticator.watch())

    async def stop(self, grace_seconds: float = GRACE_SECONDS) -> None:
        """Let calls in flight finish, at most `grace_seconds`; what is left then is cut off and settled."""
        self._is_stopping = True
        await self._calls.finish(grace_seconds)
        if self._watching is not None:
            self._watching.cancel()
            with suppress(asyncio.CancelledError):
                await self._watching
        await self._upstream.stop()

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request below `/v1`."""
        if scope['type'] != 'http':
            raise RuntimeError(f'/v1 speaks HTTP, not {scope["type"]}')
        request_id = self._new_id()
        has_begun = False

        async def tracked(message: Any) -> None:
            nonlocal has_begun
            has_begun = True
            await send(message)

        try:
            await self._route(request_id, scope, receive, tracked)
        except DatabaseUnavailable as error:
            log.error('the database failed a call', request_id=request_id, error=str(error))
            if not has_begun:
                await errors.respond(send, request_id, error, {'retry-after': '5'})
        except LumenError as error:
            await errors.respond(send, request_id, error)
        except Disconnected:
            log.info('the caller left before the request was complete', request_id=request_id)
        except Exception:
            log.exception('a call failed', request_id=request_id)
            if has_begun:
                raise  # the server closes the connection, so that a part is not taken for the whole
            await errors.respond(send, request_id, LumenError('Something went wrong inside Lumen.'))

    def _new_id(self) -> str:
        """Later ones are greater, so that indexes grow at their end and not all over."""
        return f'req_{time.time_ns() // 1000:014x}{self._random.getrandbits(72):018x}'

    async def _route(self, request_id: str, scope: Scope, receive: Receive, send: Send) -> None:
        if self._is_stopping:
            raise LumenError('Lumen is shutting down.', code='unavailable', status=503)
        path: str = scope['path']
        method: str = scope['method']
        route, name = route_of(path)
        if route is None:
            raise NotFound(f'There is no {method} {path[:200]} here.', code='unknown_url')
        _allow(method, route.method)
        if route.operation is not None:
            await self._call(route.operation, request_id, scope, receive, send)
        elif route.path.endswith('{id}'):
            await self._model(request_id, scope, send, name)
        else:
            await self._models(request_id, scope, send)

    async def _call(self, operation: Operation, request_id: str, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope['headers'])
        max_bytes = self._configuration.current.api.max_body_mb * MEGABYTE
        identity = await self._authenticator.identify(scope['headers'])
        is_there = (scope.get('extensions') or {}).get(BODY_IS_THERE)
        body = request_body.parse(
            await request_body.read(receive, headers, max_bytes, is_there=is_there is not None and is_there())
        )
        operation.check(body)

        async def work(has_left: Callable[[], bool]) -> None:
            settings = self._configuration.current
            call = await self._admission.admit(
                operation,
                body,
                request_id=request_id,
                identity=identity,
                settings=settings,
                site=settings.app.url.rstrip('/') or _site(scope, headers),
            )
            await self._relay.run(call, send, has_left)

        await self._calls.run(scope, receive, work)

    async def _models(self, request_id: str, scope: Scope, send: Send) -> None:
        identity = await self._authenticator.identify(scope['headers'])
        visible = access.visible(self._configuration.current, identity.kind, identity.handle)
        await _json(send, request_id, {'object': 'list', 'data': [_described(model) for model in visible]})

    async def _model(self, request_id: str, scope: Scope, send: Send, name: str) -> None:
        identity = await self._authenticator.identify(scope['headers'])
        await _json(send, request_id, _described(find_model(self._configuration.current, identity, name)))


def _described(model: Model) -> dict[str, Any]:
    return {'id': model.name, 'object': 'model', 'created': CREATED, 'owned_by': OWNER}


async def _json(send: Send, request_id: str, content: dict[str, Any]) -> None:
    await errors.answer(send, request_id, 200, json.dumps(content, ensure_ascii=False).encode())


def _allow(method: str, allowed: str) -> None:
    if method != allowed and not (allowed == 'GET' and method == 'HEAD'):
        raise errors.MethodNotAllowed(f'{method} is not possible here; use {allowed}.', allowed)


def _site(scope: Scope, headers: Mapping[bytes, bytes]) -> str:
    """Where this request itself came to, as good a guess as any where no `app.url` says it. Empty when unclear.

    Headers that a proxy would add are not believed: anybody can send them.
    """
    host = headers.get(b'host', b'').decode('latin-1')
    return f'{scope["scheme"]}://{host}' if HOST.fullmatch(host) else ''
