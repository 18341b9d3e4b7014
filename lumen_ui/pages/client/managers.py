"""Who looks after the client, and letting others do so."""

from __future__ import annotations

from collections.abc import Callable

from nicegui import ui

from lumen.identity.permissions import Action
from lumen.records import managers as records
from lumen.records.managers import ManagerRow
from lumen_ui.actions import done, done_on_next_page
from lumen_ui.components.dialog import FormDialog, one_at_a_time, question
from lumen_ui.components.live_table import Column, LiveTable, Show, cell, change
from lumen_ui.components.markup import set_attributes, tag, text
from lumen_ui.components.moment import moment
from lumen_ui.guard import Visitor
from lumen_ui.pages.client.add_manager import open_add_manager
from lumen_ui.pages.client.dialogs import open_once
from lumen_ui.pages.client.open_client import OpenClient
from lumen_ui.pages.client.section import NothingHere, section
from lumen_ui.pages.client.view import ClientView

COLUMNS = (
    Column('Name'),
    Column('E-mail'),
    Column('Since'),
    Column('Actions', spoken_only=True),
)


class Managers:
    def __init__(self, page: OpenClient) -> None:
        self._page = page
        self._buttons: dict[int, tuple[ui.button, ui.button]] = {}
        explanation = 'The people who make the keys of this client and answer for its use.'
        with section('Managers', explanation, help_topic='clients') as actions:
            self._table = LiveTable('Managers', COLUMNS, self._build)
            self._nothing = NothingHere()
        with actions:
            self._add = ui.button('Add manager', on_click=lambda: open_add_manager(page))
            self._add.props('outline no-caps')
        page.on_change(self._show)

    def _show(self, view: ClientView) -> None:
        may_change = view.may(Action.CHANGE_MANAGERS)
        self._add.set_visibility(may_change)
        self._table.show({manager.user_id: manager for manager in view.managers})
        for manager in view.managers:
            hand_over, remove = self._buttons[manager.user_id]
            hand_over.set_visibility(may_change and not manager.is_owner)
            remove.set_visibility(may_change or self._is_viewer(manager))
        if view.managers:
            self._nothing.show('')
        elif may_change:
            self._nothing.show(
                'Nobody manages this client yet. Add the person who answers for it; the first one becomes its owner, '
                'unless you choose otherwise.'
            )
        else:
            self._nothing.show('Nobody manages this client yet. An admin can add somebody.')

    def _build(self, manager: ManagerRow) -> Show[ManagerRow]:
        with tag('th', 'row-name', scope='row'):
            name = text('span', manager.name)
            owner = text('span', 'Owner', 'badge')
        email = cell(manager.email, 'email')
        with tag('td', 'nowrap'):
            moment(manager.added_at)
        with tag('td', 'row-actions'):
            hand_over = ui.button('Make owner', on_click=lambda: self._ask(manager.user_id, self._hand_over))
            set_attributes(hand_over.props('flat no-caps dense'), aria_label=f'Make {manager.name} the owner')
            remove = ui.button(color='negative', on_click=lambda: self._ask(manager.user_id, self._remove))
            remove.text = 'Leave' if self._is_viewer(manager) else 'Remove'
            set_attributes(remove.props('flat no-caps dense'), aria_label=f'{remove.text} {manager.name}')
        self._buttons[manager.user_id] = (hand_over, remove)

        def show(row: ManagerRow) -> None:
            change(name, row.name)
            change(email, row.email)
            owner.set_visibility(row.is_owner)

        return show

    def _is_viewer(self, manager: ManagerRow) -> bool:
        return manager.user_id == self._page.visitor.person.account_id

    @one_at_a_time
    def _ask(self, user_id: int, ask: Callable[[ManagerRow], FormDialog]) -> None:
        """As the row is now, not as it was when its button was made."""
        manager = next((row for row in self._page.view.managers if row.user_id == user_id), None)
        if manager is not None:
            with self._page.content:
                open_once(ask(manager))

    def _remove(self, manager: ManagerRow) -> FormDialog:
        page, visitor = self._page, self._page.visitor
        client, is_viewer = page.view.client.name, self._is_viewer(manager)

        async def remove() -> None:
            if is_viewer:
                await visitor.write(records.leave, visitor.actor, page.client_id, settings=visitor.settings)
            else:
                await visitor.write(
                    records.remove_manager, visitor.actor, page.client_id, manager.user_id, settings=visitor.settings
                )
            message = f'{manager.name} does not manage "{client}" any more'
            if is_viewer and not visitor.person.is_admin:
                done_on_next_page(message)
                ui.navigate.to('/')
                return
            done(message)
            await page.refresh()

        if is_viewer:
            return question(f'Leave "{client}"?', _consequence(manager, visitor), submit='Leave', action=remove)
        return question(f'Remove {manager.name}?', _consequence(manager, visitor), submit='Remove', action=remove)

    def _hand_over(self, manager: ManagerRow) -> FormDialog:
        page, visitor = self._page, self._page.visitor
        client = page.view.client.name
        owner = next((row for row in page.view.managers if row.is_owner), None)

        async def hand_over() -> None:
            await visitor.write(
                records.hand_over, visitor.actor, page.client_id, manager.user_id, settings=visitor.settings
            )
            done(f'{manager.name} owns "{client}" now')
            await page.refresh()

        consequence = f'{manager.name} may then change the managers of this client and deactivate it.'
        if owner is not None:
            who = 'You stay a manager' if self._is_viewer(owner) else f'{owner.name} stays a manager'
            consequence += f' {who}, without these rights.'
        return question(
            f'Make {manager.name} the owner?',
            consequence,
            submit='Make owner',
            action=hand_over,
            dangerous=False,
        )


def _consequence(manager: ManagerRow, visitor: Visitor) -> str:
    is_oneself = manager.user_id == visitor.person.account_id
    who = 'You' if is_oneself else manager.name
    if visitor.settings.is_admin(manager.email):
        consequence = f'{who} {"are" if is_oneself else "is"} an admin, and will still see this client and its keys.'
    else:
        consequence = f'{who} will not see this client any more, nor make or revoke its keys.'
    consequence += ' Keys that were made keep working.'
    if manager.is_owner:
        consequence += ' The client is left without an owner; only an admin can then change its managers.'
    return consequence
