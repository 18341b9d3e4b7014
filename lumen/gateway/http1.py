"""A lean HTTP/1.1 client for model servers: requests, keep-alive, back-pressure, answers as their bytes come.

httptools (the parser of Node.js) reads; what is here keeps connections and times. There are no redirects, cookies or
proxies, and one retry: of a call on a kept connection that was closed before it brought a byte.
"""

from __future__ import annotations

import asyncio
import socket
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from typing import NamedTuple
from urllib.parse import urlsplit

from lumen.config.endpoint import Patience, Secured
from lumen.gateway.errors import ConnectTimeout
from lumen.gateway.http1_connection import Connection, Origin
from lumen.gateway.http1_response import SLICE, Response, Stale, Unreachable
from lumen.gateway.tls import Contexts
from lumen.gateway.upload import Outgoing

MAX_IDLE = 512
"""Connections a server that are kept for later calls."""

IDLE_SECONDS = 15.0
OLDEST_SECONDS = 60.0
"""A connection that is older takes no further call: its name is looked up anew, and may lead elsewhere by then."""

DEAD_SECONDS = 30
"""A peer whose machine says nothing for so long is gone, though nobody closed the connection."""

KEEPALIVE = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, getattr(socket, 'TCP_KEEPIDLE', None), 10),
    (socket.IPPROTO_TCP, getattr(socket, 'TCP_KEEPINTVL', None), 5),
    (socket.IPPROTO_TCP, getattr(socket, 'TCP_KEEPCNT', None), 4),
)
"""The system asks the other's system while nothing is sent: tcp(7). 10 seconds and 4 times 5 are DEAD_SECONDS."""

LENGTH = b'content-length: '


class Request(NamedTuple):
    """What all requests of one kind to one address have in common."""

    origin: Origin
    head: bytes
    """The first lines, up to the length of the content."""


def request(url: str, headers: Mapping[str, str], secured: Secured | None = None, *, method: str = 'POST') -> Request:
    """A request for `url`, secured so if that is an https address.

    Raises ValueError for an address or a header that cannot be.
    """
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
    head = f'{method} {path} HTTP/1.1\r\nhost: {address}\r\n'
    if not head.isascii() or any(character <= ' ' or character == '\x7f' for character in path + address):
        raise ValueError('not an HTTP address')
    for field, value in headers.items():
        if not value.isprintable():
            raise ValueError('not a header')
        head += f'{field}: {value}\r\n'
    server_name = ((secured and secured.server_name) or name) if is_secure else None
    return Request(Origin(name, port, server_name, secured), head.encode('latin-1') + LENGTH)


class Client:
    """The connections of one event loop."""

    def __init__(self) -> None:
        self._idle: defaultdict[Origin, deque[Connection]] = defaultdict(deque)
        self._all: set[Connection] = set()
        self._contexts = Contexts()

    async def ask(
        self,
        request: Request,
        content: bytes | Outgoing,
        *,
        connect_seconds: float,
        patience: Patience,
        on_sent: Callable[[bool], None],
        is_again: bool = False,
    ) -> Response:
        """The answer to a request once its head is there. `on_sent` is told True when there is a connection to send it
        on, and False when that turned out to be closed; of an upload, when all of it was sent. One that `is_again` gets
        a new connection.

        Close the response, or the connection is lost. Raises Broken or UpstreamTimeout, and what an upload raises.
        """
        head = _head(request, content)
        # What can be sent only once is not tried on a connection that may be closed.
        is_kept = not is_again and (isinstance(content, bytes) or content.upload.is_whole)
        connection = self._kept(request.origin) if is_kept else None
        if connection is not None:
            try:
                return await _ask(connection, head, content, patience, on_sent)
            except Stale:  # it was closed as we began to use it; as nginx does, that is no answer
                on_sent(False)
                if not isinstance(content, bytes):
                    content = content.again()
        connection = await self._connect(request.origin, connect_seconds)
        return await _ask(connection, head, content, patience, on_sent)

    async def close(self) -> None:
        """Close what is idle and break off what is not."""
        for connection in tuple(self._all):
            connection.abort()
        self._idle.clear()
        await asyncio.sleep(0)

    def _give_back(self, connection: Connection) -> None:
        """Keep a connection whose answer is complete for a later call."""
        idle, now = self._idle[connection.origin], connection.loop.time()
        if len(idle) < MAX_IDLE and now - connection.made_at < OLDEST_SECONDS:
            connection.idle_since = now
            idle.append(connection)
        else:
            connection.abort()

    def _forget(self, connection: Connection) -> None:
        """It is closed."""
        self._all.discard(connection)
        idle = self._idle.get(connection.origin)
        if idle is not None and connection in idle:
            idle.remove(connection)

    def _kept(self, origin: Origin) -> Connection | None:
        idle = self._idle.get(origin)
        while idle:
            connection = idle.pop()  # the one used last: the others may be closed when nobody needs them
            now = connection.loop.time()
            is_fresh = now - connection.idle_since < IDLE_SECONDS and now - connection.made_at < OLDEST_SECONDS
            if connection.is_open and is_fresh:
                self._close_old(idle)
                return connection
            connection.abort()
        return None

    def _close_old(self, idle: deque[Connection]) -> None:
        while idle and idle[0].loop.time() - idle[0].idle_since >= IDLE_SECONDS:
            idle.popleft().abort()

    async def _connect(self, origin: Origin, seconds: float) -> Connection:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(seconds):
                context = None if origin.server_name is None else await self._contexts.of(origin.secured)
                _, connection = await loop.create_connection(
                    lambda: Connection(loop, origin, self._give_back, self._forget),
                    origin.host,
                    origin.port,
                    ssl=context,
                    server_hostname=origin.server_name,
                )
        except TimeoutError:
            raise ConnectTimeout from None
        except (OSError, UnicodeError) as error:
            raise Unreachable(str(error)) from None
        _notice_when_gone(connection)
        self._all.add(connection)
        return connection


def _head(request: Request, content: bytes | Outgoing) -> bytes:
    length = len(content) if isinstance(content, bytes) else content.length
    if length is None:
        return request.head.removesuffix(LENGTH) + b'transfer-encoding: chunked\r\n\r\n'
    return b'%b%d\r\n\r\n' % (request.head, length)


def _notice_when_gone(connection: Connection) -> None:
    """Have the system find out when the other end is gone that never said so, and what is sent is not received."""
    if (own := connection.own_socket) is None:
        return
    for level, option, value in KEEPALIVE:
        if option is not None:
            own.setsockopt(level, option, value)
    if (option := getattr(socket, 'TCP_USER_TIMEOUT', None)) is not None:
        own.setsockopt(socket.IPPROTO_TCP, option, DEAD_SECONDS * 1000)


async def _ask(
    connection: Connection, head: bytes, content: bytes | Outgoing, patience: Patience, on_sent: Callable[[bool], None]
) -> Response:
    response = Response(connection, patience)
    try:
        if not isinstance(content, bytes):
            connection.begin(response)
            await response.send_upload(head, content, on_sent)
            await response.head()
            return response
        on_sent(True)
        connection.begin(response)
        if len(content) <= SLICE:
            connection.write(head + content)
        else:
            await response.send(head, content)
        if not response.is_final:
            await response.head()
    except BaseException:
        response.close()
        raise
    return response
