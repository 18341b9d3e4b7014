"""A key shown once: to copy, and in calls that are ready to run. When the dialog closes, it is gone from the page."""

from __future__ import annotations

from nicegui import ui

from lumen.identity.keys import NewKey
from lumen_ui.components import snippets
from lumen_ui.components.copy_button import copy_button
from lumen_ui.components.markup import set_attributes, tag, text
from lumen_ui.services import public_address

UNKNOWN_MODEL = 'MODEL-NAME'


def show_secret(new: NewKey, *, model: str | None, opener: ui.button) -> None:
    """Open the dialog. `model` is one that the key may call; the focus returns to `opener`."""
    base = public_address(ui.context.client.request)
    # Only the button closes it: not Escape, not a click beside it.
    with ui.dialog().props('persistent') as dialog, tag('div', 'dialog dialog-wide'):
        set_attributes(dialog, aria_label=f'Key "{new.name}" created')
        text('h2', f'Key "{new.name}" created', 'dialog-title')
        with tag('div', 'dialog-body'):
            with tag('p'):
                text('strong', 'Store it now. ')
                text('span', 'It is shown this one time; Lumen keeps no copy of it.')
            _copyable('API key', new.key, 'secret-key')
            if model is None:
                text('p', f'This client may not use any model yet. Put a model’s name in the place of {UNKNOWN_MODEL}.')
            _copyable('curl', snippets.curl(base, new.key, model or UNKNOWN_MODEL), 'secret-code')
            _copyable('Python', snippets.python(base, new.key, model or UNKNOWN_MODEL), 'secret-code')
        with tag('div', 'dialog-buttons'):
            ui.button('I have stored the key', on_click=dialog.close).props('unelevated no-caps')
    opener_id = opener.id

    def forget() -> None:
        dialog.delete()
        ui.run_javascript(f'getHtmlElement({opener_id})?.focus()')

    dialog.on('hide', forget, args=[])
    dialog.open()


def _copyable(what: str, content: str, classes: str) -> None:
    with tag('div', 'copyable'):
        with tag('div', 'copyable-head'):
            text('h3', what, 'copyable-title')
            place = tag('div')
        source = text('pre', content, classes, role='group', tabindex='0', aria_label=what)
        with place:
            copy_button(source, what)
