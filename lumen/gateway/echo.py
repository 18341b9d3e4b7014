"""A model server to try things with: it says what it was told, and counts tokens truly.

Each message costs one token for its role, each image 100. A request may carry `"echo": {...}` with the fields of
`EchoOptions`.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from lumen.errors import Invalid
from lumen.gateway import echo_audio, echo_embeddings, echo_messages, echo_rerank, errors
from lumen.gateway.echo_chat import Chat, Completions, Shape
from lumen.gateway.echo_messages import Messages
from lumen.gateway.echo_responses import Responses
from lumen.gateway.echo_tokens import tokens


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


SHAPES: dict[str, type[Shape]] = {
    '/v1/chat/completions': Chat,
    '/v1/completions': Completions,
    '/v1/responses': Responses,
    '/v1/messages': Messages,
}
UPLOADS = ('/v1/audio/transcriptions', '/v1/audio/translations')
AT_ONCE = {
    '/v1/embeddings': echo_embeddings.answer,
    '/v1/rerank': echo_rerank.answer,
    '/v1/messages/count_tokens': echo_messages.counted,
}


class BrokenOff(Exception):
    """The server was told to stop in mid-stream: the connection closes without an end."""


def echo_app(options: EchoOptions | None = None) -> ASGIApp:
    """The server as an ASGI app: `/v1/models`, and all that is called by POST."""
    usual = options or EchoOptions()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope['type'] != 'http':
            return
        path, method = scope['path'], scope['method']
        if path == '/v1/models' and method == 'GET':
            model = {'id': 'echo', 'object': 'model', 'created': 0, 'owned_by': 'lumen'}
            await _json(send, 200, {'object': 'list', 'data': [model]})
        elif method == 'POST' and (shape := SHAPES.get(path)) is not None:
            with suppress(BrokenOff):
                await _generate(shape, await _body(receive), usual, send)
        elif method == 'POST' and path in UPLOADS:
            with suppress(BrokenOff):
                await _generate(echo_audio.Audio, await echo_audio.body(receive, scope['headers']), usual, send)
        elif method == 'POST' and (answer := AT_ONCE.get(path)) is not None:
            await _answer_at_once(answer, await _body(receive), usual, send)
        else:
            await _json(send, 404, _error(f'no {method} {path}', 'not_found'))

    return app


async def _generate(shape: type[Shape], body: dict[str, Any] | None, usual: EchoOptions, send: Send) -> None:
    try:
        if body is None:
            raise Invalid('The body cannot be read.')
        body = {'model': 'echo'} | body
        shape.check(body)
        options = _told(body, usual)
        if options is None:
            raise Invalid('"echo" holds what cannot be done.', param='echo')
    except Invalid as error:
        await _send(send, error.status, errors.body(error))
        return
    if await _failed(options, send):
        return
    said = tokens(shape.text_of(body)) if options.tokens is None else [' word'] * options.tokens
    most = shape.most_of(body)
    cut = said[:most] if most else said
    answer = shape(body, cut, is_cut=len(cut) < len(said), with_usage=not options.omit_usage)
    if body.get('stream'):
        await _stream(answer, options, send)
    else:
        whole = answer.whole()
        if isinstance(whole, str):
            await _send(send, 200, whole.encode(), b'text/plain; charset=utf-8')
        else:
            await _json(send, 200, whole)


async def _stream(answer: Shape, options: EchoOptions, send: Send) -> None:
    start = {'type': 'http.response.start', 'status': 200, 'headers': [(b'content-type', b'text/event-stream')]}
    await send(start)
    for number, event in enumerate(answer.events()):
        if number == options.stop_after_chunks:
            raise BrokenOff
        if number:
            await asyncio.sleep(options.chunk_delay_seconds)
        await send({'type': 'http.response.body', 'body': event, 'more_body': True})
    await send({'type': 'http.response.body', 'body': answer.last()})


async def _answer_at_once(
    answer: Callable[..., dict[str, Any] | None], body: dict[str, Any] | None, usual: EchoOptions, send: Send
) -> None:
    options = _told(body or {}, usual)
    found = answer(body or {}, with_usage=not (options or usual).omit_usage)
    if options is None or found is None:
        await _json(send, 400, _error('The body or its "echo" holds what cannot be done.', 'invalid_request'))
    elif not await _failed(options, send):
        await _json(send, 200, found)


async def _failed(options: EchoOptions, send: Send) -> bool:
    """Wait as long as it was told; whether it then answered with the failure that it was told."""
    await asyncio.sleep(options.delay_seconds)
    if options.status != 200:
        await _json(send, options.status, _error(f'told to fail with {options.status}', 'told_to_fail'))
    return options.status != 200


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


async def _send(send: Send, status: int, encoded: bytes, kind: bytes = b'application/json') -> None:
    headers = [(b'content-type', kind), (b'content-length', str(len(encoded)).encode())]
    await send({'type': 'http.response.start', 'status': status, 'headers': headers})
    await send({'type': 'http.response.body', 'body': encoded})
