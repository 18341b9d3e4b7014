"""The body of a request: read within its limit, parsed, and checked as far as a bound needs it."""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

from starlette.types import Receive

from lumen.errors import Invalid
from lumen.gateway.errors import TooLarge

MAX_CHOICES = 128
MAX_TOKENS = 2**31
UNBOUNDED = ('background', 'previous_response_id')
"""Fields that make a server do more than a bound can cover; refused when set."""


class Disconnected(Exception):
    """The caller left before the request was complete."""


async def read(receive: Receive, headers: dict[bytes, bytes], max_bytes: int) -> bytes:
    """The whole body. Raises TooLarge, or Disconnected when the caller left."""
    length = headers.get(b'content-length', b'')
    if length.isdigit() and int(length) > max_bytes:
        raise _too_large(max_bytes)
    received = bytearray()
    while True:
        message = await receive()
        if message['type'] == 'http.disconnect':
            raise Disconnected
        received += message.get('body', b'')
        if len(received) > max_bytes:
            raise _too_large(max_bytes)
        if not message.get('more_body', False):
            return bytes(received)


def parse(content: bytes) -> dict[str, Any]:
    """The JSON object. Raises Invalid for anything else."""
    try:
        found = json.loads(content.decode('utf-8'), parse_float=_finite, parse_constant=_constant)
    except (ValueError, RecursionError):
        raise Invalid('The body is not valid JSON (UTF-8).') from None
    if not isinstance(found, dict):
        raise Invalid('The body must be a JSON object.')
    return found


def check_chat(body: dict[str, Any]) -> None:
    """Raises Invalid naming the first field of a chat completion that is missing or mistyped."""
    if not isinstance(body.get('model'), str) or not body['model']:
        raise Invalid('"model" must be the name of a model.', param='model')
    messages = body.get('messages')
    if not isinstance(messages, list) or not messages:
        raise Invalid('"messages" must be a list with at least one message.', param='messages')
    for number, message in enumerate(messages):
        if not isinstance(message, dict):
            raise Invalid('Each message must be an object.', param=f'messages[{number}]')
    for name in ('max_tokens', 'max_completion_tokens'):
        _check_integer(body, name, 1, MAX_TOKENS)
    _check_integer(body, 'n', 1, MAX_CHOICES)
    if body.get('stream') is not None and not isinstance(body['stream'], bool):
        raise Invalid('"stream" must be true or false.', param='stream')
    if body.get('stream_options') is not None and not isinstance(body['stream_options'], dict):
        raise Invalid('"stream_options" must be an object.', param='stream_options')
    if body.get('tools') is not None and not isinstance(body['tools'], list):
        raise Invalid('"tools" must be a list.', param='tools')
    for name in UNBOUNDED:
        if body.get(name):
            raise Invalid(f'"{name}" is not supported: what it costs cannot be bounded.', param=name)


def dump(body: dict[str, Any]) -> bytes:
    """The object as JSON again. ASCII escapes keep even half of a surrogate pair as it came."""
    return json.dumps(body, separators=(',', ':')).encode()


def _check_integer(body: dict[str, Any], name: str, least: int, most: int) -> None:
    value = body.get(name)
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise Invalid(f'"{name}" must be a whole number from {least} to {most}.', param=name)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number


def _constant(text: str) -> NoReturn:
    raise ValueError(text)


def _too_large(max_bytes: int) -> TooLarge:
    return TooLarge(f'The body is larger than {max_bytes // 1_000_000} MB.')
