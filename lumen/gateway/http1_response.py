"""The answer that a model server is giving on a connection."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from lumen.config.endpoint import Patience
from lumen.gateway.errors import BrokeOff

if TYPE_CHECKING:
    from lumen.gateway.http1_connection import Connection

MAX_HEAD_BYTES = 64 * 1024
HIGH_WATER = 64 * 1024
"""So many bytes may wait for their reader before no more are taken from the socket."""

STALE_SECONDS = 0.1
SLICE = 256 * 1024
"""Of a large request so much is written at once."""


class Broken(BrokeOff):
    """The server cannot be reached, broke off, or does not speak HTTP. The `reason` is not for callers."""

    def __init__(self, reason: str = ''):
        super().__init__('The model server cannot be reached, or broke off.')
        self.reason = reason


class Unreachable(Broken):
    """There is no connection to the server."""

    is_unreachable = True


class Stale(Broken):
    """The server closed a connection as it was used: too soon to have done anything about the request."""


class Body(Protocol):
    """What is sent as it comes."""

    length: int | None

    async def read(self) -> bytes | None:
        """The next of it; None at its end."""


class Response:
    """An answer. `chunks` gives its body as it comes; `close` breaks off what has not come yet."""

    def __init__(self, connection: Connection, patience: Patience):
        self.status = 0
        self.headers: dict[str, str] = {}
        self.is_final = False
        self._connection = connection
        self._loop = connection.loop
        self._idle_seconds = patience.idle
        self._waits_seconds = patience.first
        self._has_body = False
        self._last = self._loop.time()
        self._waiter: asyncio.Future[None] | None = None
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self._head_bytes = 0
        self._failure: Exception | None = None
        self._is_complete = False
        self._keeps_alive = False
        self._is_closed = False
        self._is_sending = False
        self._is_decided: asyncio.Future[None] | None = None
        """Done when there is no need to send the rest of a request: it is answered, or failed."""
        self._begun = self._last
        self._sink: Callable[[bytes], bool] | None = None
        self._has_been_read = False

    async def send(self, head: bytes, content: bytes) -> None:
        """Write a large request as fast as the server takes it."""
        self._connection.write(head)
        self._is_sending = True
        for start in range(0, len(content), SLICE):
            if self._failure is not None or self.is_final:
                return  # `head` says so, or there is an answer already, and nobody reads the rest
            self._connection.write(content[start : start + SLICE])
            if (may_write := self._connection.may_write) is not None:
                await may_write.wait()
            self.touched()
        self._is_sending = False

    async def send_upload(self, head: bytes, body: Body, on_sent: Callable[[bool], None]) -> None:
        """Write a request as it comes and as fast as the server takes it, or until it is answered.

        `on_sent` is told True when all of it was written, or the server did not wait for that. However long the body
        takes to come, that is not the server's stalling.
        """
        self._is_sending = True
        self._is_decided = self._loop.create_future()
        self._connection.write(head)
        sending = self._loop.create_task(self._send_on(body))
        try:
            await asyncio.wait({sending, self._is_decided}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not sending.done():
                sending.cancel()
                await asyncio.wait({sending})
        is_sent = not sending.cancelled() and sending.exception() is None
        if is_sent or self.is_final:
            self._is_sending = not is_sent
            on_sent(True)
        elif self._failure is None and not sending.cancelled():
            sending.result()

    async def _send_on(self, body: Body) -> None:
        while (piece := await body.read()) is not None:
            self._connection.write(piece if body.length is not None else b'%x\r\n%b\r\n' % (len(piece), piece))
            if (may_write := self._connection.may_write) is not None:
                self._last = self._loop.time()
                self._connection.hurry()
                await may_write.wait()
            self.touched()
        if body.length is None:
            self._connection.write(b'0\r\n\r\n')

    async def head(self) -> None:
        """Wait for the status and the headers."""
        while not self.is_final:
            if self._failure is not None:
                raise self._failure
            await self._wait()

    async def read(self) -> bytes | None:
        """All bytes of the body that came since the last time; None at its end."""
        while not self._waiting:
            if self._failure is not None:
                raise self._failure
            if self._is_complete:
                return None
            await self._wait()
        chunk = self._waiting[0] if len(self._waiting) == 1 else b''.join(self._waiting)
        self._waiting.clear()
        self._waiting_bytes = 0
        self._has_been_read = True
        self._connection.resume()
        return chunk

    def whole(self) -> bytes | None:
        """The body if all of it has come and nobody has read of it, or None."""
        if not self._is_complete or self._has_been_read:
            return None
        self._has_been_read = True
        chunk = self._waiting[0] if len(self._waiting) == 1 else b''.join(self._waiting)
        self._waiting.clear()
        return chunk

    def pass_to(self, sink: Callable[[bytes], bool]) -> None:
        """Offer what comes to `sink` at once, while somebody waits in `read` and nothing waits for them. What it takes
        (True) need not be read.
        """
        self._sink = sink

    def close(self) -> None:
        """Give the connection back if the answer is complete, break it off otherwise."""
        if not self._is_closed:
            self._is_closed = True
            self._sink = None
            self._connection.end(keep=self._is_complete and self._keeps_alive and not self._is_sending)

    def touched(self) -> None:
        self._last = self._loop.time()

    def add_header(self, name: bytes, value: bytes) -> None:
        if self.is_final:  # a trailer
            return
        self._head_bytes += len(name) + len(value)
        if self._head_bytes > MAX_HEAD_BYTES:
            self.fail(Broken('its headers are too large'))
            self._connection.abort()
            return
        self.headers[name.decode('latin-1').lower()] = value.decode('latin-1')

    def head_complete(self, status: int) -> None:
        if self._is_complete:
            return
        if 100 <= status < 200:
            self.headers.clear()
            return
        if self.headers.get('content-encoding', 'identity').strip().lower() != 'identity':
            self.fail(Broken('it compresses, though it was asked not to'))
            return
        self.status = status
        self.is_final = True
        if self._is_sending:
            self._connection.resume_writing()
        self._wake()

    def add(self, body: bytes) -> None:
        if self._is_complete:  # more than it said it would send
            self._keeps_alive = False
            return
        if not self._has_body:
            self._has_body = True
            self._waits_seconds = self._idle_seconds
            self._connection.hurry()
        if self._waiter is not None and not self._waiting and self._sink is not None and self._sink(body):
            return
        self._waiting.append(body)
        self._waiting_bytes += len(body)
        if self._waiting_bytes > HIGH_WATER:
            self._connection.pause()
        self._wake()

    def another_begins(self) -> None:
        """A further answer does, or what looks like one: the connection is of no use any more behind a complete one."""
        if self._is_complete:
            self._keeps_alive = False

    def complete(self, *, keeps_alive: bool) -> None:
        if self._is_complete:
            self._keeps_alive = False
            return
        self._is_complete = True
        self._keeps_alive = keeps_alive
        self._wake()

    def ended(self, error: Exception | None) -> None:
        """The connection is gone."""
        is_delimited = 'content-length' in self.headers or 'transfer-encoding' in self.headers
        if not self._is_complete and self.is_final and not is_delimited and error is None:
            self.complete(keeps_alive=False)  # an answer of which only the end of the connection tells the end
        elif not self._is_complete:
            is_stale = not self._connection.has_answered and self._loop.time() - self._begun < STALE_SECONDS
            self.fail(Stale('it broke off') if is_stale else Broken('it broke off'))

    def fail(self, error: Exception) -> None:
        if self._is_complete:  # what came behind it does not make it worse, but nobody knows what else comes
            self._keeps_alive = False
        elif self._failure is None:
            self._failure = error
        self._connection.resume_writing()
        self._wake()

    async def _wait(self) -> None:
        self._waiter = self._loop.create_future()
        self._last = self._loop.time()  # a reader who was slow is not the server's stalling
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._is_decided is not None and not self._is_decided.done():
            self._is_decided.set_result(None)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def due(self) -> float:
        """When it has been waited for long enough, by the loop's clock. Nobody may be kept waiting now."""
        is_awaited = self._waiter is not None or self._connection.may_write is not None
        last = self._last if is_awaited else self._loop.time()
        return last + self._waits_seconds
