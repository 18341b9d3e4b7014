"""A model server to try things with: it says what it was told, and counts tokens truly.

Each message costs one token for its role, each image 100. A request may carry `"echo": {...}` with the fields of
`EchoOptions`.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from typing import Any
from uuid import uuid4

from starlette.types import ASGIApp, Receive, Scope, Send

from lumen.errors import Invalid
from lumen.gateway import checks, echo_embeddings, errors
from lumen.gateway.echo_tokens import count_input, tokens


@dataclass(frozen=True, slots=True)
class EchoOptions:
    """How the server behaves. `status` other than 200 fails; `stop_after_chunks` breaks a stream off there."""

    delay_seconds: float = 0.0
    chunk_delay_seconds: float = 0.0
    status: int = 200
    stop_after_chunks: int | None = None
    omit_usage: bool = False
    tokens: int | None = None
    """Say so many words instead of what was told."""


MOST = {'delay_seconds': 3600.0, 'chunk_delay_seconds': 3600.0, 'stop_after_chunks': 10**9, 'tokens': 100_000}
"""What a request may tell it at most: the server may be within the process of the gateway."""


class BrokenOff(Exception):
    """The server was told to stop in mid-stream: the connection closes without an end."""


def echo_app(options: EchoOptions | None = None) -> ASGIApp:
    """The server as an ASGI app: `/v1/models`, `/v1/chat/completions` (JSON and events) and `/v1/embeddings`."""
    usual = options or EchoOptions()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope['type'] != 'http':
            return
        path, method = scope['path'], scope['method']
        if path == '/v1/models' and method == 'GET':
            model = {'id': 'echo', 'object': 'model', 'created': 0, 'owned_by': 'lumen'}
            await _json(send, 200, {'object': 'list', 'data': [model]})
        elif path == '/v1/chat/completions' and method == 'POST':
            with suppress(BrokenOff):
                await _chat(await _body(receive), usual, send)
        elif path == '/v1/embeddings' and method == 'POST':
            await _embeddings(await _body(receive), usual, send)
        else:
            await _json(send, 404, _error(f'no {method} {path}', 'not_found'))

    return app


async def _chat(body: dict[str, Any] | None, usual: EchoOptions, send: Send) -> None:
    try:
        body = _checked(body)
        options = _told(body, usual)
        if options is None:
            raise Invalid('"echo" holds what cannot be done.', param='echo')
    except Invalid as error:
        await _send(send, error.status, errors.body(error))
        return
    if await _failed(options, send):
        return
    said = tokens(_last_text(body['messages'])) if options.tokens is None else [' word'] * options.tokens
    most = body.get('max_completion_tokens') or body.get('max_tokens')
    cut = said[:most] if most else said
    answer = _Answer(body, cut, 'length' if len(cut) < len(said) else 'stop', options)
    if body.get('stream'):
        await answer.stream(send)
    else:
        await _json(send, 200, answer.whole())


async def _embeddings(body: dict[str, Any] | None, usual: EchoOptions, send: Send) -> None:
    options = _told(body or {}, usual)
    answer = echo_embeddings.answer(body or {}, with_usage=not (options or usual).omit_usage)
    if options is None or answer is None:
        await _json(send, 400, _error('"input", "dimensions" or "echo" holds what cannot be done', 'invalid_request'))
    elif not await _failed(options, send):
        await _json(send, 200, answer)


async def _failed(options: EchoOptions, send: Send) -> bool:
    """Wait as long as it was told; whether it then answered with the failure that it was told."""
    await asyncio.sleep(options.delay_seconds)
    if options.status != 200:
        await _json(send, options.status, _error(f'told to fail with {options.status}', 'told_to_fail'))
    return options.status != 200


class _Answer:
    def __init__(self, body: dict[str, Any], said: list[str], finish_reason: str, options: EchoOptions):
        self._said = said
        self._finish_reason = finish_reason
        self._options = options
        self._choices = range(body.get('n') or 1)
        self._stream_options = body.get('stream_options') or {}
        self._input_tokens = count_input(body)
        self._head = {'id': f'chatcmpl-{uuid4().hex}', 'created': int(time.time()), 'model': body['model']}

    def whole(self) -> dict[str, Any]:
        choices = [
            {
                'index': index,
                'message': {'role': 'assistant', 'content': ''.join(self._said)},
                'logprobs': None,
                'finish_reason': self._finish_reason,
            }
            for index in self._choices
        ]
        answer = self._head | {'object': 'chat.completion', 'choices': choices}
        if not self._options.omit_usage:
            answer['usage'] = self._usage(len(self._said) * len(self._choices))
        return answer

    async def stream(self, send: Send) -> None:
        start = {'type': 'http.response.start', 'status': 200, 'headers': [(b'content-type', b'text/event-stream')]}
        await send(start)
        for number, chunk in enumerate(self._chunks()):
            if number == self._options.stop_after_chunks:
                raise BrokenOff
            if number:
                await asyncio.sleep(self._options.chunk_delay_seconds)
            content = b'data: ' + json.dumps(chunk).encode() + b'\n\n'
            await send({'type': 'http.response.body', 'body': content, 'more_body': True})
        await send({'type': 'http.response.body', 'body': b'data: [DONE]\n\n'})

    def _chunks(self) -> Iterator[dict[str, Any]]:
        said = 0
        for index in self._choices:
            yield self._chunk(index, {'role': 'assistant', 'content': ''}, said)
            for token in self._said:
                said += 1
                yield self._chunk(index, {'content': token}, said)
            yield self._chunk(index, {}, said, self._finish_reason)
        if self._stream_options.get('include_usage') and not self._options.omit_usage:
            yield self._head | {'object': 'chat.completion.chunk', 'choices': [], 'usage': self._usage(said)}

    def _chunk(self, index: int, delta: dict[str, Any], said: int, finish_reason: str | None = None) -> dict[str, Any]:
        choice = {'index': index, 'delta': delta, 'logprobs': None, 'finish_reason': finish_reason}
        chunk = self._head | {'object': 'chat.completion.chunk', 'choices': [choice]}
        if self._stream_options.get('continuous_usage_stats') and not self._options.omit_usage:
            chunk['usage'] = self._usage(said)
        return chunk

    def _usage(self, output_tokens: int) -> dict[str, int]:
        return {
            'prompt_tokens': self._input_tokens,
            'completion_tokens': output_tokens,
            'total_tokens': self._input_tokens + output_tokens,
        }


def _checked(body: dict[str, Any] | None) -> dict[str, Any]:
    """The body, with its model. Raises Invalid naming the first field that is mistyped."""
    if body is None:
        raise Invalid('The body must be a JSON object.')
    body = {'model': 'echo'} | body
    checks.chat(body)
    for number, message in enumerate(body['messages']):
        _check_content(message.get('content'), f'messages[{number}].content')
    return body


def _check_content(content: Any, param: str) -> None:
    if content is not None and not isinstance(content, str | list):
        raise Invalid('The content of a message must be a text or a list of parts.', param=param)
    for number, part in enumerate(content if isinstance(content, list) else ()):
        if not isinstance(part, str | dict):
            raise Invalid('Each part of a content must be an object.', param=f'{param}[{number}]')
        if isinstance(part, dict) and not isinstance(part.get('text', ''), str):
            raise Invalid('The text of a part must be a text.', param=f'{param}[{number}].text')


def _told(body: dict[str, Any], usual: EchoOptions) -> EchoOptions | None:
    """The options of a request; None when one of them cannot be."""
    told = body.get('echo')
    if not isinstance(told, dict):
        return usual
    known = {field.name for field in fields(EchoOptions)}
    told = {name: value for name, value in told.items() if name in known}
    return replace(usual, **told) if all(_can_be(name, value) for name, value in told.items()) else None


def _can_be(name: str, value: Any) -> bool:
    if name == 'omit_usage':
        return isinstance(value, bool)
    if name == 'status':
        return type(value) is int and 200 <= value <= 599
    most = MOST[name]
    return type(value) in {int, type(most)} and 0 <= value <= most


def _last_text(messages: list[dict[str, Any]]) -> str:
    for message in reversed(messages):
        if message.get('role') == 'user':
            content = message.get('content')
            if isinstance(content, list):
                return ''.join(str(part.get('text', '')) for part in content if isinstance(part, dict))
            return content if isinstance(content, str) else ''
    return ''


async def _body(receive: Receive) -> dict[str, Any] | None:
    content = b''
    while True:
        message = await receive()
        content += message.get('body', b'')
        if not message.get('more_body'):
            break
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _error(message: str, code: str) -> dict[str, Any]:
    return {'error': {'message': message, 'type': 'echo_error', 'param': None, 'code': code}}


async def _json(send: Send, status: int, content: dict[str, Any]) -> None:
    await _send(send, status, json.dumps(content).encode())


async def _send(send: Send, status: int, encoded: bytes) -> None:
    headers = [(b'content-type', b'application/json'), (b'content-length', str(len(encoded)).encode())]
    await send({'type': 'http.response.start', 'status': status, 'headers': headers})
    await send({'type': 'http.response.body', 'body': encoded})
