"""The cards and the table of the Clients page, kept true from moment to moment."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl

from nicegui import events, ui

from lumen import coins
from lumen.errors import DatabaseUnavailable, LumenError
from lumen.records import client_list
from lumen.records.client_list import PAGE_SIZE, ClientPage, ClientRow
from lumen.records.pulse import pulse_of_clients
from lumen_ui import outage
from lumen_ui.actions import shows_address
from lumen_ui.components.card import FigureCard, cards
from lumen_ui.components.grid import Column, Grid, Row
from lumen_ui.components.markup import set_attributes, tag, text
from lumen_ui.components.notice import empty_state, stale_notice
from lumen_ui.guard import Visitor
from lumen_ui.one_read import OneRead
from lumen_ui.pages.clients.wanted import MAX_SEARCH, STATES, Wanted

AT_LEAST_EVERY_SECONDS = 5.0
"""For what no call and no change tells: a role in a changed configuration."""

COLUMNS = [
    Column('name', 'Name', 'link', flex=3, width=160),
    Column('managers', 'Managers', 'count', width=136, is_figure=True, first_descending=True),
    Column('active', 'Active', 'state', width=90),
    Column('requests', 'Requests', 'count', width=132, is_figure=True, first_descending=True),
    Column('tokens', 'Tokens Used', 'count', width=160, is_figure=True, first_descending=True),
    Column('spent', 'Coins', 'coins', width=116, is_figure=True, first_descending=True),
    Column('created_at', 'Created', 'date', width=136, first_descending=True),
]


class Listing:
    """`wanted` is what is shown. `new_client` opens the dialog, where the viewer may; `lost` is called with the reason
    when the viewer may not see the page any more.
    """

    def __init__(
        self,
        visitor: Visitor,
        wanted: Wanted,
        found: ClientPage,
        *,
        new_client: Callable[[], None] | None,
        lost: Callable[[LumenError], None],
    ):
        self.wanted = wanted
        self._visitor = visitor
        self._lost = lost
        self._read_once_more = OneRead(self._read_and_show)
        self._pulse: tuple[Any, ...] = ()
        self._due = 0.0
        self._stale = stale_notice()
        with cards():
            self._clients = FigureCard('Total Clients')
            self._requests = FigureCard('Total Requests')
            self._tokens = FigureCard('Total Tokens Used')
            self._spent = FigureCard('Coins Spent')
        with tag('section', 'list', aria_label='Clients') as self._list:
            self._toolbar()
            self._busy = tag('div', 'busy', role='progressbar', aria_label='Loading')
            self._busy.set_visibility(False)
            self._grid = Grid(
                'Clients',
                COLUMNS,
                [_row(row) for row in found.rows],
                sort=wanted.sort,
                descending=wanted.descending,
                on_sort=self._sort_by,
            )
            with empty_state('search_off', 'No client matches', 'Search for part of a name, or show all.') as nothing:
                ui.button('Show all clients', on_click=self._show_all).props('outline no-caps')
            self._nothing = nothing
            self._pager()
        with empty_state(
            'hub',
            'No clients yet',
            'A client is the identity of a program: make one, hand it to a manager, give it a key.',
        ) as self._none:
            if new_client is not None:
                ui.button('+ New Client', on_click=new_client).props('unelevated no-caps')
        ui.on('lumen-address', self._moved)
        self._show(found)

    async def keep_true(self) -> None:
        """For the timer: show what is true now, when something changed or the time has come."""
        await self._read_once_more()

    async def ask(self, wanted: Wanted, *, remember: bool = True) -> None:
        """Show what is wanted, and put it into the address: as a step to go back to, or in the place of the last."""
        if wanted == self.wanted:
            return
        self.wanted = wanted
        shows_address(wanted.address)
        if remember:
            ui.navigate.history.push(wanted.address)
        else:
            ui.navigate.history.replace(wanted.address)
        await self._load()

    async def _load(self) -> None:
        """Show what somebody is waiting for. The bar is seen only when that takes long enough to be noticed."""
        self._busy.set_visibility(True)
        try:
            await self._read_once_more()
        finally:
            self._busy.set_visibility(False)

    async def _read_and_show(self) -> None:
        wanted, known = self.wanted, self._pulse if time.monotonic() < self._due else ()
        try:
            newer = await self._visitor.read(self._newer, wanted, known)
        except DatabaseUnavailable as error:
            outage.tell(error)
            self._stale.set_visibility(True)
            return
        except LumenError as error:
            self._lost(error)
            return
        self._stale.set_visibility(False)
        if newer is None or wanted != self.wanted:
            return  # nothing new, or something else is wanted by now
        self._due = time.monotonic() + AT_LEAST_EVERY_SECONDS
        self._pulse, found = newer
        self._show(found)

    def _newer(self, wanted: Wanted, known: tuple[Any, ...]) -> tuple[tuple[Any, ...], ClientPage] | None:
        """Within a read: what there is to see, None when that would be the same as at `known`."""
        visitor, settings = self._visitor, self._visitor.settings
        felt = (*pulse_of_clients(), wanted, settings)
        if felt == known:
            return None
        return felt, client_list.rows(visitor.actor, settings=settings, **wanted.question)

    def _show(self, found: ClientPage) -> None:
        if found.page != self.wanted.page:  # fewer match than the address thought
            self.wanted = replace(self.wanted, page=found.page)
            ui.navigate.history.replace(self.wanted.address)
        totals = found.totals
        self._clients.set_count(totals.clients)
        self._requests.set_count(totals.requests)
        self._tokens.set_count(totals.tokens)
        self._spent.set_coins(totals.spent)
        self._none.set_visibility(totals.clients == 0)
        self._list.set_visibility(totals.clients > 0)
        self._nothing.set_visibility(not found.rows)
        self._grid.element.set_visibility(bool(found.rows))
        self._grid.show([_row(row) for row in found.rows])
        self._show_pager(found)

    def _toolbar(self) -> None:
        with tag('div', 'toolbar'):
            self._search = ui.input('Search by name', value=self.wanted.search, on_change=self._search_changed)
            self._search.props('outlined dense clearable debounce=200 type=search').classes('search')
            set_attributes(self._search, maxlength=str(MAX_SEARCH), autocomplete='off', spellcheck='false')
            with self._search.add_slot('prepend'):
                ui.icon('search').props('aria-hidden=true')
            with tag('div', role='group', aria_label='Which clients'):
                self._state = ui.toggle(
                    {name: name.capitalize() for name in STATES}, value=self.wanted.state, on_change=self._state_changed
                )
                self._state.props('no-caps unelevated').classes('toggle')

    def _pager(self) -> None:
        with tag('div', 'pager'):
            self._status = text('p', '', 'muted figures', role='status')
            with tag('nav', 'pager-buttons', aria_label='Pages') as self._pages:
                self._to_first = self._page_button('first_page', 'First page', lambda: 0)
                self._to_previous = self._page_button('chevron_left', 'Previous page', lambda: self.wanted.page - 1)
                self._to_next = self._page_button('chevron_right', 'Next page', lambda: self.wanted.page + 1)
                self._to_last = self._page_button('last_page', 'Last page', lambda: self._last)

    def _page_button(self, icon: str, label: str, page: Callable[[], int]) -> ui.button:
        async def turn() -> None:
            await self.ask(replace(self.wanted, page=max(0, page())))

        button = ui.button(icon=icon, on_click=turn).props('flat round dense')
        set_attributes(button, aria_label=label)
        return button

    def _show_pager(self, found: ClientPage) -> None:
        self._last = max(0, (found.total - 1) // PAGE_SIZE)
        first = self.wanted.page * PAGE_SIZE
        if found.rows:
            said = f'{first + 1:,}–{first + len(found.rows):,} of {found.total:,}'
        else:
            said = f'None of {found.total:,}' if found.total else ''
        if self._status.text != said:
            self._status.text = said
        self._pages.set_visibility(self._last > 0 or self.wanted.page > 0)
        for button, possible in (
            (self._to_first, self.wanted.page > 0),
            (self._to_previous, self.wanted.page > 0),
            (self._to_next, self.wanted.page < self._last),
            (self._to_last, self.wanted.page != self._last),
        ):
            if button.enabled != possible:
                button.set_enabled(possible)

    async def _search_changed(self, event: events.ValueChangeEventArguments[str | None]) -> None:
        search = (event.value or '')[:MAX_SEARCH]
        if search != self.wanted.search:
            await self.ask(replace(self.wanted, search=search, page=0), remember=False)

    async def _state_changed(self, event: events.ValueChangeEventArguments[str]) -> None:
        if event.value != self.wanted.state:
            await self.ask(replace(self.wanted, state=event.value, page=0))

    async def _sort_by(self, sort: str, descending: bool) -> None:
        await self.ask(replace(self.wanted, sort=sort, descending=descending, page=0))

    async def _show_all(self) -> None:
        await self.ask(replace(self.wanted, search='', state='all', page=0))
        self._show_controls()

    async def _moved(self, event: events.GenericEventArguments) -> None:
        """The back or forward button changed the address: show what it says."""
        self.wanted = Wanted.from_address(dict(parse_qsl(str(event.args).removeprefix('?'))))
        shows_address(self.wanted.address)
        self._show_controls()
        await self._load()

    def _show_controls(self) -> None:
        """Make the controls say what is wanted; that they changed asks for nothing new."""
        self._search.value = self.wanted.search
        self._state.value = self.wanted.state
        self._grid.mark_sort(self.wanted.sort, self.wanted.descending)


def _row(row: ClientRow) -> Row:
    return {
        'id': row.id,
        'name': row.name,
        'managers': row.managers,
        'active': row.active,
        'requests': row.requests,
        'tokens': row.tokens,
        'spent': coins.short(row.spent),
        'spent_exact': coins.exact(row.spent),
        'created_at': row.created_at // 1000,
    }
