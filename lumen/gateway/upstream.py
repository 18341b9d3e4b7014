"""Calling a model server: one POST, its status and headers, its bytes as they come. Or asking whether it works."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Protocol

import structlog
from pydantic import SecretStr

from lumen.config.endpoint import Endpoint, Patience, Secured
from lumen.gateway import http1
from lumen.gateway.builtin import BuiltinServer
from lumen.gateway.http1_response import Broken
from lumen.gateway.upload import Outgoing

log = structlog.get_logger()

BUILTIN = 'builtin:echo'
HEADERS = {'accept-encoding': 'identity', 'user-agent': 'lumen'}
CONTENT = {'content-type': 'application/json'}

PROBE_READS = 64
"""So many pieces of the answer to a probe are read, 64 KiB each at most."""


class Answer(Protocol):
    """What a model server answers. Whoever got it closes it, which breaks off what has not come yet."""

    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> Mapping[str, str]: ...

    def whole(self) -> bytes | None:
        """The body if all of it has come and nobody has read of it, or None."""

    async def read(self) -> bytes | None:
        """What came of its body since the last time; None at its end.

        Raises UpstreamError when it stalls or breaks off.
        """

    def pass_to(self, sink: Callable[[bytes], bool]) -> None:
        """Offer what comes to `sink` while `read` is waited for; what it takes need not be read. Or offer nothing."""

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

    async def post(
        self,
        endpoint: Endpoint,
        path: str,
        content: bytes | Outgoing,
        on_sent: Callable[[bool], None],
        more: tuple[tuple[str, str], ...] = (),
        *,
        is_again: bool = False,
    ) -> Answer:
        """The endpoint's answer to `content` (JSON, or an upload) at `path`, to be closed. Raises UpstreamError when
        there is none, and what an upload raises.

        `on_sent` is told True once there is a connection that the request is sent on, and False when that turned out to
        be closed; of an upload, when all of it was sent. `more` are headers. What `is_again` sent goes over a new
        connection.
        """
        if endpoint.url == BUILTIN:
            return await self._builtin.post(path, content, endpoint.patience, on_sent)
        if self._client is None:
            raise RuntimeError('not started')
        try:
            make: Callable[..., http1.Request] = _request
            if not isinstance(content, bytes):
                make = _request.__wrapped__  # each has a boundary of its own
                more = (*more, ('content-type', content.upload.content_type.decode('latin-1')))
            request = make(endpoint.url, path, endpoint.api_key, endpoint.own_headers, more, endpoint.secured)
        except ValueError:
            log.error('an endpoint cannot be asked: its address, its key or a header is no valid one')
            raise Broken from None
        return await self._client.ask(
            request,
            content,
            connect_seconds=endpoint.connect_timeout_seconds,
            patience=endpoint.patience,
            on_sent=on_sent,
            is_again=is_again,
        )

    async def probe(self, endpoint: Endpoint, url: str) -> int:
        """The status with which the endpoint answers a GET of `url`, over a new connection. Raises UpstreamError."""
        if self._client is None:
            raise RuntimeError('not started')
        try:
            request = _request(url, '', endpoint.api_key, endpoint.own_headers, (), endpoint.secured, method='GET')
        except ValueError:
            raise Broken from None
        seconds = endpoint.probe.timeout_seconds
        answer = await self._client.ask(
            request,
            b'',
            connect_seconds=min(seconds, endpoint.connect_timeout_seconds),
            patience=Patience(seconds, seconds),
            on_sent=lambda was_sent: None,
            is_again=True,
        )
        try:
            for _ in range(PROBE_READS):  # to its end if that is near, or the connection is broken off
                if await answer.read() is None:
                    break
            return answer.status
        finally:
            answer.close()


@lru_cache(maxsize=4096)
def _request(
    url: str,
    path: str,
    api_key: SecretStr | None,
    own_headers: tuple[tuple[str, SecretStr], ...],
    more: tuple[tuple[str, str], ...],
    secured: Secured | None,
    *,
    method: str = 'POST',
) -> http1.Request:
    """Raises ValueError for an address that is none or a value that no header can hold."""
    headers = (
        (CONTENT if method == 'POST' else {})
        | HEADERS
        | dict(more)
        | {name: value.get_secret_value() for name, value in own_headers}
    )
    if api_key is not None:
        headers['authorization'] = f'Bearer {api_key.get_secret_value()}'
    return http1.request(url.rstrip('/') + path if path else url, headers, secured, method=method)
