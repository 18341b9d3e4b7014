"""Making a key: a name, how long it works, and then the key itself, once."""

from __future__ import annotations

import re
from datetime import date

from nicegui import ui

from lumen.config.settings import Settings
from lumen.database import now
from lumen.errors import Invalid
from lumen.identity.keys import NewKey, create_key
from lumen.identity.permissions import Actor
from lumen_ui.components.dialog import FormDialog
from lumen_ui.components.markup import set_attributes
from lumen_ui.components.secret import show_secret
from lumen_ui.pages.client.dialogs import open_once
from lumen_ui.pages.client.open_client import OpenClient

DAY_US = 86_400_000_000
NEVER, ON_A_DATE = 'never', 'date'
CHOICES = {NEVER: 'Never', '30': 'In 30 days', '90': 'In 90 days', '365': 'In 365 days', ON_A_DATE: 'On a date …'}
ISO_DATE = re.compile(r'\d{4}-\d{2}-\d{2}')


def open_new_key(page: OpenClient, opener: ui.button) -> None:
    """Ask for a key's name and expiry, make it and show it. The focus returns to `opener` at the end."""
    visitor = page.visitor

    async def create() -> None:
        expires_at, days = None, None
        if expiry.value == ON_A_DATE:
            expires_at = await _end_of_day(day.value)
        elif expiry.value != NEVER:
            days = int(expiry.value)
        new = await visitor.write(
            _create,
            visitor.actor,
            page.client_id,
            name.value,
            expires_at,
            days,
            settings=visitor.settings,
            secret=visitor.services.key_secret,
        )
        dialog.close()
        with page.content:
            show_secret(new, model=page.view.first_allowed_model, opener=opener)
        await page.refresh()

    dialog = FormDialog('New key', submit='Create', action=create)
    with dialog:
        name = dialog.field('name', 'Name', hint='Where it is used, for example "nightly run"')
        set_attributes(name, maxlength='64')
        expiry = ui.select(CHOICES, label='Expires', value=NEVER).props('outlined').classes('full-width')
        day = dialog.field('expires_at', 'Works until the end of')
        day.props('type=date stack-label')
        day.bind_visibility_from(expiry, 'value', value=ON_A_DATE)
    open_once(dialog)


def _create(
    actor: Actor,
    client_id: int,
    name: str,
    expires_at: int | None,
    days: int | None,
    *,
    settings: Settings,
    secret: bytes,
) -> NewKey:
    if days is not None:
        expires_at = now() + days * DAY_US
    return create_key(actor, client_id, name, expires_at, settings=settings, secret=secret)


async def _end_of_day(entered: str | None) -> int:
    """The last second of a day (`2027-01-31`) where the viewer is, in microseconds since the epoch."""
    try:
        if not ISO_DATE.fullmatch(entered or ''):
            raise ValueError
        day = date.fromisoformat(entered or '')
    except ValueError:
        raise Invalid('Enter a date.', param='expires_at') from None
    milliseconds = await ui.run_javascript(
        f'return new Date({day.year}, {day.month - 1}, {day.day}, 23, 59, 59).getTime()'
    )
    return int(milliseconds) * 1000
