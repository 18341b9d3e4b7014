"""Texts that stand on a page: a notice above it, or what stands in the place of a list that has nothing to show."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from nicegui import ui

from lumen_ui.components.markup import tag, text


@contextmanager
def notice(icon: str = 'info') -> Iterator[None]:
    """A quiet box beside an icon. Put paragraphs and links into it."""
    with tag('div', 'notice', role='note'):
        ui.icon(icon).props('aria-hidden=true')
        with tag('div', 'notice-body'):
            yield


def stale_notice() -> ui.element:
    """What says, while it is visible, that figures may be old. Hidden at first."""
    with tag('div', 'notice notice-warning', role='status') as element:
        ui.icon('sync_problem').props('aria-hidden=true')
        text('p', 'Lumen cannot reach its database. What you see may be old; it updates by itself when that is over.')
    element.set_visibility(False)
    return element


@contextmanager
def empty_state(icon: str, title: str, explanation: str) -> Iterator[ui.element]:
    """What a list shows instead of rows: why there are none and what to do. Put the buttons into it."""
    with tag('div', 'empty') as panel:
        ui.icon(icon).props('aria-hidden=true')
        text('h2', title, 'empty-title')
        text('p', explanation, 'muted')
        yield panel
