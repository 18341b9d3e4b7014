"""A plain table whose rows follow the database in place, so that focus, selection and scroll survive every update."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from nicegui import ui
from nicegui.elements.mixins.text_element import TextElement

from lumen import coins
from lumen_ui.components.markup import set_attributes, tag, text

Row = TypeVar('Row')
Show = Callable[[Row], None]


@dataclass(frozen=True, slots=True)
class Column:
    """`figures` are right-aligned. `spoken_only` keeps the heading for screen readers."""

    label: str
    figures: bool = False
    spoken_only: bool = False


class LiveTable(Generic[Row]):
    """`build` fills a new `<tr>` with cells for a row and returns the function that shows the row's newer values."""

    def __init__(self, name: str, columns: tuple[Column, ...], build: Callable[[Row], Show[Row]]) -> None:
        self._build = build
        self._columns = columns
        self._rows: dict[Hashable, tuple[ui.element, Show[Row]]] = {}
        # What scrolls sideways must be reachable by keyboard, and then needs a name.
        self.element = tag('div', 'table-scroll', role='region', tabindex='0', aria_label=name)
        with self.element, tag('table', 'table'):
            with tag('thead'), tag('tr'):
                for column in columns:
                    with tag('th', 'figures' if column.figures else '', scope='col'):
                        text('span', column.label, 'visually-hidden' if column.spoken_only else '')
            self._body = tag('tbody')

    def show(self, rows: Mapping[Hashable, Row]) -> None:
        """Make the table say exactly `rows`, in their order."""
        for gone in self._rows.keys() - rows.keys():
            self._rows.pop(gone)[0].delete()
        for index, (key, row) in enumerate(rows.items()):
            if key not in self._rows:
                with self._body, tag('tr') as element:
                    self._rows[key] = (element, self._build(row))
                self._label(element)
            element, show = self._rows[key]
            if self._body.default_slot.children[index] is not element:
                element.move(target_index=index)
            show(row)
        self.element.set_visibility(bool(rows))

    def _label(self, row: ui.element) -> None:
        """Where a row is too wide, its cells stand one below the other, each behind the heading of its column."""
        for column, child in zip(self._columns[1:], row.default_slot.children[1:], strict=True):
            if not column.spoken_only:
                set_attributes(child, data_label=column.label)


def cell(content: str = '', classes: str = '') -> TextElement:
    return text('td', content, classes)


def figure() -> TextElement:
    return text('td', '', 'figures')


def change(element: TextElement, content: str, title: str = '') -> None:
    """Set what is shown and what hovering tells, sending nothing when both are as they were."""
    if element.text != content:
        element.text = content
    if element.props.get('title', '') != title:
        set_attributes(element, title=title)


def change_tokens(element: TextElement, input_tokens: int, output_tokens: int) -> None:
    change(element, f'{input_tokens + output_tokens:,}', f'{input_tokens:,} input + {output_tokens:,} output')


def change_coins(element: TextElement, nanocoins: int) -> None:
    """Two decimals, all nine on hover."""
    change(element, coins.short(nanocoins), f'{coins.exact(nanocoins)} coins')
