"""A button that copies what an element shows, in the browser alone: the text does not travel again."""

from __future__ import annotations

import json

from nicegui import ui
from nicegui.element import Element
from nicegui.events import GenericEventArguments

# `navigator.clipboard` exists on https and loopback only. Elsewhere the text is selected and copied the old way, and
# when that is refused too it stays selected, ready for the keyboard.
COPY = """async () => {
    const source = document.getElementById(%s);
    try {
        await navigator.clipboard.writeText(source.textContent);
        return emit(true);
    } catch {
        const range = document.createRange();
        range.selectNodeContents(source);
        getSelection().removeAllRanges();
        getSelection().addRange(range);
        emit(document.execCommand("copy"));
    }
}"""


def copy_button(source: Element, what: str) -> ui.button:
    """Copies the text of `source`; `what` names it for screen readers and in messages, for example *API key*."""
    button = ui.button('Copy', icon='content_copy').props('outline dense no-caps').classes('copy-button')
    button.props['aria-label'] = f'Copy {what}'

    def tell(event: GenericEventArguments) -> None:
        if event.args:
            button.set_text('Copied')
            button.set_icon('check')
            ui.notify(f'{what} copied', type='positive')
            ui.timer(2.5, restore, once=True)
        else:
            ui.notify(
                f'The browser does not let a page copy here. The {what} is selected: press Ctrl+C.', type='warning'
            )

    def restore() -> None:
        if not button.is_deleted:
            button.set_text('Copy')
            button.set_icon('content_copy')

    return button.on('click', tell, js_handler=COPY % json.dumps(source.html_id))
