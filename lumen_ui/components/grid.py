"""A table that holds one page of rows from the database, in an AG Grid that neither sorts nor filters by itself.

A click on a header asks the database again. Cells are drawn by `static/grid.js`, which sets text and never HTML.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from nicegui import ui

from lumen.visible import visible
from lumen_ui import nonces

Row = dict[str, str | int]
"""Scalar values under keys of ours, one of which is `id`. A key never comes from data."""

ROW_HEIGHT = 44
ROWS_WITHOUT_SCROLLING = 14
ANSWERS_WITHIN_SECONDS = 10.0
"""A browser, over a connection however slow."""


@dataclass(frozen=True, slots=True)
class Column:
    """`draw` names a function of `static/grid.js`; `flex` is the share of what width is left, `width` the least."""

    field: str
    title: str
    draw: str = 'text'
    flex: int = 1
    width: int = 110
    is_figure: bool = False
    first_descending: bool = False


class Grid:
    """`on_sort` is called with a field and whether it descends, when the viewer chose another order."""

    def __init__(
        self,
        label: str,
        columns: list[Column],
        rows: list[Row],
        *,
        sort: str,
        descending: bool,
        on_sort: Callable[[str, bool], Any],
    ):
        self._columns = columns
        self._on_sort = on_sort
        self._sort = (sort, descending)
        self._rows = rows = _visible(rows)
        self._is_tall = _is_tall(rows)
        self.element = ui.aggrid(
            {
                'styleNonce': nonces.of_this_page(),
                'columnDefs': [self._definition(column) for column in columns],
                'rowData': rows,
                ':getRowId': '(params) => String(params.data.id)',
                'rowHeight': ROW_HEIGHT,
                'headerHeight': ROW_HEIGHT,
                'animateRows': False,
                'ensureDomOrder': True,
                'domLayout': _layout(self._is_tall),
                'suppressMovableColumns': True,
                'suppressMultiSort': True,
                'suppressColumnVirtualisation': True,
                'suppressNoRowsOverlay': True,
                # One stop: the arrows move within, or a hundred rows would lie before what comes after the grid.
                ':tabToNextHeader': '() => false',
                ':tabToNextCell': '(params) => lumenGrid.leave(params)',
                ':onCellKeyDown': '(params) => lumenGrid.open(params)',
                ':onGridReady': f'(params) => lumenGrid.label(params, {json.dumps(label)})',
            },
            auto_size_columns=False,
        ).classes('grid grid-tall' if self._is_tall else 'grid')
        self.element.on('sortChanged', self._sorted, args=[])

    def show(self, rows: list[Row]) -> None:
        """Show these rows. Those that are there already are updated in place; focus and scroll stay."""
        before, self._rows = self._rows, _visible(rows)
        rows = self._rows
        self._fit()
        if [row['id'] for row in rows] == [row['id'] for row in before]:
            changed = [row for row, old in zip(rows, before, strict=True) if row != old]
            if changed:
                self.element.run_grid_method('applyTransaction', {'update': changed})
            return
        # Touching the element's options would build the grid anew, without its focus and sort mark.
        self.element.run_grid_method('setGridOption', 'rowData', rows)

    def mark_sort(self, sort: str, descending: bool) -> None:
        """Show the mark of this order, without asking for it again."""
        if (sort, descending) != self._sort:
            self._sort = (sort, descending)
            state = [{'colId': sort, 'sort': 'desc' if descending else 'asc'}]
            self.element.run_grid_method('applyColumnState', {'state': state, 'defaultState': {'sort': None}})

    def _definition(self, column: Column) -> dict[str, Any]:
        sort, descending = self._sort
        order = ['desc', 'asc'] if column.first_descending else ['asc', 'desc']
        definition: dict[str, Any] = {
            'field': column.field,
            'headerName': column.title,
            'flex': column.flex,
            'minWidth': column.width,
            'sortable': True,
            'resizable': True,
            'sortingOrder': order,
            ':comparator': '() => 0',
            ':cellRenderer': f'(params) => lumenGrid.{column.draw}(params)',
        }
        if column.is_figure:
            definition |= {'headerClass': 'ag-right-aligned-header', 'cellClass': 'ag-right-aligned-cell'}
        if column.field == sort:
            definition['initialSort'] = 'desc' if descending else 'asc'
        return definition

    def _fit(self) -> None:
        """As high as its rows; a long page scrolls below its header."""
        is_tall = _is_tall(self._rows)
        if is_tall == self._is_tall:
            return
        self._is_tall = is_tall
        if is_tall:
            self.element.classes(add='grid-tall')
        else:
            self.element.classes(remove='grid-tall')
        self.element.run_grid_method('setGridOption', 'domLayout', _layout(is_tall))

    async def _sorted(self) -> None:
        try:
            states = await self.element.run_grid_method('getColumnState', timeout=ANSWERS_WITHIN_SECONDS)
        except TimeoutError:
            return  # the connection went meanwhile, or nobody is there to answer
        order = self._order(states)
        if order is not None and order != self._sort:
            self._sort = order
            await self._on_sort(*order)

    def _order(self, states: Any) -> tuple[str, bool] | None:
        """The order that the browser says its columns have: whatever it is that answered."""
        for state in states if isinstance(states, list) else ():
            if not isinstance(state, dict) or state.get('sort') not in ('asc', 'desc'):
                continue
            for column in self._columns:
                if column.field == state.get('colId'):
                    return column.field, state['sort'] == 'desc'
        return None


def _visible(rows: list[Row]) -> list[Row]:
    return [{key: visible(value) if isinstance(value, str) else value for key, value in row.items()} for row in rows]


def _is_tall(rows: list[Row]) -> bool:
    return len(rows) > ROWS_WITHOUT_SCROLLING


def _layout(is_tall: bool) -> str:
    return 'normal' if is_tall else 'autoHeight'
