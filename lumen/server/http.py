"""HTTP/1.1 as uvicorn speaks it, with what it leaves open: a limit to the head, and refusals in OpenAI's shape."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from uuid import uuid4

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from lumen.server.dispatcher import error

WHEN_GONE = 'lumen.when_gone'
"""An extension of ASGI: a function that takes what to call when the connection is lost, None for nothing any more."""

BODY_IS_THERE = 'lumen.body_is_there'
"""Another: a function that says whether the whole body of the request has come, so that nobody waits for it."""

MAX_HEAD_BYTES = 64 * 1024
"""The address and all headers of one request."""

MAX_DISCARDED_BYTES = 256 * 1024 * 1024
LINGER_SECONDS = 5.0


class HeadTooLarge(Exception):
    """Raised inside the parser, which ends it; uvicorn then calls `send_400_response`."""


class Http(HttpToolsProtocol):
    """One connection.

    The parser gathers a header, however long, before it hands it over. So bytes are counted twice: those of headers
    that it handed over, which is exact, and those of reads from the socket that brought nothing to an end.
    A refusal lingers, as nginx does it: closing while bytes are still on their way would reset the connection, and the
    caller would never see the answer.
    """

    _is_in_head = False
    _is_refused = False
    _is_lost = False
    _callback: Callable[[], None] | None = None
    _has_progressed = False
    _head_bytes = 0
    _gathered_bytes = 0
    _discarded_bytes = 0

    def data_received(self, data: bytes) -> None:
        if self._is_refused:
            self._discard(data)
            return
        self._has_progressed = False
        super().data_received(data)
        if self._has_progressed:
            self._gathered_bytes = 0
        elif not self._is_refused:
            self._gathered_bytes += len(data)
            if self._gathered_bytes > MAX_HEAD_BYTES:
                self.send_400_response('')

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._is_lost = True
        if self._callback is not None:
            self._callback()

    def when_gone(self, callback: Callable[[], None] | None) -> None:
        """Call this, nothing or something else, once the caller is gone. One request runs on a connection at a time."""
        self._callback = callback
        if callback is not None and self._is_lost:
            callback()

    def is_body_there(self) -> bool:
        """Whether the whole body of the request that is being answered has come."""
        return not self.cycle.more_body

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope['extensions'] = {WHEN_GONE: self.when_gone, BODY_IS_THERE: self.is_body_there}  # type: ignore[dict-item]  # ours
        self._is_in_head = self._has_progressed = True
        self._head_bytes = self._discarded_bytes = 0

    def on_url(self, url: bytes) -> None:
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count(len(name) + len(value) + len(b': \r\n'))
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        before = self.cycle
        super().on_headers_complete()
        if self.cycle is not before:
            self.cycle.transport = Corked(self.transport, self.loop)  # type: ignore[assignment]  # what it calls of it
        self._is_in_head = False
        self._has_progressed = True

    def on_body(self, body: bytes) -> None:
        self._has_progressed = True
        if self.cycle.response_complete:
            self._discard(body)
        super().on_body(body)

    def shutdown(self) -> None:
        """Told to stop: calls in flight finish, but one whose body is still coming never began."""
        if self.cycle is not None and self.cycle.more_body and not self.cycle.response_started:
            self.transport.close()
        else:
            super().shutdown()

    def send_400_response(self, msg: str) -> None:
        """Refuse what cannot be read. `msg` is uvicorn's; the answer has our shape and says what is wrong."""
        self._is_refused = True
        cycle = self.cycle
        if cycle is not None and not (cycle.response_complete if self._is_in_head else not cycle.response_started):
            self.transport.close()  # another answer is on its way or was sent: this one would be taken for a part of it
        elif max(self._head_bytes, self._gathered_bytes) > MAX_HEAD_BYTES:
            limit = MAX_HEAD_BYTES // 1024
            self._refuse(431, error(f'The headers are larger than {limit} KiB.', 'headers_too_large'))
        else:
            self._refuse(400, error('This is not a valid HTTP request.', 'invalid_request'))

    def _refuse(self, status: int, content: dict[str, object]) -> None:
        body = json.dumps(content).encode()
        fields = (
            f'content-type: application/json\r\ncontent-length: {len(body)}\r\n'
            f'x-request-id: req_{uuid4().hex}\r\nconnection: close\r\n\r\n'
        )
        self.transport.write(STATUS_LINE[status] + fields.encode() + body)
        self.transport.write_eof()
        self.loop.call_later(LINGER_SECONDS, self.transport.close)

    def _count(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > MAX_HEAD_BYTES:
            raise HeadTooLarge

    def _discard(self, data: bytes) -> None:
        """Let a caller whose answer was sent finish sending, so that they read it; but not without end."""
        self._discarded_bytes += len(data)
        if self._discarded_bytes > MAX_DISCARDED_BYTES:
            self.transport.close()


class Corked:
    """A transport as the answer to one request writes to it: the head goes out together with what follows at once."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop):
        self._transport = transport
        self._loop = loop
        self._head = b''
        self._flushing: asyncio.Handle | None = None

    def write(self, data: bytes) -> None:
        if self._flushing is None:
            self._head = data
            self._flushing = self._loop.call_soon(self._flush)
        elif self._head:
            data, self._head = self._head + data, b''
            self._flushing.cancel()
            self._transport.write(data)
        else:
            self._transport.write(data)

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def _flush(self) -> None:
        if self._head:
            head, self._head = self._head, b''
            if not self._transport.is_closing():  # the caller may have left since
                self._transport.write(head)
