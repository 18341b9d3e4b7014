"""Embeddings of the echo model: the same input has the same vector, of length 1, and means nothing."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import struct
from typing import Any

from lumen.gateway.echo_tokens import tokens

DIMENSIONS = 64
MAX_DIMENSIONS = 4096


def answer(body: dict[str, Any], *, with_usage: bool) -> dict[str, Any] | None:
    """The whole answer; None when the body is not one that this server understands."""
    inputs, dimensions = _inputs(body.get('input')), body.get('dimensions') or DIMENSIONS
    if inputs is None or not isinstance(dimensions, int) or not 1 <= dimensions <= MAX_DIMENSIONS:
        return None
    encode = _as_base64 if body.get('encoding_format') == 'base64' else _as_numbers
    data = [
        {'object': 'embedding', 'index': index, 'embedding': encode(_vector(item, dimensions))}
        for index, item in enumerate(inputs)
    ]
    found = {'object': 'list', 'data': data, 'model': body.get('model', 'echo')}
    if with_usage:
        count = sum(len(tokens(item)) if isinstance(item, str) else len(item) for item in inputs)
        found['usage'] = {'prompt_tokens': count, 'total_tokens': count}
    return found


def _inputs(given: Any) -> list[str | list[int]] | None:
    """Texts or lists of token ids; one list of token ids is one input."""
    inputs = [given] if isinstance(given, str) or _are_tokens(given) else given
    if not isinstance(inputs, list) or not inputs:
        return None
    if all(isinstance(item, str) for item in inputs) or all(_are_tokens(item) for item in inputs):
        return inputs
    return None


def _are_tokens(item: Any) -> bool:
    return isinstance(item, list) and bool(item) and all(type(token) is int for token in item)


def _vector(item: str | list[int], dimensions: int) -> bytes:
    """32-bit little-endian floats, as the API encodes them."""
    digest = hashlib.shake_256(json.dumps(item).encode()).digest(2 * dimensions)
    values = [value + 0.5 for value in struct.unpack(f'<{dimensions}h', digest)]
    length = math.hypot(*values)
    return struct.pack(f'<{dimensions}f', *(value / length for value in values))


def _as_base64(vector: bytes) -> str:
    return base64.b64encode(vector).decode()


def _as_numbers(vector: bytes) -> list[float]:
    return list(struct.unpack(f'<{len(vector) // 4}f', vector))
