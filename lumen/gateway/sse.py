"""Server-sent events, parsed as their bytes arrive. Source: the WHATWG HTML standard, *Interpreting an event stream*.

Each event keeps the bytes that it was made of, so that what is passed on is exactly what came.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

BOM = b'\xef\xbb\xbf'
PLAIN = b'data: {'
MAX_EVENT_BYTES = 16 * 1024 * 1024


class EventTooLarge(ValueError):
    """An event of more than MAX_EVENT_BYTES, or a stream that has no events at all."""


class Event(NamedTuple):
    """One block up to its blank line. `data` is None where a block has no data field (a comment, a heartbeat)."""

    raw: bytes
    data: str | None
    name: str = ''


class Parser:
    """Feed it bytes however they were cut; it yields each event once its blank line is there."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._scanned = 0
        self._line_start = 0
        self._at_start = True

    @property
    def is_between_events(self) -> bool:
        """Whether all that was fed is events that are complete."""
        return not self._buffer

    def feed(self, chunk: bytes) -> Iterator[Event]:
        """The events that `chunk` completes. Raises EventTooLarge."""
        self._buffer += chunk
        yield from self._events(at_end=False)
        if len(self._buffer) > MAX_EVENT_BYTES:
            raise EventTooLarge(f'an event of more than {MAX_EVENT_BYTES} bytes')

    def close(self) -> Iterator[Event]:
        """What is left when the stream ends. The standard drops an unfinished block; here it is passed on."""
        yield from self._events(at_end=True)
        if self._buffer:
            yield self._take(len(self._buffer))

    def _events(self, *, at_end: bool) -> Iterator[Event]:
        while (end := self._block_end(at_end)) is not None:
            yield self._take(end)

    def _block_end(self, at_end: bool) -> int | None:
        """The index after the next blank line. Remembers how far it looked, so that bytes are looked at once."""
        buffer = self._buffer
        while True:
            end_of_line = _next_line_end(buffer, self._scanned)
            if end_of_line is None:
                self._scanned = len(buffer)
                return None
            after = end_of_line + 1
            if buffer[end_of_line] == 0x0D:
                if after == len(buffer) and not at_end:
                    self._scanned = end_of_line
                    return None  # the line feed that belongs to this carriage return may be on its way
                if buffer[after : after + 1] == b'\n':
                    after += 1
            line = buffer[self._line_start : end_of_line]
            is_blank = not line or (self._at_start and self._line_start == 0 and line == BOM)
            self._scanned = self._line_start = after
            if is_blank:
                return after

    def _take(self, end: int) -> Event:
        raw = bytes(self._buffer[:end])
        del self._buffer[:end]
        self._scanned = self._line_start = 0
        text = raw
        if self._at_start:
            self._at_start = False
            text = raw.removeprefix(BOM)
        return _event(raw, text)


def is_one_line(chunk: bytes) -> bool:
    """Whether `chunk`, which begins between events, is one event of one line of JSON."""
    return chunk.startswith(PLAIN) and chunk.endswith(b'}\n\n') and chunk.count(b'\n') == 2 and b'\r' not in chunk


def plain_length(chunk: bytes, *marks: re.Pattern[bytes]) -> int:
    """How many bytes at the start of `chunk`, which begins between events, are events of one line of JSON each.

    It ends before the first event with one of the `marks`. Such events need not be looked at one by one.
    """
    if not chunk.startswith(PLAIN) or b'\r' in chunk:
        return 0
    end = len(chunk)
    for mark in marks:
        if found := mark.search(chunk, 0, end):
            end = found.start()
    end = chunk.rfind(b'\n\n', 0, end) + 2
    if end < 2:
        return 0
    ends = chunk.count(b'\n\n', 0, end)
    if chunk.count(b'\n', 0, end) != 2 * ends or chunk.count(b'\n\n' + PLAIN, 0, end) != ends - 1:
        return 0
    return end


def _next_line_end(buffer: bytearray, start: int) -> int | None:
    found = [index for index in (buffer.find(b'\n', start), buffer.find(b'\r', start)) if index >= 0]
    return min(found, default=None)


def _event(raw: bytes, text: bytes) -> Event:
    data: list[str] = []
    name = ''
    for line in text.replace(b'\r\n', b'\n').replace(b'\r', b'\n').split(b'\n'):
        field, _, value = line.partition(b':')
        value = value.removeprefix(b' ')
        if field == b'data':
            data.append(value.decode('utf-8', 'replace'))
        elif field == b'event':
            name = value.decode('utf-8', 'replace')
    return Event(raw, '\n'.join(data) if data else None, name)
