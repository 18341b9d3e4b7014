"""The body of a call that brings a file: passed on as it comes, whatever its size.

Only the first of it is kept in memory. What a call acts upon must stand within that, and as long as nothing was read
beyond it the whole can be sent again.
"""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.types import Message, Receive

from lumen.errors import Invalid
from lumen.gateway.body import IDLE_SECONDS, Disconnected, too_large
from lumen.gateway.errors import TooSlow
from lumen.gateway.form import FILE, Form, boundary_of, content_type_of

SLICE = 256 * 1024
EARLY = ('model', 'stream')
"""What must be known before the call starts."""

KEPT = frozenset({*EARLY, 'response_format'})
BOOLEANS = {'true': True, '1': True, 'false': False, '0': False}


class Upload:
    """A form that is coming. `body` has the fields that are acted upon; `file` in it is the most bytes it all can be.

    Whatever reads of it raises Invalid, TooLarge, TooSlow or Disconnected.
    """

    def __init__(self, receive: Receive, headers: list[tuple[bytes, bytes]], *, max_bytes: int, buffer_bytes: int):
        given = dict(headers)
        self._boundary = boundary_of(given.get(b'content-type', b''))
        self.content_type = content_type_of(self._boundary)
        """Said anew: of several boundaries another reader may believe another one."""
        self._form = Form(self._boundary, KEPT.__contains__)
        self._receive = receive
        self._max_bytes = max_bytes
        self._buffer_bytes = buffer_bytes
        self._buffer = bytearray()
        self._waiting = b''
        """Received, and not looked at yet."""
        self._is_all = False
        self._is_past_the_buffer = False
        self.ended = asyncio.Event()
        self.received_bytes = 0
        self.body: dict[str, Any] = {}
        stated = given.get(b'content-length', b'')
        self.length: int | None = int(stated) if stated.isdigit() else None
        if self.length is not None and self.length > max_bytes:
            raise too_large(max_bytes)

    async def begin(self) -> None:
        """Read as much as is kept in memory."""
        while not self.ended.is_set() and (room := self._buffer_bytes - len(self._buffer)):
            self._buffer += await self._read(room)
        if self.ended.is_set():
            self.length = len(self._buffer)
        elif missing := [name for name in (*EARLY[:1], FILE) if not self._has(name)]:
            kib = self._buffer_bytes // 1024
            raise Invalid(
                f'"{missing[0]}" must stand within the first {kib:,} KiB of the form: put all fields before the file.',
                param=missing[0],
            )
        self._say()

    @property
    def is_whole(self) -> bool:
        """Whether all of it is in memory."""
        return self.ended.is_set() and not self._is_past_the_buffer

    @property
    def can_be_sent_again(self) -> bool:
        return not self._is_past_the_buffer

    def likeness(self) -> bytes:
        """What is the same of two forms that say the same, whatever their boundary. Raises Invalid for a large one."""
        if not self.is_whole:
            kib = self._buffer_bytes // 1024
            raise Invalid(f'Idempotency-Key is possible for a form of up to {kib:,} KiB only.', param='Idempotency-Key')
        return bytes(self._buffer).replace(self._boundary, b'')

    def to(self, model: str, more: dict[str, str]) -> Outgoing:
        """It as it goes to a model server that calls the model so, with `more` fields."""
        if self._is_past_the_buffer:
            raise RuntimeError('an upload cannot be sent twice')
        start, length = self._form.model_at
        added = b''.join(self._field(name, value) for name, value in more.items())
        first = added + self._buffer[:start] + model.encode('utf-8', 'replace') + self._buffer[start + length :]
        whole = None if self.length is None else self.length + len(first) - len(self._buffer)
        return Outgoing(self, bytes(first), whole)

    async def after(self) -> Message:
        """What comes behind it: that the caller left."""
        await self.ended.wait()
        return await self._receive()

    async def further(self) -> bytes | None:
        """What comes next beyond the buffer; None at the end. It cannot be sent again then."""
        while not self.ended.is_set():
            piece = await self._read()
            self._is_past_the_buffer = True
            self._buffer.clear()
            if piece:
                return piece
        return None

    async def _read(self, most: int | None = None) -> bytes:
        """The next of it, `most` bytes of that, once it is known to be right. Nothing is read twice."""
        if not self._waiting and not self._is_all:
            await self._wait()
        waiting = self._waiting
        piece, self._waiting = (waiting, b'') if most is None else (waiting[:most], waiting[most:])
        known = len(self._form.fields)
        self._form.feed(piece)
        if self.body and len(self._form.fields) > known:
            self._say()
        if self._is_all and not self._waiting:
            self._form.close()
            self.ended.set()
        return piece

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(IDLE_SECONDS):
                message = await self._receive()
        except TimeoutError:
            raise TooSlow(f'The body stopped coming for {IDLE_SECONDS:g} seconds.') from None
        if message['type'] == 'http.disconnect':
            raise Disconnected
        self._waiting = message.get('body', b'')
        self.received_bytes += len(self._waiting)
        if self.received_bytes > self._max_bytes:
            raise too_large(self._max_bytes)
        # Who knows the length sends no more: what is wrong must be found before the last of it goes on.
        self._is_all = self.received_bytes == self.length or not message.get('more_body', False)

    def _has(self, name: str) -> bool:
        return name in self._form.fields or (name == FILE and self._form.file_bytes is not None)

    def _say(self) -> None:
        """Tell what is known now. Raises Invalid for what is told too late."""
        said: dict[str, Any] = dict(self._form.fields)
        if 'stream' in said:
            said['stream'] = BOOLEANS.get(said['stream'].lower(), said['stream'])
        for name in EARLY if self.body else ():
            if (said.get(name) or None) != (self.body.get(name) or None):
                raise Invalid(f'"{name}" must stand before the file in a form as large as this.', param=name)
        if self._form.file_bytes is not None:
            said[FILE] = self.length or self._max_bytes
        self.body.update(said)

    def _field(self, name: str, value: str) -> bytes:
        return b'--%b\r\ncontent-disposition: form-data; name="%b"\r\n\r\n%b\r\n' % (
            self._boundary,
            name.encode(),
            value.encode(),
        )


class Outgoing:
    """An upload on its way to a model server. `length` is None when nobody knows it."""

    def __init__(self, upload: Upload, first: bytes, length: int | None):
        self.upload = upload
        self.length = length
        self._first = first
        self._at = 0

    async def read(self) -> bytes | None:
        """The next of it; None at its end."""
        if self._at < len(self._first):
            piece = self._first[self._at : self._at + SLICE]
            self._at += len(piece)
            return piece
        further = await self.upload.further()
        if further is not None:
            self._first, self._at = b'', 0
        return further

    def again(self) -> Outgoing:
        """The same from its beginning, if nothing beyond the buffer was read."""
        return Outgoing(self.upload, self._first, self.length)
