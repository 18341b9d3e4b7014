"""Adding a manager: people are found by name or e-mail as one types, or a new e-mail address is entered.

A combobox as the ARIA practices describe it: the focus stays in the field, the arrows move through the list, Enter
takes what is marked, Escape closes.
"""

from __future__ import annotations

import asyncio
from functools import partial

from nicegui import ui

from lumen.errors import Conflict, Invalid
from lumen.identity.people import PersonRow, check_email
from lumen.records import managers
from lumen_ui.actions import done, reporting
from lumen_ui.components.dialog import FormDialog, one_at_a_time
from lumen_ui.components.markup import set_attributes, tag, text
from lumen_ui.pages.client.dialogs import open_once
from lumen_ui.pages.client.open_client import OpenClient

PAUSE_SECONDS = 0.2
# NiceGUI names a datalist that there is not; beside one, `role=combobox` would be wrong.
WITHOUT_DATALIST = '(event) => event.target.removeAttribute("list")'
# The arrows mark on the server, and Enter may be faster than its answer: the field remembers at which text they moved.
MOVE = """(event) => {
    event.preventDefault();
    if (event.target.getAttribute("aria-expanded") === "true") event.target.dataset.movedAt = event.target.value;
    emit();
}"""
# Enter submits the form, unless a person in the list is marked: then it takes that person.
TAKE_MARKED = """(event) => {
    const field = event.target, moved = field.dataset.movedAt === field.value;
    delete field.dataset.movedAt;
    if (!moved && !field.getAttribute("aria-activedescendant")) return;
    event.preventDefault();
    emit();
}"""


@one_at_a_time
def open_add_manager(page: OpenClient) -> None:
    _AddManager(page)


class _AddManager:
    def __init__(self, page: OpenClient) -> None:
        self._page = page
        self._found: list[PersonRow] = []
        self._options: list[ui.element] = []
        self._marked = -1
        self._asked = 0
        self._taken: PersonRow | None = None
        self._dialog = FormDialog('Add manager', submit='Add', action=self._add)
        with self._dialog:
            self._entry = self._dialog.field('email', 'Name or e-mail address')
            self._list = tag('div', 'people', role='listbox', aria_label='People')
            self._hint = text('p', '', 'muted people-hint', aria_live='polite')
            self._as_owner = ui.checkbox('Owner: may also change managers, hand over, and deactivate the client')
            self._as_owner.on_value_change(self._choose)
            self._offer_ownership()
        set_attributes(
            self._entry,
            role='combobox',
            aria_autocomplete='list',
            aria_expanded='false',
            aria_controls=self._list.html_id,
        )
        self._entry.on('focus', js_handler=WITHOUT_DATALIST)
        self._entry.on_value_change(self._search)
        self._entry.on('keydown.down', lambda: self._mark(self._marked + 1), js_handler=MOVE)
        self._entry.on('keydown.up', lambda: self._mark(self._marked - 1), js_handler=MOVE)
        self._entry.on('keydown.enter', lambda: self._take(self._marked), js_handler=TAKE_MARKED)
        self._show([])
        open_once(self._dialog)

    async def _search(self) -> None:
        self._asked += 1
        asked, typed = self._asked, self._typed
        if self._taken and self._taken.email == typed:
            return
        self._taken = None
        await asyncio.sleep(PAUSE_SECONDS)
        if asked != self._asked:
            return
        visitor = self._page.visitor
        found: list[PersonRow] = []
        with reporting():
            if typed:
                found = await visitor.read(
                    managers.candidates, visitor.actor, self._page.client_id, typed, settings=visitor.settings
                )
        if asked == self._asked and not self._list.is_deleted:
            self._show(found)

    async def _add(self) -> None:
        typed, visitor = self._typed, self._page.visitor
        if typed and '@' not in typed:
            raise Invalid('Choose somebody from the list, or enter a whole e-mail address.', param='email')
        is_asked = self._seen != 'owned'
        try:
            added = await visitor.write(
                managers.add_manager,
                visitor.actor,
                self._page.client_id,
                typed,
                settings=visitor.settings,
                as_owner=bool(self._as_owner.value) if is_asked and self._chose else None,
                seen=self._seen if is_asked else None,
            )
        except Conflict as refusal:
            if refusal.code == 'managers_changed':
                await self._page.refresh()
                self._offer_ownership()
            raise
        owner = ' and owns it' if added.is_owner else ''
        done(f'{added.name} manages "{self._page.view.client.name}" now{owner}')
        await self._page.refresh()

    def _offer_ownership(self) -> None:
        """As it stands now: an owner there is hands over, and the first manager becomes it unless somebody unchecks."""
        self._seen = managers.ownership(self._page.view.managers)
        self._as_owner.value = self._seen == 'unmanaged'
        self._as_owner.set_visibility(self._seen != 'owned')
        self._chose = False

    def _choose(self) -> None:
        self._chose = True

    @property
    def _typed(self) -> str:
        return (self._entry.value or '').strip()

    def _show(self, found: list[PersonRow]) -> None:
        self._found, self._marked, self._options = found, -1, []
        self._list.clear()
        with self._list:
            for index, person in enumerate(found):
                with tag('div', 'person', role='option', aria_selected='false') as option:
                    text('span', person.name, 'person-name')
                    text('span', person.email, 'muted')
                # The mouse must not take the focus away from the field.
                option.on('mousedown.prevent', partial(self._take, index), args=[])
                self._options.append(option)
        self._list.set_visibility(bool(found))
        set_attributes(self._entry, aria_expanded='true' if found else 'false')
        self._entry.props.pop('aria-activedescendant', None)
        self._hint.text = self._explanation()

    def _explanation(self) -> str:
        typed = self._typed
        if not typed:
            return 'Managers see this client and its usage, and make and revoke its keys.'
        if self._taken:
            return f'{self._taken.name} will manage this client.'
        if self._found:
            return f'{len(self._found)} found. Choose with the arrow keys and Enter, or with the mouse.'
        try:
            check_email(typed)
        except Invalid:
            return 'Nobody found. For somebody who has never signed in, enter the whole e-mail address.'
        return f'{typed} is new here, and will see this client after signing in.'

    def _mark(self, index: int) -> None:
        if not self._options:
            return
        self._marked = index % len(self._options)
        for place, option in enumerate(self._options):
            set_attributes(option, aria_selected='true' if place == self._marked else 'false')
        marked = self._options[self._marked]
        set_attributes(self._entry, aria_activedescendant=marked.html_id)
        marked.run_method('scrollIntoView', {'block': 'nearest'})

    def _take(self, index: int) -> None:
        """Put the person's address into the field, where *Add* finds it."""
        if not 0 <= index < len(self._found):
            return
        self._taken = self._found[index]
        self._entry.value = self._taken.email
        self._show([])
