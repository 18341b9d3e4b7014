"""A point in time, written by the browser in its own time zone."""

from __future__ import annotations

from typing import Literal

from nicegui import ui

from lumen_ui.components.markup import tag


def moment(microseconds: int, show: Literal['relative', 'date', 'time', 'exact'] = 'relative') -> ui.element:
    """`3 minutes ago`, or `Nov 23, 2026`, or that with hours and minutes, or in full; always with the exact time
    on hover.

    `microseconds` are since the Unix epoch, as everywhere in the database.
    """
    return tag('lumen-time', ms=str(microseconds // 1000), show=show)
