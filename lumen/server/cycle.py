"""One request on a connection and its answer, as ASGI has it and more directly."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import structlog
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

log = structlog.get_logger()


class Connection(HttpToolsProtocol):
    """What a cycle asks of its connection beside what uvicorn has."""

    is_lost = False
    _callback: Callable[[], None] | None = None

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.is_lost = True
        if self._callback is not None:
            self._callback()
        # What leads back here, a circle, would wait for the garbage collector: it comes seldom.
        self.cycle = None  # type: ignore[assignment]  # as before the first request
        self.scope = None  # type: ignore[assignment]  # as above
        self.pipeline.clear()

    def part(self) -> None:
        """End behind this answer a connection over which something still comes that nobody reads."""
        raise NotImplementedError

    def when_gone(self, callback: Callable[[], None] | None) -> None:
        """Call this, nothing or something else, once the caller is gone. One request runs on a connection at a time."""
        self._callback = callback
        if callback is not None and self.is_lost:
            callback()


class Cycle(RequestResponseCycle):
    """One request and its answer, which an app may also give directly, without messages and their checks."""

    def __init__(self, connection: Connection, *, keep_alive: bool):
        # All that the base class has; it looks up each by its name.
        self.scope = connection.scope
        self.transport = connection.transport
        self.flow = connection.flow
        self.logger = connection.logger
        self.access_logger = connection.access_logger
        self.access_log = connection.access_log
        self.default_headers = connection.server_state.default_headers
        self.message_event = asyncio.Event()
        self.on_response = connection.on_response_complete
        self.disconnected = False
        self.keep_alive = keep_alive
        self.waiting_for_100_continue = connection.expect_100_continue
        self.body = bytearray()
        self.more_body = True
        self.response_started = False
        self.response_complete = False
        self.chunked_encoding = None
        self.expected_content_length = 0
        self.when_gone = connection.when_gone
        self._connection = connection
        self._is_chunked = self.scope['http_version'] != '1.0'

    async def run_asgi(self, app: Any) -> None:
        """Answer the request, whatever the app does."""
        try:
            if not self.disconnected:
                await app(self.scope, self.receive, self.send)
        except asyncio.CancelledError:
            log.warning('a request was cut off: it was waited for long enough', path=self.scope['path'])
        except BaseException:
            log.exception('an app failed')
        finally:
            self._connection.tasks.discard(asyncio.current_task())
        if not self.response_complete and not self._connection.is_lost and not self.disconnected:
            if self.response_started:
                self.transport.close()  # so that a part is not taken for the whole
            else:
                await self.send_500_response()
        self.on_response = _nothing
        self.scope.pop('extensions', None)  # which leads back here: a circle would be left to the garbage collector

    async def send(self, message: Any) -> None:
        if not self.response_started:
            self.transport = Corked(self.transport, self._connection.loop)  # type: ignore[assignment]  # what it needs
        await super().send(message)
        if self.response_complete and isinstance(self.transport, Corked):
            self.transport.flush()  # a head alone, as that of HEAD: nothing else may come before it

    def give_way(self) -> None:
        """Another answer is written in the place of this one, for the rest of the request cannot be read."""
        self.disconnected = True
        self.transport = NOWHERE  # type: ignore[assignment]  # as below
        self.on_response = _nothing
        self.message_event.set()

    # What an app may do directly

    @property
    def is_write_paused(self) -> bool:
        return self.flow.write_paused

    async def drain(self) -> None:
        """Wait until the caller has taken enough of what was written, or is gone."""
        await self.flow.drain()

    def whole_body(self) -> bytes | None:
        """The body of the request if all of it has come."""
        if self.more_body:
            return None
        if self.flow.read_paused:
            self.flow.resume_reading()  # or nobody would notice that the caller left
        return bytes(self.body)

    async def receive(self) -> Any:
        message = await super().receive()
        if not self.more_body and self.flow.read_paused:
            self.flow.resume_reading()  # as above
        return message

    def answer(self, status: int, fields: Mapping[str, str], content: bytes) -> None:
        """Write a whole answer, whose `fields` say how long it is."""
        head = self._head(status, fields)
        self._write(head if self.scope['method'] == 'HEAD' else head + content)
        self._complete()

    def start(self, status: int, fields: Mapping[str, str], content: bytes) -> None:
        """Write the head of an answer of unknown length, and the first of it."""
        head = self._head(status, {**fields, 'transfer-encoding': 'chunked'} if self._is_chunked else fields)
        self._write(head + self._chunk(content) if content else head)

    def write(self, content: bytes) -> None:
        """Write some of it."""
        self._write(self._chunk(content))

    def end(self) -> None:
        """Write that this was all."""
        if self._is_chunked:
            self._write(b'0\r\n\r\n')
        self._complete()

    def give_up_after(self, seconds: float) -> None:
        """Close the connection then, however much of what was written the caller has taken."""
        self._connection.loop.call_later(seconds, self._connection.transport.abort)

    def _chunk(self, content: bytes) -> bytes:
        return b'%x\r\n%b\r\n' % (len(content), content) if self._is_chunked else content

    def _write(self, data: bytes) -> None:
        if not self._connection.is_lost and not self.transport.is_closing():
            self.transport.write(data)

    def _head(self, status: int, fields: Mapping[str, str]) -> bytes:
        if self.response_started:
            raise RuntimeError('the answer has begun already')
        lines = ''.join([f'{name}: {value}\r\n' for name, value in fields.items()])
        if lines.count('\r') != len(fields) or lines.count('\n') != len(fields):
            raise RuntimeError('a header of the answer holds a line end')
        self.response_started = True
        self.waiting_for_100_continue = False
        if not self.keep_alive:
            lines += 'connection: close\r\n'
        return b'%b%b\r\n' % (STATUS_LINE[status], lines.encode('latin-1', 'replace'))

    def _complete(self) -> None:
        self.response_complete = True
        self.message_event.set()
        if not self.keep_alive and self.more_body:
            self._connection.part()  # closing would reset it, and what was answered would be lost
        elif not self.keep_alive:
            self.transport.close()
        self.on_response()


def _nothing() -> None:
    pass


class Nowhere:
    """A transport to nobody."""

    def write(self, data: bytes) -> None:
        pass

    def close(self) -> None:
        pass

    def is_closing(self) -> bool:
        return True


NOWHERE = Nowhere()


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
            self._flushing = self._loop.call_soon(self.flush)
        elif self._head:
            data, self._head = self._head + data, b''
            self._flushing.cancel()
            self._transport.write(data)
        else:
            self._transport.write(data)

    def close(self) -> None:
        self.flush()
        self._transport.close()

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def flush(self) -> None:
        if self._head:
            head, self._head = self._head, b''
            if not self._transport.is_closing():  # the caller may have left since
                self._transport.write(head)
