"""HTTP/1.1 as uvicorn speaks it, with what it leaves open: a limit to the head, and refusals in OpenAI's shape."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import unquote

import httptools
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from lumen.server.cycle import Connection, Cycle
from lumen.server.flow import Flow
from lumen.server.unreadable import MAX_HEAD_BYTES, Refusal

DIRECT = 'lumen.direct'
"""An extension of ASGI: the exchange itself, of which an app may ask and by which it may answer in fewer steps."""

MAX_DISCARDED_BYTES = 256 * 1024 * 1024
LINGER_SECONDS = 5.0

REST_SECONDS = 60.0
"""So long nothing may come of a request that has begun."""

WEBSOCKET_HEADERS, WEBSOCKET_LINE = 100, 8000
"""More fields, or a longer one, the library for WebSockets does not read."""

MOST_WAITING = 100
"""So many requests of one connection may wait for the answer to another; what comes behind them is not read."""

LENGTHS = (b'content-length', b'transfer-encoding')


class HeadTooLarge(Exception):
    """Raised inside the parser, which ends it; uvicorn then calls `send_400_response`."""


class TooManyWaiting(Exception):
    """Raised likewise, for requests that nobody waits with."""


class NoUpgrade(Exception):
    """Raised likewise, for a WebSocket that cannot be."""


class Http(Connection):
    """One connection.

    The parser gathers a header, however long, before it hands it over. So bytes are counted twice: those of headers
    that it handed over, which is exact, and those of reads from the socket that brought nothing to an end.
    A refusal lingers, as nginx does it: closing while bytes are still on their way would reset the connection, and the
    caller would never see the answer.
    """

    cycle: Cycle
    _is_in_head = False
    _is_refused = _is_parting = False
    _is_upgrading = False
    _is_resuming = False
    _has_body_behind_upgrade = False
    _has_progressed = False
    _head_bytes = 0
    _gathered_bytes = 0
    _discarded_bytes = 0
    _idle_since = 0.0
    _has_begun_next = True
    _is_watched_closely = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in the base class
        super().connection_made(transport)
        self.flow = Flow(transport, self.pipeline)
        self._idle_since = self.loop.time()
        self.timeout_keep_alive_task = self.loop.call_later(REST_SECONDS, self.timeout_keep_alive_handler)

    def data_received(self, data: bytes) -> None:
        if self._is_refused:
            self._discard(data)
            return
        self._has_progressed = False
        self._has_begun_next = True
        self._idle_since = self.loop.time()
        self._feed(data)
        if self._has_progressed:
            self._gathered_bytes = 0
        elif not self._is_refused:
            self._gathered_bytes += len(data)
            if self._gathered_bytes > MAX_HEAD_BYTES:
                self.send_400_response('')

    def _feed(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError:
            if not self._is_refused:
                self.send_400_response('')
        except httptools.HttpParserUpgrade as upgrade:
            if self._is_upgrading:
                self.handle_websocket_upgrade()
            elif not self._is_refused:
                self._go_on(data[upgrade.args[0] :])

    def _go_on(self, rest: bytes) -> None:
        """Take no notice of a wish for another protocol, which the parser does not look beyond: not at a body, nor at
        the next request. Another one does, which is told how long the body is.
        """
        self.parser = httptools.HttpRequestParser(self)
        if self._has_body_behind_upgrade:
            self._has_body_behind_upgrade = False
            lines = [b'%b: %b\r\n' % (name, value) for name, value in self.headers if name in LENGTHS]
            self._is_resuming = True
            self._feed(b'POST / HTTP/1.1\r\n%b\r\n' % b''.join(lines))
            self._is_resuming = False
        if rest and not self._is_refused:
            self._feed(rest)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._stop_watching()

    def handle_websocket_upgrade(self) -> None:
        self._stop_watching()  # from here on it is another's
        super().handle_websocket_upgrade()

    def _stop_watching(self) -> None:
        if self.timeout_keep_alive_task is not None:
            self.timeout_keep_alive_task.cancel()
            self.timeout_keep_alive_task = None

    def on_message_begin(self) -> None:
        if self._is_resuming:
            return
        super().on_message_begin()
        self._is_in_head = self._has_progressed = True
        self._head_bytes = self._discarded_bytes = 0

    def on_url(self, url: bytes) -> None:
        if self._is_resuming:
            return
        self._count(len(url))
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._head_bytes += len(name) + len(value) + len(b': \r\n')
        if self._head_bytes > MAX_HEAD_BYTES:
            raise HeadTooLarge
        if not self._is_in_head:
            return  # of a body: nobody expects a key there, or whom a call is made for
        name = name.lower()
        if name == b'expect' and value.lower() == b'100-continue':
            self.expect_100_continue = True
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        if self._is_resuming:
            return
        parser, scope = self.parser, self.scope
        self._is_in_head = False
        self._has_progressed = True
        scope['method'] = parser.get_method().decode('ascii')
        before = self.cycle
        wants_more = parser.should_upgrade()
        has_body = wants_more and any(name in LENGTHS and value != b'0' for name, value in self.headers)
        self._is_upgrading = wants_more and self._should_upgrade()
        if self._is_upgrading:
            is_busy = before is not None and not before.response_complete
            if has_body or is_busy or scope['method'] != 'GET' or not self._fits_a_websocket():
                self._is_upgrading = False
                self._is_in_head = True  # it is the head that is refused
                raise NoUpgrade
            return
        if len(self.pipeline) == MOST_WAITING:
            before.keep_alive = False  # the last that is answered
            self._is_refused = True
            raise TooManyWaiting
        self._has_body_behind_upgrade = has_body
        scope['http_version'] = version = parser.get_http_version()
        url = httptools.parse_url(self.url)
        path = url.path.decode('ascii')
        scope['path'] = unquote(path) if '%' in path else path
        scope['raw_path'] = url.path
        scope['query_string'] = url.query or b''
        cycle = self.cycle = Cycle(self, keep_alive=version != '1.0' and parser.should_keep_alive())
        scope['extensions'] = {DIRECT: cycle}  # type: ignore[dict-item]  # ours
        if before is None or before.response_complete:
            self._start_asgi_task(cycle, self.app)
        else:  # the next request of a caller who did not wait for the answer
            self.flow.pause_reading()
            self.pipeline.appendleft((cycle, self.app))

    def _fits_a_websocket(self) -> bool:
        sizes = [len(name) + len(value) for name, value in self.headers]
        return len(sizes) <= WEBSOCKET_HEADERS and max([len(self.url), *sizes]) <= WEBSOCKET_LINE

    def on_body(self, body: bytes) -> None:
        self._has_progressed = True
        cycle = self.cycle
        if self._is_upgrading:
            return
        if cycle.response_complete:
            self._discard(body)
            return
        cycle.body += body
        if len(cycle.body) > HIGH_WATER_LIMIT:
            self.flow.pause_reading()
        cycle.message_event.set()

    def on_message_complete(self) -> None:
        cycle = self.cycle
        if self._has_body_behind_upgrade:
            return  # it is not complete: the body comes
        if not self._is_upgrading and not cycle.response_complete:
            cycle.more_body = False
            cycle.message_event.set()

    def on_response_complete(self) -> None:
        self.server_state.total_requests += 1
        if self.transport.is_closing() or self._is_parting:
            return
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
            return
        if self.flow.write_paused:
            self.flow.pause_reading()  # whoever takes no answer asks no more
        else:
            self.flow.resume_reading()
        self._has_begun_next = False
        self._idle_since = self.loop.time()
        if not self._is_watched_closely:
            self._watch(self.timeout_keep_alive)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self.cycle is not None and self.cycle.response_complete:
            self.flow.resume_reading()

    def timeout_keep_alive_handler(self) -> None:
        """One timer a connection, set anew when it goes off too early: setting it at each request would cost more."""
        self._is_watched_closely = False
        allowed = REST_SECONDS if self._has_begun_next else self.timeout_keep_alive
        is_busy = self.cycle is not None and not self.cycle.response_complete
        left = allowed - (0.0 if is_busy else self.loop.time() - self._idle_since)
        if left > 0:
            self._watch(left)
        elif not self.transport.is_closing():
            self.transport.close()

    def _watch(self, seconds: float) -> None:
        self._stop_watching()
        self._is_watched_closely = seconds <= self.timeout_keep_alive
        self.timeout_keep_alive_task = self.loop.call_later(seconds, self.timeout_keep_alive_handler)

    def shutdown(self) -> None:
        """Told to stop: calls in flight finish, but one whose body is still coming never began."""
        if self.cycle is not None and self.cycle.more_body and not self.cycle.response_started:
            self.transport.close()
        else:
            super().shutdown()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self.tasks.add(self.loop.create_task(cycle.run_asgi(app)))

    def send_400_response(self, msg: str) -> None:
        """Refuse what cannot be read. `msg` is uvicorn's; the answer has our shape and says what is wrong."""
        self._is_refused = True
        cycle = self.cycle
        is_whole = cycle is None or self._is_in_head or not cycle.more_body
        if is_whole and cycle is not None and not cycle.response_complete:
            cycle.keep_alive = False  # requests before it are answered yet, and nobody looks for another answer behind
            return
        refusal = Refusal(max(self._head_bytes, self._gathered_bytes))
        if not is_whole and self.pipeline:
            self.pipeline[0] = cycle, refusal.as_app  # those before it are answered first
            cycle.keep_alive = False
            return
        if not is_whole:
            if cycle.response_started:  # this answer would be taken for a part of that one
                (self.part if cycle.response_complete else self.transport.close)()
                return
            cycle.give_way()
        self.transport.write(refusal.as_bytes(with_body=self.parser.get_method() != b'HEAD'))
        self.part()

    def part(self) -> None:
        self._is_refused = self._is_parting = True
        self.pipeline.clear()
        self.flow.resume_reading()
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
