"""Dialogs: a title, what is asked, and two buttons, of which *Cancel* and Escape always work.

A click beside a dialog does not close it: it may be the second press of a double click on what opened it, and what was
typed would be lost.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import wraps
from types import TracebackType
from typing import ParamSpec

from nicegui import ui

from lumen.errors import LumenError
from lumen_ui.actions import once
from lumen_ui.components.markup import set_attributes, tag, text

P = ParamSpec('P')


def one_at_a_time(opener: Callable[P, None]) -> Callable[P, None]:
    """`opener`, which does nothing while a dialog of its page is open: buttons that open one may be pressed twice."""

    @wraps(opener)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        elements = ui.context.client.elements.values()
        if not any(isinstance(element, ui.dialog) and element.value for element in elements):
            opener(*args, **kwargs)

    return run


class FormDialog:
    """A dialog with a form. Enter submits; a refusal that names a field is shown beside it, and nothing typed is lost.

        dialog = FormDialog('New client', submit='Create', action=create)
        with dialog:
            name = dialog.field('name', 'Name')
        ui.button('+ New Client', on_click=dialog.open)

    `action` runs once however often it is pressed. When it returns, the dialog closes; when it raises a LumenError
    whose `param` is a field's name, it stays open. `dangerous` paints the button for what is hard to undo.
    """

    def __init__(self, title: str, *, submit: str, action: Callable[[], Awaitable[None]], dangerous: bool = False):
        self._action = action
        self._fields: dict[str, ui.input] = {}
        self.element = ui.dialog().props('no-backdrop-dismiss no-shake')
        set_attributes(self.element, aria_label=title)
        with self.element, tag('div', 'dialog'), tag('form', 'dialog-form', novalidate='') as form:
            text('h2', title, 'dialog-title')
            self._body = tag('div', 'dialog-body')
            with tag('div', 'dialog-buttons'):
                ui.button('Cancel', on_click=self.element.close).props('flat no-caps type=button')
                self.submit = ui.button(submit, color='negative' if dangerous else 'primary')
                self.submit.props('unelevated no-caps type=submit')
        form.on('submit.prevent', once(self.submit, self._run), args=[])

    def field(self, name: str, label: str, *, hint: str = '', takes_focus: bool = True) -> ui.input:
        """A text field that stands for the parameter `name` in refusals. The first one takes the focus, if it may."""
        entry = ui.input(label, on_change=lambda: self._clear(name)).props('outlined no-error-icon')
        entry.classes('full-width')
        set_attributes(entry, autocomplete='off', spellcheck='false', maxlength='320', name=name)
        if hint:
            set_attributes(entry, hint=hint)
        if takes_focus and not self._fields:
            entry.props('autofocus')
        self._fields[name] = entry
        return entry

    @one_at_a_time
    def open(self) -> None:
        """Open it with empty fields, unless a dialog is open."""
        for name, entry in self._fields.items():
            entry.value = ''
            self._clear(name)
        self.element.open()

    def close(self) -> None:
        self.element.close()

    async def _run(self) -> None:
        if not self.element.value:
            return  # the second press of a double click, arriving after the first one closed the dialog
        try:
            await self._action()
        except LumenError as error:
            entry = self._fields.get(error.param or '')
            if entry is None:
                raise
            entry.error = error.message
            entry.run_method('focus')
        else:
            self.close()

    def _clear(self, name: str) -> None:
        if name in self._fields:
            self._fields[name].error = None

    def __enter__(self) -> FormDialog:
        self._body.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._body.__exit__(kind, error, trace)


def question(
    title: str, consequence: str, *, submit: str, action: Callable[[], Awaitable[None]], dangerous: bool = True
) -> FormDialog:
    """A dialog that asks before something that is hard to undo, in words that name the consequence."""
    dialog = FormDialog(title, submit=submit, action=action, dangerous=dangerous)
    with dialog:
        text('p', consequence)
    return dialog
