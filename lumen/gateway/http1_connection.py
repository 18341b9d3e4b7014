"""One HTTP/1.1 connection to a model server. `http1.Client` keeps them."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import NamedTuple

import httptools

from lumen.config.endpoint import Secured
from lumen.gateway.errors import UpstreamTimeout
from lumen.gateway.http1_response import Broken, Response


class Origin(NamedTuple):
    """Where connections lead to. `server_name` is for TLS, None without."""

    host: str
    port: int
    server_name: str | None
    secured: Secured | None = None


class Connection(asyncio.Protocol):
    """One connection, which answers one request after the other."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        origin: Origin,
        on_free: Callable[[Connection], None],
        on_lost: Callable[[Connection], None],
    ):
        self.loop = loop
        self.origin = origin
        self.is_open = False
        self.has_answered = False
        self.made_at = loop.time()
        self.idle_since = 0.0
        self._on_free = on_free
        self._on_lost = on_lost
        self._transport: asyncio.Transport
        self._response: Response | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._is_paused = False
        self._timer: asyncio.TimerHandle | None = None
        self._looks_at = 0.0
        self.may_write: asyncio.Event | None = None
        """Only while the server does not take what is written."""

    @property
    def own_socket(self) -> socket.socket | None:
        """Its socket, for options only."""
        found: socket.socket | None = self._transport.get_extra_info('socket')
        return found

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
        self._on_lost(self)
        if self._timer is not None:
            self._timer.cancel()
        if self._response is not None:
            self._response.ended(error)
        self.resume_writing()
        del self._parser  # which leads back here

    def pause_writing(self) -> None:
        self.may_write = asyncio.Event()

    def resume_writing(self) -> None:
        if self.may_write is not None:
            self.may_write.set()
            self.may_write = None

    def on_message_begin(self) -> None:
        if self._response is not None:
            self._response.another_begins()

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

    def begin(self, response: Response) -> None:
        self._response = response
        self.has_answered = False
        self.hurry()

    def hurry(self) -> None:
        """Look at the time sooner, if that is due."""
        response = self._response
        if response is not None and (self._timer is None or response.due() < self._looks_at):
            self._look_at_time()

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
            self._on_free(self)
        else:
            self.abort()

    def abort(self) -> None:
        self.is_open = False
        self._transport.abort()

    def _look_at_time(self) -> None:
        """One timer a connection, set anew when it goes off too early: setting it at every call would cost more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        response = self._response
        if response is not None and self.is_open:
            due, now = response.due(), self.loop.time()
            if due <= now:
                response.fail(UpstreamTimeout())
                self.abort()
            else:
                self._looks_at = due
                self._timer = self.loop.call_at(due, self._look_at_time)
