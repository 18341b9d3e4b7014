"""One HTTP request and its answer: over ASGI, or straight from the connection where Lumen's own server runs."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from starlette.types import Receive, Scope, Send

from lumen.errors import LumenError
from lumen.gateway import body as request_body
from lumen.gateway import errors

DIRECT = 'lumen.direct'
"""The extension of ASGI that `lumen.server.http` has; no import, for the gateway runs on any other server, too."""


JSON = 'application/json'

LINGER_SECONDS = 2.0
"""So long who is cut off may take to read that."""

HOST = re.compile(r'[A-Za-z0-9._-]+(:\d+)?|\[[0-9A-Fa-f:.]+\](:\d+)?')


class Direct(Protocol):
    """The connection itself: what takes ASGI several messages and tasks is a call of it."""

    @property
    def is_write_paused(self) -> bool:
        """Whether more was written than the caller takes."""

    def whole_body(self) -> bytes | None:
        """The body of the request if all of it has come."""

    def when_gone(self, callback: Callable[[], None] | None) -> None:
        """Call this, nothing or something else, once the caller is gone."""

    def answer(self, status: int, fields: Mapping[str, str], content: bytes) -> None:
        """Write a whole answer."""

    def start(self, status: int, fields: Mapping[str, str], content: bytes) -> None:
        """Write the head of an answer of unknown length, and the first of it."""

    def write(self, content: bytes) -> None:
        """Write some of it."""

    def end(self) -> None:
        """Write that this was all."""

    def give_up_after(self, seconds: float) -> None:
        """Close the connection then, however much of what was written the caller has taken."""

    async def drain(self) -> None:
        """Wait until the caller has taken enough of what was written, or is gone."""


class Exchange:
    """What the gateway needs of a request, and how it answers."""

    __slots__ = (
        'before_answer',
        'direct',
        'error_body',
        'error_event',
        'events',
        'fields',
        'has_begun',
        'headers',
        'is_complete',
        'is_streaming',
        'method',
        'path',
        'receive',
        'request_id',
        'scope',
        'send',
        'uses',
    )

    def __init__(self, request_id: str, scope: Scope, receive: Receive, send: Send):
        self.request_id = request_id
        self.scope = scope
        self.receive = receive
        self.send = send
        self.method: str = scope['method']
        self.path: str = scope['path']
        self.headers: list[tuple[bytes, bytes]] = scope['headers']
        self.has_begun = False
        self.is_streaming = False
        self.is_complete = False
        """Whether the last of a stream was handed over: nothing stands behind that."""
        self.fields: dict[str, str] = {}
        """What every answer says in its headers."""
        self.before_answer: Callable[[int, bytes], Awaitable[None]] | None = None
        """What has to be done with a whole answer, as JSON, before it is released."""
        self.error_body: Callable[[LumenError], bytes] = errors.body
        """How an error is said to this caller."""
        self.error_event: Callable[[LumenError, int], bytes] = errors.event
        self.events = 0
        """How many of a stream were looked at."""
        self.uses: Callable[[int], None] | None = None
        """What is told how many tokens the call used, if anything is."""
        extensions = scope.get('extensions')
        self.direct: Direct | None = extensions.get(DIRECT) if extensions else None

    async def body(self, max_bytes: int) -> bytes:
        """The body of the request. Raises TooLarge, at once where its length says so, TooSlow or Disconnected."""
        if self.direct is not None and (content := self.direct.whole_body()) is not None:
            if len(content) > max_bytes:
                raise request_body.too_large(max_bytes)
            return content
        for name, value in self.headers:
            if name == b'content-length' and value.isdigit() and int(value) > max_bytes:
                raise request_body.too_large(max_bytes)
        return await request_body.read(self.receive, max_bytes)

    async def answer(
        self,
        status: int,
        content: bytes,
        more: Mapping[str, str] | None = None,
        *,
        content_type: str = JSON,
    ) -> None:
        """Send a whole answer."""
        fields = {
            'content-type': content_type,
            'content-length': str(len(content)),
            'x-request-id': self.request_id,
        }
        if self.fields:
            fields |= self.fields
        if more:
            fields |= more
        if self.before_answer is not None and content_type == JSON:
            await self.before_answer(status, content)
        self.has_begun = True
        if self.direct is not None:
            self.direct.answer(status, fields, content)
        else:
            await self._head(status, fields)
            await self.send({'type': 'http.response.body', 'body': content})

    async def refuse(self, error: LumenError, more: Mapping[str, str] | None = None) -> None:
        """Send the error as the whole answer."""
        await self.answer(error.status, self.error_body(error), errors.headers(error) | dict(more or {}))

    async def stream(self, content: bytes) -> None:
        """Send some of a stream of events; with the first of it goes the head of the answer."""
        begins, self.has_begun = not self.has_begun, True
        self.is_streaming = True
        direct = self.direct
        if direct is None:
            if begins:
                await self._head(200, self._stream_fields())
            if content:
                await self.send({'type': 'http.response.body', 'body': content, 'more_body': True})
            return
        if begins:
            direct.start(200, self._stream_fields(), content)
        elif content:
            direct.write(content)
        if direct.is_write_paused:
            await direct.drain()

    async def end(self) -> None:
        """End a stream."""
        self.is_streaming = False
        if self.direct is not None:
            self.direct.end()
        else:
            await self.send({'type': 'http.response.body', 'body': b''})

    async def cut_off(self, error: LumenError) -> None:
        """End whatever was answered until now with this error. A caller who takes nothing is not waited for."""
        if not self.has_begun:
            await self.refuse(error)
        elif self.is_streaming:
            event = b'' if self.is_complete else self.error_event(error, self.events)
            if self.direct is None:
                await self.stream(event)
            else:
                self.direct.give_up_after(LINGER_SECONDS)
                if event:
                    self.direct.write(event)
            await self.end()

    def site(self) -> str:
        """Where this request itself came to, as good a guess as any where no `app.url` says it. Empty when unclear.

        Headers that a proxy would add are not believed: anybody can send them.
        """
        host = dict(self.headers).get(b'host', b'').decode('latin-1')
        return f'{self.scope["scheme"]}://{host}' if HOST.fullmatch(host) else ''

    def _stream_fields(self) -> dict[str, str]:
        return {
            'content-type': 'text/event-stream; charset=utf-8',
            'cache-control': 'no-cache',
            'x-accel-buffering': 'no',
            'x-request-id': self.request_id,
            **self.fields,
        }

    async def _head(self, status: int, fields: Mapping[str, str]) -> None:
        encoded = [(name.encode('latin-1'), value.encode('latin-1', 'replace')) for name, value in fields.items()]
        message: dict[str, Any] = {'type': 'http.response.start', 'status': status, 'headers': encoded}
        await self.send(message)
