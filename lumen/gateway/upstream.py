"""Calling a model server: one POST, its status and headers, its bytes as they come."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from types import SimpleNamespace
from typing import Protocol

import aiohttp
import structlog

from lumen.config.settings import Endpoint
from lumen.gateway.builtin import BuiltinServer
from lumen.gateway.errors import UpstreamError, UpstreamTimeout

log = structlog.get_logger()

BUILTIN = 'builtin:echo'
CONNECTIONS = 1000


class Answer(Protocol):
    """What a model server answers. `chunks` raises UpstreamError when it breaks off or stalls."""

    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> Mapping[str, str]: ...

    def chunks(self) -> AsyncIterator[bytes]: ...


class Upstream:
    """The connections to all model servers. No redirects, no cookies, no proxies of the environment."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None
        self._builtin = BuiltinServer()

    async def start(self) -> None:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=CONNECTIONS),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            trace_configs=[_tracing()],
        )

    async def stop(self) -> None:
        if self._session is not None:
            await self._session.close()

    def post(
        self, endpoint: Endpoint, path: str, content: bytes, on_sent: Callable[[], None]
    ) -> AbstractAsyncContextManager[Answer]:
        """The endpoint's answer to `content` (JSON) at `path`. Raises UpstreamError when there is none.

        `on_sent` is called once there is a connection that the request is sent on.
        """
        if endpoint.url == BUILTIN:
            on_sent()
            return self._builtin.post(path, content, endpoint.idle_timeout_seconds)
        return self._post(endpoint, path, content, on_sent)

    @asynccontextmanager
    async def _post(
        self, endpoint: Endpoint, path: str, content: bytes, on_sent: Callable[[], None]
    ) -> AsyncIterator[Answer]:
        if self._session is None:
            raise RuntimeError('not started')
        headers = {'content-type': 'application/json', 'accept-encoding': 'identity', 'user-agent': 'lumen'}
        if endpoint.api_key is not None:
            headers['authorization'] = f'Bearer {endpoint.api_key.get_secret_value()}'
        timeout = aiohttp.ClientTimeout(
            total=None,
            connect=endpoint.connect_timeout_seconds,
            sock_connect=endpoint.connect_timeout_seconds,
            sock_read=endpoint.idle_timeout_seconds,
        )
        try:
            response = await self._session.post(
                f'{endpoint.url.rstrip("/")}{path}',
                data=content,
                headers=headers,
                timeout=timeout,
                allow_redirects=False,
                trace_request_ctx=on_sent,
            )
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:  # ValueError: no such address, no key
            raise _failure(error) from None
        try:
            yield _HttpAnswer(response)
        finally:
            response.close()  # a finished answer has given its connection back already


class _HttpAnswer:
    def __init__(self, response: aiohttp.ClientResponse):
        self._response = response
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers

    async def chunks(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._response.content.iter_any():
                yield chunk
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _failure(error) from None


def _failure(error: Exception) -> UpstreamError:
    if isinstance(error, TimeoutError):
        return UpstreamTimeout()
    if isinstance(error, ValueError) and not isinstance(error, OSError):
        log.error('an endpoint cannot be asked: its address or its key is no valid one', kind=type(error).__name__)
    return UpstreamError('The model server cannot be reached, or broke off.')


def _tracing() -> aiohttp.TraceConfig:
    tracing = aiohttp.TraceConfig()

    async def on_headers(
        session: aiohttp.ClientSession, context: SimpleNamespace, params: aiohttp.TraceRequestHeadersSentParams
    ) -> None:
        context.trace_request_ctx()

    tracing.on_request_headers_sent.append(on_headers)
    return tracing
