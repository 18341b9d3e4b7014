"""Pictures in help texts: one for light pages and one for dark ones, of which the style sheet shows the right one.

`make pictures` takes them from the running product, with two pixels for each that they take on a page.
"""

from __future__ import annotations

import html
import re
import struct

from lumen_ui import theme

FOLDER = theme.STATIC / 'help'
PICTURE = re.compile(r'!\[([^\]]+)\]\(([a-z-]+)\)')
"""In Markdown: `![what it shows](name)`, for the files `static/help/<name>-light.png` and `<name>-dark.png`."""


def with_pictures(markdown: str) -> str:
    """The text with HTML in the place of its pictures. Raises FileNotFoundError for one that was never taken."""
    return PICTURE.sub(lambda found: _picture(found[2], found[1]), markdown)


def _picture(name: str, shows: str) -> str:
    return f'<span class="help-picture">{_variant(name, shows, "light")}{_variant(name, shows, "dark")}</span>'


def _variant(name: str, shows: str, mode: str) -> str:
    file = f'{name}-{mode}.png'
    with (FOLDER / file).open('rb') as picture:
        width, height = struct.unpack('>II', picture.read(24)[16:])
    address = theme.address(f'help/{file}')
    return (
        f'<a class="only-{mode}" href="{address}"><img src="{address}" alt="{html.escape(shows)}"'
        f' width="{width // 2}" height="{height // 2}" loading="lazy"></a>'
    )
