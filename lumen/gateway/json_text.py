"""JSON from others and for others: msgspec reads and writes it, Python's own `json` what msgspec will not.

That is half a surrogate pair in a text, as JSON may hold it escaped, and the NaN that some model servers answer with.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode
_encode_slowly = json.JSONEncoder(separators=(',', ':')).encode  # made once: making them costs more than a small text


def load(text: bytes | str) -> Any:
    """What `text` says. Raises ValueError or RecursionError."""
    try:
        return _decode(text)
    except ValueError:
        return json.loads(text)


def load_strictly(text: bytes) -> Any:
    """What `text` says, without constants that JSON has not, numbers beyond a float's, and half surrogate pairs.

    Raises ValueError or RecursionError. Whole numbers stay whole, however many digits they have.
    """
    return _decode(text)


def dump(value: Any) -> bytes:
    """The value as JSON. Half of a surrogate pair is escaped, as it must have come."""
    try:
        return _encode(value)
    except UnicodeEncodeError:
        return _encode_slowly(value).encode()
