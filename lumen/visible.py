"""Text that others wrote, as it may be shown: characters that steer instead of being read become visible escapes.

A right-to-left override makes a name read backwards, an escape moves the cursor of a terminal, a line feed begins a
line that nobody logged. Direction marks (U+200E, U+200F, U+061C) stay: scripts need them, and they reverse nothing.
"""

from __future__ import annotations

import re

# Control characters of both sets, line and paragraph separators, embeddings, overrides and isolates, half characters.
STEERING = re.compile('[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]')
LAYOUT = '\n\t'


def visible(text: str, *, lines: bool = False) -> str:
    """`text` with every steering character as an escape like `\\u202e`, which JSON understands.

    With `lines`, line feeds and tabs stay.
    """
    return STEERING.sub(lambda found: _escape(found[0], lines), text)


def _escape(character: str, lines: bool) -> str:
    if lines and character in LAYOUT:
        return character
    return f'\\u{ord(character):04x}'
