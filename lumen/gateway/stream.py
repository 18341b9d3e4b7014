"""The relay of one stream of events: passed on as they come, with an eye on what they say of usage."""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress
from functools import partial
from typing import Any

from lumen.gateway import json_text, usage
from lumen.gateway.admission import Call
from lumen.gateway.errors import BrokeOff, PoolExhausted, UpstreamError, outcome_of
from lumen.gateway.exchange import Direct, Exchange
from lumen.gateway.hiding import without_usage
from lumen.gateway.settling import Settling
from lumen.gateway.sse import PLAIN, Event, EventTooLarge, Parser, is_one_line, plain_length
from lumen.gateway.upstream import Answer
from lumen.gateway.usage import Usage

DONE = '[DONE]'
ERROR = 'error'
"""The name of an event that tells of one, whatever it holds, in the shape of Anthropic and of others."""

MARKS = tuple(map(re.compile, (rb'\[DONE\]', rb'"error"', rb'"usage"\s*:(?!\s*null)', rb'\\u00[2-7]')))
"""An event with none of them in it says nothing that Lumen acts upon; it only has text. The last is a letter that is
written as a number, which may be one of the others.
"""

LATE_USAGE_SECONDS = 1
"""How long a stream that is complete waits for usage that it has not reported yet."""


class Stream:
    """The relay of server-sent events. `[DONE]` and whatever follows it wait for the settlement."""

    def __init__(self, call: Call, settling: Settling, exchange: Exchange):
        self._call = call
        self._settling = settling
        self._exchange = exchange
        self._parser = Parser()
        self.is_complete = False
        self._is_last = call.operation.is_last
        self._has_ended = False
        """Whether `[DONE]` came, or what is last elsewhere: what comes behind is not charged, nor passed on before."""

        self._fault = ''

    async def relay(self, answer: Answer) -> None:
        settling, stream = self._settling, self._exchange.stream
        if self._exchange.direct is not None and self._is_last is None:
            answer.pass_to(partial(self._pass_on, self._exchange.direct))
        while (arrived := await self._next(answer)) is not None:
            plain, events = arrived
            if plain:
                await stream(plain)
            for number, event in enumerate(events):
                content = event.raw
                self._exchange.events += 1
                if self._ends_here(event):
                    self._has_ended = True
                    if not self._reports(events[number + 1 :]) and settling.usage is None:
                        events += await self._late(answer)  # which this loop goes on to, too
                    await settling.settled('success', 200)
                    self.is_complete = True
                elif event.data is not None:
                    content = self._read(event)
                    if self._has_ended and not self.is_complete:  # that was the last
                        await settling.settled('success', 200)
                        self.is_complete = True
                self._exchange.is_complete = self.is_complete
                await stream(content)
            if not self.is_complete and settling.exceeds_hold and not await settling.extend():
                raise PoolExhausted
        if not self.is_complete:
            raise BrokeOff('The model server ended its stream before it was complete.')
        await self._exchange.end()

    def _ends_here(self, event: Event) -> bool:
        """Whether it is the `[DONE]` that ends it, and not one behind what is the last elsewhere."""
        may_end = self._is_last is None or (self._call.operation.ends_with_done and not self.is_complete)
        return may_end and event.data is not None and event.data.strip() == DONE

    def _pass_on(self, direct: Direct, chunk: bytes) -> bool:
        """Write an event of text as it comes, without waking anybody; False for whatever there is more to do about."""
        if (
            not self._exchange.has_begun
            or self._has_ended
            or direct.is_write_paused
            or not self._parser.is_between_events
            or not is_one_line(chunk)
        ):
            return False
        generated = usage.generated_bytes_of_text(chunk[len(PLAIN) - 1 : -2])
        if generated is None or self._settling.would_exceed_hold(generated):
            return False
        self._settling.generated(generated)
        direct.write(chunk)
        return True

    async def break_off(self, error: UpstreamError) -> None:
        """Tell the caller in the stream that it ends here; what was generated is charged."""
        if not self.is_complete:
            await self._settling.settled(outcome_of(error, 'upstream_error_midstream'), error.status)
            await self._exchange.stream(self._exchange.error_event(error, self._exchange.events))
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
            self._settling.first_byte()
            if parser.is_between_events and self._is_last is None:
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
            if not self._has_ended:
                self._settling.generated(generated)
            return chunk, b''
        length = plain_length(chunk, *MARKS)
        if length and not self._has_ended:
            self._settling.generated(usage.generated_bytes_in(chunk[:length]))
        return chunk[:length], chunk[length:]

    def _read(self, event: Event) -> bytes:
        """Note what the event says of usage; return it without what the caller did not ask for."""
        chunk, operation = _chunk(event), self._call.operation
        has_failed = event.name == ERROR or (chunk is not None and operation.has_failed(chunk))
        if has_failed and not self.is_complete:
            raise UpstreamError('The model server reported an error in its stream.')
        if chunk is None:
            return event.raw
        if not self._has_ended:
            self._settling.generated(operation.generated(chunk))
            self._has_ended = self._is_last is not None and self._is_last(chunk)
        found = self._reported(chunk)
        if found is None:
            return event.raw
        if not self.is_complete:
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

    def _reported(self, chunk: dict[str, Any]) -> Usage | None:
        return self._call.operation.reported(chunk, self._settling.usage)

    def _reports(self, events: list[Event]) -> bool:
        """Note usage that comes behind `[DONE]`, and say whether it did."""
        has_reported = False
        for event in events:
            if (chunk := _chunk(event)) is not None and (found := self._reported(chunk)) is not None:
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
