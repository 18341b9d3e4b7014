"""A caller that knows what it got, byte by byte, and hangs up when it is told to."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import httptools

END = b'\n\n'
DONE = b'data: [DONE]'


@dataclass(slots=True)
class Answer:
    """What came until now. `is_complete` when all did; `hung_up_at` is `time.monotonic()` when the caller left."""

    status: int = 0
    request_id: str = ''
    body: bytearray = field(default_factory=bytearray)
    is_complete: bool = False
    hung_up_at: float | None = None

    @property
    def events(self) -> int:
        """How many events of a stream came whole."""
        return self.body.count(END)

    @property
    def code(self) -> str:
        """The code of the error that it is, or that it ends with; empty for none."""
        last = bytes(self.body).rstrip().rpartition(END)[2].removeprefix(b'data: ')
        try:
            found = json.loads(last)
        except ValueError:
            return ''
        error = found.get('error') if isinstance(found, dict) else None
        return str(error.get('code')) if isinstance(error, dict) else ''

    @property
    def is_whole_stream(self) -> bool:
        """Whether it is a stream with its end."""
        return self.is_complete and DONE in self.body

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b'x-request-id':
            self.request_id = value.decode()

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.is_complete = True


async def call(
    port: int,
    key: str,
    body: dict[str, Any],
    *,
    leave: Callable[[Answer], bool] | None = None,
    leave_after: Awaitable[Any] | None = None,
    gate: asyncio.Event | None = None,
) -> Answer:
    """Call for a chat completion on a connection of its own, which is sent once the `gate` opens.

    The caller hangs up when `leave` says so of what came, or when `leave_after` returns. A connection that breaks off
    leaves the answer as far as it came.
    """
    answer = Answer()
    try:
        reader, writer = await asyncio.open_connection('127.0.0.1', port, limit=2**20)
    except OSError:
        return answer
    try:
        if gate is not None:
            await gate.wait()
        content = json.dumps(body).encode()
        writer.write(
            b'POST /v1/chat/completions HTTP/1.1\r\nhost: lumen\r\nauthorization: Bearer %b\r\n'
            b'content-type: application/json\r\ncontent-length: %d\r\n\r\n' % (key.encode(), len(content)) + content
        )
        reading = asyncio.create_task(_read(reader, answer, leave))
        waiting = {reading} if leave_after is None else {reading, asyncio.ensure_future(leave_after)}
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
    finally:
        if not answer.is_complete:
            answer.hung_up_at = time.monotonic()
        writer.transport.abort()
        with suppress(OSError):
            await writer.wait_closed()
    return answer


async def _read(reader: asyncio.StreamReader, answer: Answer, leave: Callable[[Answer], bool] | None) -> None:
    parser = httptools.HttpResponseParser(answer)
    with suppress(OSError):
        while not answer.is_complete and (data := await reader.read(65536)):
            parser.feed_data(data)
            answer.status = parser.get_status_code()
            if leave is not None and leave(answer):
                return
