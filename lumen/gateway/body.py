"""The body of a request: read within its limits of size and time, parsed, and written again."""

from __future__ import annotations

import asyncio
import json
import math
from typing import Any, NoReturn

from starlette.types import Receive

from lumen.errors import Invalid
from lumen.gateway import json_text
from lumen.gateway.errors import TooLarge, TooSlow

MEGABYTE = 1_000_000
MAX_DEPTH = 200
"""The parser and the writer recurse; how deep they can differs between versions of Python."""

MAX_VALUES = 500_000
MAX_DIGITS = 400
"""Parsing, measuring or writing a body holds up every other call. So many values, or digits in a number, take at worst
about half a second of processor time at one of the three; 32 MB of the smallest values took up to five.
"""

CONTAINERS = (dict, list)
ZEROS = bytes.maketrans(b'123456789', b'0' * 9)
IDLE_SECONDS = 60.0


class Disconnected(Exception):
    """The caller left before the request was complete."""


async def read(receive: Receive, max_bytes: int, idle_seconds: float = IDLE_SECONDS) -> bytes:
    """The whole body, as it comes.

    Raises TooLarge, TooSlow when nothing comes for `idle_seconds`, or Disconnected when the caller left.
    """
    received = bytearray()
    while True:
        try:
            async with asyncio.timeout(idle_seconds):
                message = await receive()
        except TimeoutError:
            raise TooSlow(f'The body stopped coming for {idle_seconds:g} seconds.') from None
        if message['type'] == 'http.disconnect':
            raise Disconnected
        received += message.get('body', b'')
        if len(received) > max_bytes:
            raise too_large(max_bytes)
        if not message.get('more_body', False):
            return bytes(received)


def parse(content: bytes) -> dict[str, Any]:
    """The JSON object. Of a name that stands twice the last counts, here and so for the model server.

    Raises Invalid for anything else, and for one that is nested more than MAX_DEPTH deep, or holds more than MAX_VALUES
    or a whole number of more than MAX_DIGITS.
    """
    if len(content) > MAX_VALUES and _holds_too_much(content):
        raise Invalid(
            f'The body holds more than {MAX_VALUES:,} values. Every field of an object and item of a list is one.'
        )
    try:
        found = _parsed(content)
    except RecursionError:
        raise _too_deep('') from None
    except ValueError:
        raise Invalid('The body is not valid JSON (UTF-8).') from None
    if not isinstance(found, dict):
        raise Invalid('The body must be a JSON object.')
    if content.count(b'[') + content.count(b'{') > MAX_DEPTH:  # else it cannot be that deep
        for name, value in found.items():
            if _is_deeper(value, MAX_DEPTH - 1):
                raise _too_deep(name)
    return found


def dump(body: dict[str, Any]) -> bytes:
    """The object as JSON again, with even half of a surrogate pair as it came."""
    return json_text.dump(body)


def too_large(max_bytes: int) -> TooLarge:
    return TooLarge(f'The body is larger than {max_bytes // MEGABYTE} MB ({max_bytes:,} bytes).')


def _parsed(content: bytes) -> Any:
    """The JSON value. Raises ValueError, RecursionError, or Invalid for a number of too many digits."""
    if len(content) <= MAX_DIGITS or b'0' * (MAX_DIGITS + 1) not in content.translate(ZEROS):
        try:
            return json_text.load_strictly(content)
        except ValueError:
            pass  # half a surrogate pair, or no JSON
    return _decode(content.decode('utf-8'))


def _holds_too_much(content: bytes) -> bool:
    """Whether there are too many values, told without parsing: each follows a comma or opens an object or a list."""
    if _separators(content) <= MAX_VALUES:
        return False
    # A text may hold any number of them. Without its escaped quotes, every other piece between quotes is text.
    bare = content.replace(b'\\\\', b'').replace(b'\\"', b'')
    if bare.count(b'"') > 4 * MAX_VALUES:  # two texts a value, a name and what it names
        return True
    return _separators(b''.join(bare.split(b'"')[::2])) > MAX_VALUES


def _separators(content: bytes) -> int:
    return content.count(b',') + content.count(b'[') + content.count(b'{')


def _is_deeper(value: Any, depth: int) -> bool:
    level = [value] if type(value) in CONTAINERS else []
    for _ in range(depth):
        level = [
            inner
            for item in level
            for inner in (item.values() if type(item) is dict else item)
            if type(inner) in CONTAINERS
        ]
    return bool(level)


def _whole(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise Invalid(f'A whole number in the body has more than {MAX_DIGITS} digits.')
    return int(text)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number


def _constant(text: str) -> NoReturn:
    raise ValueError(text)


_decode = json.JSONDecoder(parse_float=_finite, parse_int=_whole, parse_constant=_constant).decode


def _too_deep(name: str) -> Invalid:
    where = f'"{name[:200]}"' if name else 'The body'
    return Invalid(f'{where} is nested more than {MAX_DEPTH} deep.', param=name[:200] or None)
