"""A model server that remembers what it generated for each call, and fails in whatever way a call asks it to.

What to do stands in a call's `metadata`, which Lumen passes on and does not count. `name` is the one to remember it by:

    events           how many tokens to write, one an event of a stream (10)
    input            tokens of input that are reported (the words of the last message unless told otherwise)
    interval         seconds between events (0)
    fault            a status to answer with, or one of these:
                     'not http', 'not json', 'reset', 'stall', 'half' (an event), 'large event', 'too large event';
                     of usage: 'no usage', 'missing' (half of it), 'negative', 'huge', 'more than asked'
    at               the event of a stream before which the fault comes (1); 0 is before the head
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import time
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

SENTENCE = (
    'A gateway stands in front of many model servers and gives people and programs one address one kind of key and one '
    'budget for all of them what a call could cost at most is held before it starts and what it did cost is charged '
    'when it ends so that a pool of coins never falls below zero whatever happens in between'
)
TEXT = SENTENCE.split()
"""What it says: a token is a word."""

LARGE, TOO_LARGE = 10_000_000, 20_000_000
HUGE = 10**15
HEAD = b'HTTP/1.1 %d X\r\ncontent-type: %b\r\nconnection: close\r\n%b\r\n'


@dataclass(slots=True)
class Generated:
    """What was generated for one call: tokens of input, and of output in events that were written whole.

    `reported` is the last usage that it told; `ended_at` is `time.monotonic()` when it was complete, or the connection
    was found closed.
    """

    input_tokens: int
    output_tokens: int = 0
    reported: tuple[int, int] | None = None
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    halfway: asyncio.Event = field(default_factory=asyncio.Event)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    ended_at: float = 0.0


class ModelServer:
    """Serves on a free `port` of 127.0.0.1 within its block. `calls` has what it generated, by the calls' names."""

    def __init__(self) -> None:
        self.calls: dict[str, Generated] = {}
        self.port = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> ModelServer:
        self._server = await asyncio.start_server(self._accept, '127.0.0.1', 0, backlog=2048)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    def asked(self, name: str, body: dict[str, Any]) -> Generated:
        """The call of this name, made when it was not asked for yet: whoever calls can wait for it."""
        if name not in self.calls:
            told = body['metadata'].get('input')
            words = len(str(body['messages'][-1]['content']).split())
            self.calls[name] = Generated(words if told is None else int(told))
        return self.calls[name]

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - this is a coroutine
        self._tasks.add(task)
        try:
            head = await reader.readuntil(b'\r\n\r\n')
            length = int(head.lower().split(b'content-length:')[1].split(b'\r\n')[0])
            body = json.loads(await reader.readexactly(length))
            told = body['metadata']
            generated = self.asked(told['name'], body)
            gone = asyncio.create_task(_gone(reader))
            generated.asked.set()
            answering = asyncio.create_task(_Answering(writer, body, told, generated).answer())
            await asyncio.wait({answering, gone}, return_when=asyncio.FIRST_COMPLETED)
            generated.ended_at = time.monotonic()
            generated.ended.set()
            for each in (answering, gone):
                each.cancel()
            await asyncio.gather(answering, gone, return_exceptions=True)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            self._tasks.discard(task)
            writer.close()


async def _gone(reader: asyncio.StreamReader) -> None:
    with suppress(OSError):
        while await reader.read(65536):
            pass


class _Answering:
    def __init__(self, writer: asyncio.StreamWriter, body: dict[str, Any], told: dict[str, Any], generated: Generated):
        self._writer = writer
        self._generated = generated
        self._fault = told.get('fault')
        self._at = int(told.get('at', 1))
        self._events = int(told.get('events', 10))
        self._interval = float(told.get('interval', 0))
        options = body.get('stream_options') or {}
        self._streams = body.get('stream') is True
        self._is_continuous = options.get('continuous_usage_stats') is True

    async def answer(self) -> None:
        if isinstance(self._fault, int):
            await self._write(self._fault, b'application/json', b'{"error": {"message": "no"}}')
        elif self._fault == 'not http':
            self._writer.write(b'This is no HTTP at all.\r\n\r\n')
            await self._writer.drain()
        elif self._streams:
            await self._stream()
        else:
            await self._whole()

    async def _whole(self) -> None:
        if self._fault == 'stall':
            await asyncio.Event().wait()
        if self._at == 0:
            self._reset()
            return
        self._generated.output_tokens = self._events
        if self._fault == 'not json':
            await self._write(200, b'application/json', b'{"choices": [')
            return
        text = ' '.join(map(_word, range(self._events)))
        answer: dict[str, Any] = {'choices': [{'index': 0, 'message': {'role': 'assistant', 'content': text}}]}
        content = json.dumps(answer | self._usage()).encode()
        if self._fault == 'reset':
            self._writer.write(HEAD % (200, b'application/json', b'content-length: %d\r\n' % len(content)))
            self._writer.write(content[: len(content) // 2])
            await self._writer.drain()
            self._reset()
            return
        await self._write(200, b'application/json', content)

    async def _stream(self) -> None:
        if self._at == 0:
            if self._fault == 'stall':
                await asyncio.Event().wait()
            self._reset()
            return
        self._writer.write(HEAD % (200, b'text/event-stream', b''))
        for number in range(self._events):
            if number + 1 == self._at and await self._is_ended_by_fault(number):
                return
            await self._event(number, _word(number) + ' ')
            if self._interval:
                await asyncio.sleep(self._interval)
        if self._fault != 'no usage':
            self._send({'choices': []} | self._usage())
        self._writer.write(b'data: [DONE]\n\n')
        await self._writer.drain()

    async def _is_ended_by_fault(self, number: int) -> bool:
        if self._fault == 'reset':
            await self._writer.drain()
            await asyncio.sleep(0.05)  # a reset takes with it what the other side has not read yet
            self._reset()
            return True
        if self._fault == 'stall':
            await asyncio.Event().wait()
        if self._fault == 'half':
            whole = _event({'choices': [{'index': 0, 'delta': {'content': _word(number) + ' '}}]})
            self._writer.write(whole[: len(whole) // 2])
            await self._writer.drain()
            self._generated.halfway.set()
            if self._interval:
                await asyncio.Event().wait()
            return True
        if self._fault == 'not json':
            self._writer.write(b'data: {"choices": [\n\n')
        if self._fault == 'large event':
            self._writer.write(_event({'padding': 'x' * LARGE}))
        elif self._fault == 'too large event':
            self._writer.write(_event({'padding': 'x' * TOO_LARGE}))
            await asyncio.Event().wait()
        return False

    async def _event(self, number: int, text: str) -> None:
        chunk: dict[str, Any] = {'choices': [{'index': 0, 'delta': {'content': text}}]}
        self._generated.output_tokens = number + 1
        if self._is_continuous:
            chunk |= self._usage()
        self._send(chunk)
        await self._writer.drain()

    def _usage(self) -> dict[str, Any]:
        read, written = self._generated.input_tokens, self._generated.output_tokens
        if self._fault == 'no usage':
            return {}
        if self._fault == 'missing':
            return {'usage': {'prompt_tokens': read}}
        if self._fault == 'negative':
            read, written = read, -written
        elif self._fault == 'huge':
            read, written = read, HUGE
        elif self._fault == 'more than asked':
            read, written = read, 3 * written
        self._generated.reported = read, written
        return {'usage': {'prompt_tokens': read, 'completion_tokens': written, 'total_tokens': read + written}}

    def _send(self, chunk: dict[str, Any]) -> None:
        self._writer.write(_event(chunk))

    async def _write(self, status: int, kind: bytes, content: bytes) -> None:
        self._writer.write(HEAD % (status, kind, b'content-length: %d\r\n' % len(content)) + content)
        await self._writer.drain()

    def _reset(self) -> None:
        """Close so that the other side is told of a reset, and not of an end."""
        found: socket.socket = self._writer.get_extra_info('socket')
        found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
        self._writer.transport.abort()


def _word(number: int) -> str:
    return TEXT[number % len(TEXT)]


def _event(chunk: dict[str, Any]) -> bytes:
    return b'data: ' + json.dumps(chunk).encode() + b'\n\n'
