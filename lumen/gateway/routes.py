"""`/v1` as one ASGI app: which call is asked for, and an answer in OpenAI's shape whatever happens."""

from __future__ import annotations

import asyncio
import hmac
import json
import time
from collections.abc import Callable
from functools import partial
from random import Random
from typing import Any, NamedTuple

import structlog
from starlette.types import Receive, Scope, Send

from lumen import access
from lumen.config.serving import Api
from lumen.database import Database
from lumen.errors import DatabaseUnavailable, LumenError, NotFound, ShuttingDown
from lumen.gateway import body as request_body
from lumen.gateway import errors, idempotency, listing
from lumen.gateway.admission import Admission, find_model, not_found
from lumen.gateway.auth import Authenticator, key_of
from lumen.gateway.body import MEGABYTE, Disconnected
from lumen.gateway.calls import Calls
from lumen.gateway.endpoints import Endpoints
from lumen.gateway.exchange import Exchange
from lumen.gateway.expectation import Expectation
from lumen.gateway.health import HealthNotes
from lumen.gateway.idempotency import Repeats
from lumen.gateway.operations import Operation, route_of
from lumen.gateway.probes import Probes
from lumen.gateway.rate_limits import RateLimits
from lumen.gateway.relay import Relay
from lumen.gateway.shared_breakers import Learning, Telling
from lumen.gateway.upload import Upload
from lumen.gateway.upstream import Upstream
from lumen.identity.keys import KeyIdentity
from lumen.ledger import Ledger
from lumen.ledger.ledger import SettingsSource
from lumen.records import health

log = structlog.get_logger()


class Asked(NamedTuple):
    """A call as it was asked for. Of an `upload`, `content` is empty, and `body` its fields."""

    operation: Operation
    body: dict[str, Any]
    content: bytes = b''
    upload: Upload | None = None


class Gateway:
    """The gateway of one process. `app` is the ASGI app; it refuses new calls once `stop` or `finish` was called."""

    def __init__(self, configuration: SettingsSource, database: Database, ledger: Ledger, key_secret: bytes):
        expectation = Expectation()
        self._configuration = configuration
        self._database = database
        self._ledger = ledger
        self._upstream = Upstream()
        self._authenticator = Authenticator(database, key_secret)
        self._admission = Admission(ledger, expectation)
        notes, telling = HealthNotes(database), Telling(database)
        endpoints = Endpoints(telling)
        self._relay = Relay(self._upstream, ledger, expectation, notes, endpoints, telling)
        self._learning = Learning(database, endpoints, telling, notes)
        self._probes = Probes(configuration, self._upstream, endpoints, telling, notes)
        self._calls = Calls()
        self._rate_limits = RateLimits()
        self._repeats = Repeats(database)
        self._watching: list[asyncio.Task[None]] = []
        self._finishing: asyncio.Task[None] | None = None
        self._random = Random()  # noqa: S311 - ids open nothing; asking the system gives up the interpreter

    async def start(self) -> None:
        await self._upstream.start()
        watches = self._authenticator, self._repeats, self._learning, self._probes
        self._watching = [asyncio.create_task(each.watch()) for each in watches]

    def finish(self, grace_seconds: float) -> None:
        """Refuse new calls and those that wait for coins. Calls in flight may finish, for at most `grace_seconds`; what
        is left then is cut off, which the callers are told, and settled.
        """
        if self._finishing is None:
            self._ledger.refuse_to_wait()
            self._finishing = asyncio.create_task(self._calls.finish(grace_seconds))

    def hurry(self) -> None:
        """Cut off at once what is in flight."""
        self._calls.cut_off()

    async def stop(self, grace_seconds: float = 0.0) -> None:
        """Finish, if that was not begun before, and stop everything."""
        self.finish(grace_seconds)
        if self._finishing is not None:
            await self._finishing
        for task in self._watching:
            task.cancel()
        await asyncio.gather(*self._watching, return_exceptions=True)
        await self._upstream.stop()
        await self._rate_limits.close()

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request below `/v1`."""
        if scope['type'] != 'http':
            raise RuntimeError(f'/v1 speaks HTTP, not {scope["type"]}')
        exchange = Exchange(self._new_id(), scope, receive, send)
        try:
            await self._route(exchange)
        except DatabaseUnavailable as error:
            log.error('the database failed a call', request_id=exchange.request_id, error=str(error))
            if not exchange.has_begun:
                await exchange.refuse(error, {'retry-after': '5'})
        except ShuttingDown as error:
            await exchange.cut_off(error)
        except LumenError as error:
            await exchange.refuse(error)
        except asyncio.CancelledError:  # whoever serves this waits no longer
            await exchange.cut_off(ShuttingDown())
            raise
        except Disconnected:
            log.info('the caller left before the request was complete', request_id=exchange.request_id)
        except Exception:
            log.exception('a call failed', request_id=exchange.request_id)
            if exchange.has_begun:
                raise  # the server closes the connection, so that a part is not taken for the whole
            await exchange.refuse(LumenError('Something went wrong inside Lumen.'))

    def _new_id(self) -> str:
        """Later ones are greater, so that indexes grow at their end and not all over."""
        return f'req_{time.time_ns() // 1000:014x}{self._random.getrandbits(72):018x}'

    async def _route(self, exchange: Exchange) -> None:
        route, name = route_of(exchange.path)
        if route is None:
            raise NotFound(f'There is no {exchange.method} {exchange.path[:200]} here.', code='unknown_url')
        if route.operation is not None:
            exchange.error_body = route.operation.error_body
            exchange.error_event = route.operation.error_event
        if exchange.method != route.method:
            _allow(exchange.method, route.method)
        if self._finishing is not None:
            raise ShuttingDown
        if route.operation is not None:
            await self._call(route.operation, exchange)
        elif route.path.endswith('{id}'):
            await self._model(exchange, name)
        else:
            await self._models(exchange)

    async def _call(self, operation: Operation, exchange: Exchange) -> None:
        identity = await self._identity(exchange)
        settings = self._configuration.current
        limits = settings.limits(identity.kind, identity.handle)
        if limits.is_any:
            self._rate_limits.use(settings.rate_limiting.storage_url)
            exchange.fields = await self._rate_limits.admit(identity.key_id, limits)
            exchange.uses = partial(self._rate_limits.used, identity.key_id, limits)
        asked = await _asked(operation, exchange, settings.api)
        operation.check(asked.body)
        idempotency_key = idempotency.key_of(exchange.headers)
        if idempotency_key is None:
            await self._run(asked, identity, exchange)
            return
        content = asked.content if asked.upload is None else asked.upload.likeness()
        secrets = idempotency.secrets_of(key_of(exchange.headers), idempotency_key)
        once = await self._repeats.begin(secrets, identity.key_id, exchange, content)
        if once is not None:
            try:
                await self._run(asked, identity, exchange)
            finally:
                once.ended()

    async def _run(self, asked: Asked, identity: KeyIdentity, exchange: Exchange) -> None:
        direct = exchange.direct
        if direct is None:
            behind = exchange.receive if asked.upload is None else asked.upload.after
            await self._calls.beside(behind, lambda has_left: self._serve(asked, identity, exchange, has_left))
            return
        with self._calls.here(direct) as here:
            await self._serve(asked, identity, exchange, here.has_left)

    async def _serve(
        self, asked: Asked, identity: KeyIdentity, exchange: Exchange, has_left: Callable[[], bool]
    ) -> None:
        operation, body, _, upload = asked
        call = await self._admission.admit(operation, body, exchange, identity, self._configuration, upload)
        await self._relay.run(call, exchange, has_left)

    async def _models(self, exchange: Exchange) -> None:
        settings = self._configuration.current
        if self._is_monitoring(exchange):
            visible = list(settings.models)
        else:
            identity = await self._identity(exchange)
            visible = access.visible(settings, identity.kind, identity.handle)
        known = await self._database.read(health.seen)
        described = [listing.described(model, health.of_model(model, known)) for model in visible]
        await _json(exchange, {'object': 'list', 'data': described})

    async def _model(self, exchange: Exchange, name: str) -> None:
        settings = self._configuration.current
        if self._is_monitoring(exchange):
            model = settings.model(name)
            if model is None:
                raise not_found(name)
        else:
            model = find_model(settings, await self._identity(exchange), name)
        known = await self._database.read(health.seen)
        await _json(exchange, listing.described(model, health.of_model(model, known)))

    def _is_monitoring(self, exchange: Exchange) -> bool:
        """Whether it is the monitoring token that asks, which sees every model, and nothing else."""
        token = self._configuration.current.api.monitoring.token
        if token is None:
            return False
        expected = f'Bearer {token.get_secret_value()}'.encode()
        given = [value for name, value in exchange.headers if name == b'authorization']
        return len(given) == 1 and hmac.compare_digest(given[0], expected)

    async def _identity(self, exchange: Exchange) -> KeyIdentity:
        found = self._authenticator.recall(exchange.headers)
        return found if found is not None else await self._authenticator.identify(exchange.headers)


async def _asked(operation: Operation, exchange: Exchange, api: Api) -> Asked:
    """What is asked for, when its body has come, or of an upload the first of it."""
    if operation.is_upload:
        most = api.max_upload_mb * MEGABYTE
        upload = Upload(exchange.receive, exchange.headers, max_bytes=most, buffer_bytes=api.upload_buffer_kib * 1024)
        await upload.begin()
        return Asked(operation, upload.body, upload=upload)
    content = await exchange.body(api.max_body_mb * MEGABYTE)
    return Asked(operation, request_body.parse(content), content)


async def _json(exchange: Exchange, content: dict[str, Any]) -> None:
    await exchange.answer(200, json.dumps(content, ensure_ascii=False).encode())


def _allow(method: str, allowed: str) -> None:
    if method != allowed and not (allowed == 'GET' and method == 'HEAD'):
        raise errors.MethodNotAllowed(f'{method} is not possible here; use {allowed}.', allowed)
