"""Dialogs that are made when they are asked for and gone when they are closed, with everything that was in them.

Make them in a function that is `one_at_a_time`, and `with page.content`: a dialog lives as long as what it was made in,
and a row may go while it is open.
"""

from __future__ import annotations

from lumen_ui.components.dialog import FormDialog


def open_once(dialog: FormDialog) -> None:
    """Open `dialog`, and delete it once the browser has finished hiding it."""
    dialog.element.on('hide', dialog.element.delete, args=[])
    dialog.open()
