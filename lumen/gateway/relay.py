"""One call through: to the model server, back to the caller, and settled before its last byte is released."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from lumen.gateway import body as request_body
from lumen.gateway import errors, json_text, usage
from lumen.gateway.admission import Call
from lumen.gateway.errors import PoolExhausted, UpstreamError, UpstreamTimeout
from lumen.gateway.exchange import Exchange
from lumen.gateway.expectation import Expectation
from lumen.gateway.health import HealthNotes
from lumen.gateway.hiding import without_usage
from lumen.gateway.settling import Remarks, Settling
from lumen.gateway.sse import PLAIN, Event, EventTooLarge, Parser, is_one_line, plain_length
from lumen.gateway.upstream import Answer, Upstream
from lumen.ledger import Ledger
from lumen.waking import awaitable

PASSED_ON = frozenset({400, 404, 413, 422})
MAX_JSON_BYTES = 256 * 1024 * 1024
DONE = '[DONE]'
MARKS = tuple(map(re.compile, (rb'\[DONE\]', rb'"error"', rb'"usage"\s*:(?!\s*null)')))
"""An event with none of them in it says nothing that Lumen acts upon; it only has text."""

LATE_USAGE_SECONDS = 1
"""How long a stream that is complete waits for usage that it has not reported yet."""


class Relay:
    def __init__(self, upstream: Upstream, ledger: Ledger, expectation: Expectation, health: HealthNotes):
        self._upstream = upstream
        self._health = health
        self._ledger = ledger
        self._expectation = expectation
        self._remarks = Remarks()

    async def run(self, call: Call, exchange: Exchange, has_left: Callable[[], bool]) -> None:
        """Relay one call. Cancel it when the caller has left, or the process must end; every way out settles it."""
        settling = Settling(call, self._ledger, self._expectation, self._health, self._remarks, exchange.uses)
        stream: _Stream | None = None
        try:
            content = request_body.dump(call.outgoing)
            answer = await self._upstream.post(call.endpoint, call.operation.path, content, settling.sent)
            try:
                if answer.status != 200:
                    await self._refused(call, settling, answer, exchange)
                elif not answer.headers.get('content-type', '').lower().startswith('text/event-stream'):
                    await self._whole(call, settling, answer, exchange)
                elif call.streamed:
                    stream = _Stream(call, settling, exchange)
                    await stream.relay(answer)
                else:
                    raise UpstreamError('The model server answered with a stream, for which nobody asked.')
            finally:
                answer.close()
        except UpstreamError as error:
            if stream is not None and exchange.has_begun:
                await stream.break_off(error)
            else:
                # One who asks for more at once than can be generated in time would have it generated for nothing.
                is_charged = isinstance(error, UpstreamTimeout) and not settling.sees_output
                await _settled(settling, _outcome(error, 'upstream_error'), error.status, is_charged)
                await exchange.refuse(error)
        except asyncio.CancelledError:
            if has_left():
                settling.settle('disconnected', 499)
            else:
                settling.settle('interrupted', 503)
            raise
        finally:
            settling.settle('internal_error', 500)

    async def _whole(self, call: Call, settling: Settling, answer: Answer, exchange: Exchange) -> None:
        settling.sees_output = False
        content = await _read(answer, settling)
        try:
            found = json_text.load(content)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise UpstreamError('The model server answered with something that is not JSON.')
        if found.get('error') and not found.get('choices') and not found.get('data'):
            raise UpstreamError('The model server reported an error.')
        settling.sees_output = True
        settling.generated(usage.generated_bytes(found))
        if (reported := call.operation.reported(found)) is not None:
            settling.reported(reported)
        await _settled(settling, 'success', 200)
        await exchange.answer(200, content)

    async def _refused(self, call: Call, settling: Settling, answer: Answer, exchange: Exchange) -> None:
        if answer.status not in PASSED_ON:
            raise _translated(answer)
        content = _without_key(await _read(answer, settling), call)
        await _settled(settling, 'upstream_error', answer.status, False)
        content_type = answer.headers.get('content-type', 'application/json')
        await exchange.answer(answer.status, content, content_type=content_type)


class _Stream:
    """The relay of server-sent events. `[DONE]` and whatever follows it wait for the settlement."""

    def __init__(self, call: Call, settling: Settling, exchange: Exchange):
        self._call = call
        self._settling = settling
        self._exchange = exchange
        self._parser = Parser()
        self._is_done = False
        self._fault = ''

    async def relay(self, answer: Answer) -> None:
        settling, stream = self._settling, self._exchange.stream
        while (arrived := await self._next(answer)) is not None:
            plain, events = arrived
            settling.first_byte()
            if plain:
                await stream(plain)
            for number, event in enumerate(events):
                content = event.raw
                if event.data is not None and event.data.strip() == DONE:
                    if not self._reports(events[number + 1 :]) and not settling.has_usage:
                        events += await self._late(answer)  # which this loop goes on to, too
                    await _settled(settling, 'success', 200)
                    self._is_done = True
                elif event.data is not None:
                    content = self._read(event)
                await stream(content)
            if not self._is_done and settling.exceeds_hold and not await settling.extend():
                raise PoolExhausted
        if not self._is_done:
            raise UpstreamError('The model server ended its stream before it was complete.')
        await self._exchange.end()

    async def break_off(self, error: UpstreamError) -> None:
        """Tell the caller in the stream that it ends here; what was generated is charged."""
        if not self._is_done:
            await _settled(self._settling, _outcome(error, 'upstream_error_midstream'), error.status)
            await self._exchange.stream(b'data: ' + errors.body(error) + b'\n\n')
        await self._exchange.end()

    async def _next(self, answer: Answer) -> tuple[bytes, list[Event]] | None:
        """What came at once: first events of nothing but text, as their bytes, then those to look at one by one.

        None at the end. Raises UpstreamError.
        """
        if self._fault:
            raise UpstreamError(self._fault)
        parser = self._parser
        plain, events = b'', list[Event]()
        while not plain and not events:
            chunk = await answer.read()
            if chunk is None:
                last = [event for last in parser.close() if (event := _ended(last)) is not None]
                return (b'', last) if last else None
            if parser.is_between_events:
                plain, chunk = self._plain(chunk)
            try:
                if chunk:
                    events.extend(parser.feed(chunk))
            except EventTooLarge as error:
                self._fault = f'The model server sent {error}.'
                if not plain and not events:
                    raise UpstreamError(self._fault) from None
        return plain, events

    def _plain(self, chunk: bytes) -> tuple[bytes, bytes]:
        """The events at the start of `chunk` that are nothing but text, and the rest of it."""
        if is_one_line(chunk):
            generated = usage.generated_bytes_of_text(chunk[len(PLAIN) - 1 : -2])
            if generated is None:
                return b'', chunk
            if not self._is_done:
                self._settling.generated(generated)
            return chunk, b''
        length = plain_length(chunk, *MARKS)
        if length and not self._is_done:
            self._settling.generated(usage.generated_bytes_in(chunk[:length]))
        return chunk[:length], chunk[length:]

    def _read(self, event: Event) -> bytes:
        """Note what the event says of usage; return it without what the caller did not ask for."""
        chunk = _chunk(event)
        if chunk is None:
            return event.raw
        if chunk.get('error') and not chunk.get('choices') and not self._is_done:
            raise UpstreamError('The model server reported an error in its stream.')
        if not self._is_done:
            self._settling.generated(usage.generated_bytes(chunk))
        found = self._call.operation.reported(chunk)
        if found is None:
            return event.raw
        if not self._is_done:
            self._settling.reported(found)
        if self._call.wants_usage:
            return event.raw
        # An event of usage alone goes whole: SDKs stumble over one that has a name or an id but no data.
        return without_usage(event.raw) if chunk.get('choices') else b''

    async def _late(self, answer: Answer) -> list[Event]:
        """What comes behind `[DONE]` until it reports usage, the model server closes, or it has been waited for."""
        late: list[Event] = []
        with suppress(TimeoutError, UpstreamError):  # the answer is complete without it
            async with asyncio.timeout(LATE_USAGE_SECONDS):
                while (arrived := await self._next(answer)) is not None:
                    plain, events = arrived
                    late += [Event(plain, None), *events] if plain else events
                    if self._reports(events):
                        break
        return late

    def _reports(self, events: list[Event]) -> bool:
        """Note usage that comes behind `[DONE]`, and say whether it did."""
        has_reported = False
        for event in events:
            if (chunk := _chunk(event)) is not None and (found := self._call.operation.reported(chunk)) is not None:
                self._settling.reported(found)
                has_reported = True
        return has_reported


def _chunk(event: Event) -> dict[str, Any] | None:
    """The object that the event carries, if it does."""
    try:
        found = json_text.load(event.data or '')
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _ended(last: Event) -> Event | None:
    """The last event as one behind which another can stand; None for a part of one, which nobody can read."""
    if last.data is not None and last.data.strip() == DONE:
        return last
    return Event(last.raw.rstrip(b'\r\n') + b'\n\n', last.data, last.name) if _chunk(last) is not None else None


def _without_key(content: bytes, call: Call) -> bytes:
    """What a server answers to us may quote our key for it, which is not the caller's to see."""
    key = call.endpoint.api_key
    return content.replace(key.get_secret_value().encode(), b'...') if key and key.get_secret_value() else content


async def _read(answer: Answer, settling: Settling) -> bytes:
    if (whole := answer.whole()) is not None:
        settling.first_byte()
        return whole
    content = bytearray()
    while (chunk := await answer.read()) is not None:
        settling.first_byte()
        content += chunk
        if len(content) > MAX_JSON_BYTES:
            raise UpstreamError('The model server answered with more than can be passed on.')
    return bytes(content)


async def _settled(settling: Settling, outcome: str, status: int, charged: bool = True) -> None:
    settled = settling.settle(outcome, status, charged=charged)
    if not settled.done():
        await awaitable(settled)
    settled.result()


def _outcome(error: UpstreamError, otherwise: str) -> str:
    if isinstance(error, PoolExhausted):
        return 'insufficient_coins'
    return 'timeout' if error.status == 504 else otherwise


def _translated(answer: Answer) -> UpstreamError:
    """What the caller is told of a model server's failure, which is not the caller's."""
    status = answer.status
    if status in (401, 403):
        return UpstreamError('The model server refused our credentials.', code='upstream_refused')
    if status == 429:
        return UpstreamError(
            'The model server has too many requests.',
            code='upstream_busy',
            status=429,
            retry_after=answer.headers.get('retry-after', ''),
        )
    if status in (408, 504):
        return UpstreamError('The model server did not answer in time.', code='upstream_timeout', status=504)
    return UpstreamError(f'The model server failed with status {status}.')
