"""A lean HTTP/1.1 client for model servers: POST, keep-alive, back-pressure, answers as their bytes come.

httptools (the parser of Node.js) reads; what is here keeps connections and times. It costs a third of what a client for
all purposes does (docs/benchmarks.md): no redirects, cookies, proxies, or retries.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import urlsplit

import httptools

MAX_HEAD_BYTES = 64 * 1024
HIGH_WATER = 64 * 1024
"""So many bytes may wait for their reader before no more are taken from the socket."""

MAX_IDLE = 512
"""Connections a server that are kept for later calls."""

IDLE_SECONDS = 15.0
SLICE = 256 * 1024


class Broken(Exception):
    """The server cannot be reached, broke off, or does not speak HTTP."""


class Stale(Broken):
    """The server closed a connection before the first byte of an answer."""


class TimedOut(Exception):
    """No connection, no answer or no further byte in time."""


class Origin(NamedTuple):
    """Where connections lead to. `server_name` is for TLS, None without."""

    host: str
    port: int
    server_name: str | None


@dataclass(frozen=True, slots=True)
class Target:
    origin: Origin
    head: bytes
    """The first lines of a request: method, path and host."""


@lru_cache(maxsize=4096)
def target(url: str) -> Target:
    """Where `url` leads. Raises ValueError for an address that is none."""
    parts = urlsplit(url)
    host = parts.hostname
    if parts.scheme not in ('http', 'https') or not host:
        raise ValueError('not an HTTP address')
    is_secure = parts.scheme == 'https'
    port = parts.port or (443 if is_secure else 80)
    name = host.encode('idna').decode() if not host.isascii() else host
    path = parts.path or '/'
    if parts.query:
        path += f'?{parts.query}'
    address = f'[{name}]' if ':' in name else name
    if parts.port:
        address += f':{parts.port}'
    head = f'POST {path} HTTP/1.1\r\nhost: {address}\r\n'
    if not head.isascii() or any(character <= ' ' or character == '\x7f' for character in path + address):
        raise ValueError('not an HTTP address')
    return Target(Origin(name, port, name if is_secure else None), head.encode())


class Client:
    """The connections of one event loop."""

    def __init__(self) -> None:
        self._idle: defaultdict[Origin, deque[Connection]] = defaultdict(deque)
        self._all: set[Connection] = set()
        self._context: ssl.SSLContext | None = None

    async def post(
        self,
        url: str,
        headers: Mapping[str, str],
        content: bytes,
        *,
        connect_seconds: float,
        idle_seconds: float,
        on_sent: Callable[[], None],
    ) -> Response:
        """The answer to a POST once its head is there. `on_sent` is called when there is a connection to send it on.

        Close the response, or the connection is lost. Raises Broken, TimedOut, or ValueError for an address or a header
        that cannot be.
        """
        where = target(url)
        request = bytearray(where.head)
        for name, value in headers.items():
            if not value.isprintable():
                raise ValueError('not a header')
            request += f'{name}: {value}\r\n'.encode('latin-1')
        request += b'content-length: %d\r\n\r\n' % len(content)
        connection = self._kept(where.origin)
        if connection is not None:
            try:
                return await _ask(connection, bytes(request), content, idle_seconds, on_sent)
            except Stale:  # it was closed as we began to use it; as nginx does, that is no answer
                pass
        connection = await self._connect(where.origin, connect_seconds)
        return await _ask(connection, bytes(request), content, idle_seconds, on_sent)

    async def close(self) -> None:
        """Close what is idle and break off what is not."""
        for connection in tuple(self._all):
            connection.abort()
        self._idle.clear()
        await asyncio.sleep(0)

    def give_back(self, connection: Connection) -> None:
        """Keep a connection whose answer is complete for a later call."""
        idle = self._idle[connection.origin]
        if len(idle) < MAX_IDLE:
            connection.idle_since = connection.loop.time()
            idle.append(connection)
        else:
            connection.abort()

    def forget(self, connection: Connection) -> None:
        """It is closed."""
        self._all.discard(connection)
        idle = self._idle.get(connection.origin)
        if idle is not None and connection in idle:
            idle.remove(connection)

    def _kept(self, origin: Origin) -> Connection | None:
        idle = self._idle.get(origin)
        while idle:
            connection = idle.pop()  # the one used last: the others may be closed when nobody needs them
            if connection.is_open and connection.loop.time() - connection.idle_since < IDLE_SECONDS:
                self._close_old(idle)
                return connection
            connection.abort()
        return None

    def _close_old(self, idle: deque[Connection]) -> None:
        while idle and idle[0].loop.time() - idle[0].idle_since >= IDLE_SECONDS:
            idle.popleft().abort()

    async def _connect(self, origin: Origin, seconds: float) -> Connection:
        loop = asyncio.get_running_loop()
        if origin.server_name is not None and self._context is None:
            self._context = await loop.run_in_executor(None, ssl.create_default_context)
        try:
            async with asyncio.timeout(seconds):
                _, connection = await loop.create_connection(
                    lambda: Connection(loop, origin, self),
                    origin.host,
                    origin.port,
                    ssl=self._context if origin.server_name is not None else None,
                    server_hostname=origin.server_name,
                )
        except TimeoutError:
            raise TimedOut from None
        except (OSError, UnicodeError) as error:
            raise Broken(str(error)) from None
        self._all.add(connection)
        return connection


async def _ask(
    connection: Connection, head: bytes, content: bytes, idle_seconds: float, on_sent: Callable[[], None]
) -> Response:
    response = Response(connection, idle_seconds)
    try:
        on_sent()
        connection.begin(response)
        if len(content) <= SLICE:
            connection.write(head + content)
        else:
            await response.send(head, content)
        await response.head()
    except BaseException:
        response.close()
        raise
    return response


class Connection(asyncio.Protocol):
    """One connection, which answers one request after the other."""

    def __init__(self, loop: asyncio.AbstractEventLoop, origin: Origin, client: Client):
        self.loop = loop
        self.origin = origin
        self.is_open = False
        self.has_answered = False
        self.idle_since = 0.0
        self._client = client
        self._transport: asyncio.Transport
        self._response: Response | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._is_paused = False

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # of TCP or TLS: both read and write
        self.is_open = True

    def data_received(self, data: bytes) -> None:
        if self._response is None:  # an answer to nothing
            self.abort()
            return
        self._response.touched()
        self.has_answered = True
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._response.fail(Broken('it wants to speak another protocol'))
            self.abort()
        except httptools.HttpParserError as error:
            response = self._response
            if response is not None:
                response.fail(Broken(f'it does not speak HTTP: {error}'))
            self.abort()

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, error: Exception | None) -> None:
        self.is_open = False
        self._client.forget(self)
        if self._response is not None:
            self._response.ended(error)

    def pause_writing(self) -> None:
        if self._response is not None:
            self._response.may_write.clear()

    def resume_writing(self) -> None:
        if self._response is not None:
            self._response.may_write.set()

    # What the parser calls.

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._response is not None:
            self._response.add_header(name, value)

    def on_headers_complete(self) -> None:
        if self._response is not None:
            self._response.head_complete(self._parser.get_status_code())

    def on_body(self, body: bytes) -> None:
        if self._response is not None:
            self._response.add(body)

    def on_message_complete(self) -> None:
        response = self._response
        if response is not None and response.is_final:
            response.complete(keeps_alive=self._parser.should_keep_alive())

    # What a response calls.

    def begin(self, response: Response) -> None:
        self._response = response
        self.has_answered = False

    def write(self, data: bytes) -> None:
        self._transport.write(data)

    def pause(self) -> None:
        if not self._is_paused and self.is_open:
            self._is_paused = True
            self._transport.pause_reading()

    def resume(self) -> None:
        if self._is_paused and self.is_open:
            self._is_paused = False
            self._transport.resume_reading()

    def end(self, *, keep: bool) -> None:
        """The response is done with it."""
        self._response = None
        if keep and self.is_open:
            self.resume()
            self._client.give_back(self)
        else:
            self.abort()

    def abort(self) -> None:
        self.is_open = False
        self._transport.abort()


class Response:
    """An answer. `chunks` gives its body as it comes; `close` breaks off what has not come yet."""

    def __init__(self, connection: Connection, idle_seconds: float):
        self.status = 0
        self.headers: dict[str, str] = {}
        self.is_final = False
        self.may_write = asyncio.Event()
        self.may_write.set()
        self._connection = connection
        self._loop = connection.loop
        self._idle_seconds = idle_seconds
        self._last = self._loop.time()
        self._timer = self._loop.call_at(self._last + idle_seconds, self._look_at_time)
        self._waiter: asyncio.Future[None] | None = None
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self._head_bytes = 0
        self._failure: Exception | None = None
        self._is_complete = False
        self._keeps_alive = False
        self._is_closed = False

    async def send(self, head: bytes, content: bytes) -> None:
        """Write a large request as fast as the server takes it."""
        self._connection.write(head)
        for start in range(0, len(content), SLICE):
            if self._failure is not None:
                return  # `head` says so
            self._connection.write(content[start : start + SLICE])
            if not self.may_write.is_set():
                await self.may_write.wait()
            self.touched()

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
        self._connection.resume()
        return chunk

    def close(self) -> None:
        """Give the connection back if the answer is complete, break it off otherwise."""
        if not self._is_closed:
            self._is_closed = True
            self._timer.cancel()
            self._connection.end(keep=self._is_complete and self._keeps_alive)

    # What the connection calls.

    def touched(self) -> None:
        self._last = self._loop.time()

    def add_header(self, name: bytes, value: bytes) -> None:
        if self._is_complete:
            self._keeps_alive = False
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
        self._wake()

    def add(self, body: bytes) -> None:
        if self._is_complete:  # more than it said it would send
            self._keeps_alive = False
            return
        self._waiting.append(body)
        self._waiting_bytes += len(body)
        if self._waiting_bytes > HIGH_WATER:
            self._connection.pause()
        self._wake()

    def complete(self, *, keeps_alive: bool) -> None:
        self._is_complete = True
        self._keeps_alive = keeps_alive
        self._timer.cancel()
        self._wake()

    def ended(self, error: Exception | None) -> None:
        """The connection is gone."""
        is_delimited = 'content-length' in self.headers or 'transfer-encoding' in self.headers
        if not self._is_complete and self.is_final and not is_delimited and error is None:
            self.complete(keeps_alive=False)  # an answer of which only the end of the connection tells the end
        elif not self._is_complete:
            self.fail(Broken('it broke off') if self._connection.has_answered else Stale('it broke off'))
        self.may_write.set()

    def fail(self, error: Exception) -> None:
        if self._failure is None:
            self._failure = error
        self.may_write.set()
        self._wake()

    # Waiting.

    async def _wait(self) -> None:
        self._waiter = self._loop.create_future()
        self._last = self._loop.time()  # a reader who was slow is not the server's stalling
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _look_at_time(self) -> None:
        """One timer an answer, set anew when it goes off too early: setting it at every byte would cost more."""
        if self._is_complete or self._failure is not None:
            return
        waits = self._waiter is not None or not self.may_write.is_set()
        due = self._last + self._idle_seconds
        now = self._loop.time()
        if not waits:
            due = now + self._idle_seconds  # nobody is kept waiting
        if due <= now:
            self.fail(TimedOut())
            self._connection.abort()
        else:
            self._timer = self._loop.call_at(due, self._look_at_time)
