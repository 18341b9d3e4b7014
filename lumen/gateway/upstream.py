"""Calling a model server: one POST, its status and headers, its bytes as they come."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

import structlog

from lumen.config.settings import Endpoint
from lumen.gateway import http1
from lumen.gateway.builtin import BuiltinServer
from lumen.gateway.errors import UpstreamError, UpstreamTimeout
from lumen.gateway.http1_connection import Broken, Response, TimedOut

log = structlog.get_logger()

BUILTIN = 'builtin:echo'
HEADERS = {'content-type': 'application/json', 'accept-encoding': 'identity', 'user-agent': 'lumen'}


class Answer(Protocol):
    """What a model server answers. Whoever got it closes it, which breaks off what has not come yet."""

    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> Mapping[str, str]: ...

    async def read(self) -> bytes | None:
        """What came of its body since the last time; None at its end.

        Raises UpstreamError when it stalls or breaks off.
        """

    def close(self) -> None: ...


class Upstream:
    """The connections to all model servers."""

    def __init__(self) -> None:
        self._client: http1.Client | None = None
        self._builtin = BuiltinServer()

    async def start(self) -> None:
        self._client = http1.Client()

    async def stop(self) -> None:
        if self._client is not None:
            await self._client.close()

    async def post(self, endpoint: Endpoint, path: str, content: bytes, on_sent: Callable[[], None]) -> Answer:
        """The endpoint's answer to `content` (JSON) at `path`, to be closed. Raises UpstreamError when there is none.

        `on_sent` is called once there is a connection that the request is sent on.
        """
        if endpoint.url == BUILTIN:
            on_sent()
            return await self._builtin.post(path, content, endpoint.idle_timeout_seconds)
        if self._client is None:
            raise RuntimeError('not started')
        try:
            return _HttpAnswer(
                await self._client.post(
                    endpoint.url.rstrip('/') + path,
                    _headers(endpoint),
                    content,
                    connect_seconds=endpoint.connect_timeout_seconds,
                    idle_seconds=endpoint.idle_timeout_seconds,
                    on_sent=on_sent,
                )
            )
        except (Broken, TimedOut, ValueError) as error:  # ValueError: no such address, no key
            raise _failure(error) from None


class _HttpAnswer:
    def __init__(self, response: Response):
        self._response = response
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers

    async def read(self) -> bytes | None:
        try:
            return await self._response.read()
        except (Broken, TimedOut) as error:
            raise _failure(error) from None

    def close(self) -> None:
        self._response.close()


def _headers(endpoint: Endpoint) -> dict[str, str]:
    if endpoint.api_key is None:
        return HEADERS
    return HEADERS | {'authorization': f'Bearer {endpoint.api_key.get_secret_value()}'}


def _failure(error: Exception) -> UpstreamError:
    if isinstance(error, TimedOut):
        return UpstreamTimeout()
    if isinstance(error, ValueError):
        log.error('an endpoint cannot be asked: its address or its key is no valid one')
    return UpstreamError('The model server cannot be reached, or broke off.')
