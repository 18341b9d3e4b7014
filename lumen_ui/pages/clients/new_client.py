"""The dialog behind *+ New Client*: a name, and then the new client's page."""

from __future__ import annotations

from nicegui import ui

from lumen.records import clients
from lumen_ui.actions import done_on_next_page
from lumen_ui.components.dialog import FormDialog
from lumen_ui.guard import Visitor


def new_client_dialog(visitor: Visitor) -> FormDialog:
    """Only admins get one; whether the viewer still is one is asked again when it is submitted."""

    async def create() -> None:
        typed = str(name.value or '')
        client_id = await visitor.write(clients.create_client, visitor.actor, typed, settings=visitor.settings)
        done_on_next_page(f'Client "{typed}" created')
        ui.navigate.to(f'/clients/{client_id}')

    dialog = FormDialog('New client', submit='Create', action=create)
    with dialog:
        name = dialog.field('name', 'Name', hint='Letters, digits, dots, underscores, hyphens, spaces. Up to 64.')
    return dialog
