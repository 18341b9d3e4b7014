"""Who did what to the client, newest first."""

from __future__ import annotations

from nicegui import ui

from lumen.records.history import PAGE_SIZE, Event
from lumen_ui.components.live_table import Column, LiveTable, Show, cell
from lumen_ui.components.markup import tag, text
from lumen_ui.components.moment import moment
from lumen_ui.pages.client.open_client import OpenClient
from lumen_ui.pages.client.section import section
from lumen_ui.pages.client.view import ClientView

COLUMNS = (Column('When'), Column('Who'), Column('What'))


def history(page: OpenClient) -> None:
    async def show_older() -> None:
        page.history_length += PAGE_SIZE
        await page.keep_true()

    with section('History', 'What was changed here, by whom, newest first.'):
        table = LiveTable('History', COLUMNS, _build)
        table.element.classes('history')
        older = ui.button('Show older', on_click=show_older).props('flat no-caps').classes('self-start')

    def show(view: ClientView) -> None:
        table.show({event.id: event for event in view.history})
        older.set_visibility(view.has_older)

    page.on_change(show)


def _build(event: Event) -> Show[Event]:
    with tag('td', 'nowrap'):
        moment(event.at)
    cell(event.actor)
    with tag('td', 'event'):
        text('span', f'{event.sentence} until ' if event.until else event.sentence)
        if event.until:
            moment(event.until, 'time')
    return lambda row: None
