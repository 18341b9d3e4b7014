"""A page that costs the server no memory: nothing of the framework is in it, nothing is loaded for it, no socket opens.

It says what a page in the frame says, in the viewer's choice of light or dark.
"""

from __future__ import annotations

from html import escape

from starlette.requests import HTTPConnection
from starlette.responses import HTMLResponse

from lumen.config.settings import Settings
from lumen.visible import visible
from lumen_ui import nonces, theme

# Colours are the browser's own for light and dark, on the background that all pages begin with.
STYLE = """
body { margin: 0 auto; max-width: 720px; padding: 32px 24px; font: 15px/1.5 system-ui, sans-serif; }
p { margin: 16px 0; }
h1 { margin: 16px 0; font-size: 28px; line-height: 36px; font-weight: 650; }
"""


def frugal_page(connection: HTTPConnection, settings: Settings, status: int, title: str, sentence: str) -> HTMLResponse:
    """`sentence` under the heading `title`, as `errors.refusal` says it in the frame."""
    style = f'<style nonce="{escape(connection.scope.get(nonces.SCOPE_KEY, ""))}">'
    styles = theme.BEFORE_FIRST_PAINT[theme.chosen(connection, settings)] + f'<style>{STYLE}</style>'
    return HTMLResponse(
        '<!DOCTYPE html>\n<html lang="en-US">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<title>{escape(visible(f"{title} · {settings.app.name}"))}</title>\n'
        f'{styles.replace("<style>", style)}\n'
        f'</head>\n<body>\n<main>\n<p>{status}</p>\n<h1>{escape(title)}</h1>\n<p>{escape(sentence)}</p>\n'
        '<p><a href="/">Go to the start page</a></p>\n</main>\n</body>\n</html>\n',
        status,
    )
