"""How pages look: the style sheet, the accent colour, light or dark.

Tailwind is off. What there is to use is in `static/lumen.css`: design tokens (`var(--muted)`), and a few classes
(`page-title`, `section-title`, `muted`, `figures`, `row-line`, `stack`, `panel`) beside Quasar's own.
Preferences are cookies that the browser sets by itself: they hold nothing of anybody and are read to draw a page right
from its first paint.
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

from nicegui import app, ui
from starlette.requests import HTTPConnection, Request

from lumen.config.settings import Settings, Theme

STATIC = Path(__file__).parent / 'static'
THEME_COOKIE = 'lumen_theme'
ACCENT = '#24509f'
CHOICES: dict[str, Theme] = {'light': 'light', 'dark': 'dark', 'auto': 'auto'}

BEFORE_FIRST_PAINT = {
    'light': '<style>:root { color-scheme: light; } html { background: #f6f7f9; }</style>',
    'dark': '<style>:root { color-scheme: dark; } html { background: #10141b; }</style>',
    'auto': (
        '<style>:root { color-scheme: light dark; } html { background: #f6f7f9; }'
        ' @media (prefers-color-scheme: dark) { html { background: #10141b; } }</style>'
    ),
}


def install() -> None:
    """Once: serve the static files and set the colours that Quasar knows by name."""
    app.add_static_files('/static', STATIC)
    app.colors(primary=ACCENT, secondary='#56607a', accent=ACCENT, positive='#1a7f37', negative='#b42318')
    app.config.quasar_config['loadingBar'] = {'skipHijack': True}


def apply(request: Request, settings: Settings) -> Theme:
    """For the page being built: the style sheet, the scripts, and the viewer's choice of light or dark."""
    choice = chosen(request, settings)
    ui.add_head_html(BEFORE_FIRST_PAINT[choice])
    ui.add_head_html(_head())
    ui.dark_mode({'light': False, 'dark': True, 'auto': None}[choice])
    return choice


def chosen(request: HTTPConnection, settings: Settings) -> Theme:
    """What the viewer chose, or what the configuration says for those who have not."""
    return CHOICES.get(request.cookies.get(THEME_COOKIE, ''), settings.app.theme)


@cache
def _head() -> str:
    """The links to our own files, whose addresses change with their content so that browsers may keep them."""
    return (
        f'<link rel="stylesheet" href="{address("lumen.css")}">'
        f'<link rel="stylesheet" href="{address("client.css")}">'
        f'<script defer src="{address("frame.js")}"></script>'
        f'<script defer src="{address("grid.js")}"></script>'
        f'<script defer src="{address("search.js")}"></script>'
    )


@cache
def address(name: str) -> str:
    """Where the browser finds a file of `static/`: an address that changes with its content, so that it may be kept."""
    return f'/static/{name}?v={hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:12]}'
