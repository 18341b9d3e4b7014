"""Dialogs that are made when they are asked for and gone when they are closed, with everything that was in them."""

from __future__ import annotations

from nicegui import ui

from lumen_ui.components.dialog import FormDialog


def open_once(dialog: FormDialog) -> FormDialog:
    """Open `dialog` and delete it when it closes."""
    gone_when_closed(dialog.element)
    dialog.open()
    return dialog


def gone_when_closed(dialog: ui.dialog) -> None:
    """Delete the dialog once the browser has finished hiding it."""
    dialog.on('hide', dialog.delete, args=[])
