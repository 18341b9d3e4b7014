"""Acknowledging a model: its message is read, then accepted for this client."""

from __future__ import annotations

from lumen.errors import Conflict
from lumen.records import acknowledgements
from lumen_ui.actions import done
from lumen_ui.components.dialog import FormDialog, one_at_a_time
from lumen_ui.components.markup import text
from lumen_ui.pages.client.dialogs import open_once
from lumen_ui.pages.client.open_client import OpenClient

NO_MESSAGE = 'This model may be used once somebody who answers for the client has acknowledged it.'


@one_at_a_time
def open_acknowledge(page: OpenClient, model: str) -> None:
    """Show the model's message as it is now; what is accepted is that text."""
    row = next((row for row in page.view.models if row.name == model), None)
    if row is None or row.message is None:
        return
    client, shown = page.view.client.name, row.message

    async def accept() -> None:
        nonlocal shown
        visitor, digest = page.visitor, acknowledgements.digest_of(shown)
        try:
            await visitor.write(
                acknowledgements.acknowledge, visitor.actor, page.client_id, model, digest, settings=visitor.settings
            )
        except Conflict as refusal:
            if refusal.code == 'message_changed':
                shown = acknowledgements.message_to_accept(visitor.settings, model)
                message.text = shown or NO_MESSAGE
                message.run_method('scrollTo', 0, 0)
            raise
        done(f'Model "{model}" acknowledged for "{client}"')
        await page.refresh()

    dialog = FormDialog(f'Acknowledge "{model}"', submit='Acknowledge', action=accept)
    with dialog:
        # What scrolls must be reachable by keyboard, and then needs a name.
        message = text(
            'p',
            shown or NO_MESSAGE,
            'ack-message',
            role='region',
            tabindex='0',
            aria_label=f'Message of "{model}"',
        )
        text('p', f'Accepted for all keys of "{client}". Your name and the time are recorded.', 'muted')
    open_once(dialog)
