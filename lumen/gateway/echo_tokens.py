"""How the echo model counts: a token is a word or a single other character, with the white space before it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

IMAGES = ('image_url', 'input_image', 'image')
TOKEN = re.compile(r'\s*(?:\w+|[^\w\s])|\s+\Z')
IMAGE_TOKENS = 100


def tokens(text: str) -> list[str]:
    """The text cut into tokens; joined, they are the text again."""
    return TOKEN.findall(text)


def count_input(body: dict[str, Any]) -> int:
    """The tokens of everything that was sent to be read."""
    total = sum(len(tokens(text)) for text in _texts([body.get('tools'), body.get('functions')]))
    for message in body.get('messages', ()):
        total += 1
        content = message.get('content')
        for part in content if isinstance(content, list) else [content]:
            if isinstance(part, dict) and part.get('type') in IMAGES:
                total += IMAGE_TOKENS
            elif isinstance(part, dict):
                total += len(tokens(str(part.get('text', ''))))
            elif isinstance(part, str):
                total += len(tokens(part))
    return total


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield name
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)
