"""Making a key, or a new one in the place of another: its name and how long it works, and then the key itself, once."""

from __future__ import annotations

from nicegui import ui

from lumen.config.settings import Settings
from lumen.database import now
from lumen.identity.keys import KeyRow, NewKey, create_key
from lumen.identity.permissions import Actor
from lumen.identity.rotation import length_of, rotate_key
from lumen_ui.components.dialog import FormDialog, one_at_a_time
from lumen_ui.components.markup import set_attributes, tag, text
from lumen_ui.components.moment import moment
from lumen_ui.components.secret import show_secret
from lumen_ui.pages.client.dialogs import open_once
from lumen_ui.pages.client.open_client import OpenClient
from lumen_ui.pages.client.time_choice import DAY_US, HOUR_US, Ending, TimeChoice

EXPIRIES = {'In 30 days': 30 * DAY_US, 'In 90 days': 90 * DAY_US, 'In 365 days': 365 * DAY_US}
SAME_MOMENT = 'When the old one would'
ONE_DAY = 'For one more day'
GRACES = {'For one more hour': HOUR_US, ONE_DAY: DAY_US, 'For 7 more days': 7 * DAY_US, 'For 30 more days': 30 * DAY_US}


@one_at_a_time
def open_new_key(page: OpenClient, opener: ui.button) -> None:
    """Ask for a key's name and expiry, make it and show it. The focus returns to `opener` at the end."""
    visitor = page.visitor

    async def create() -> None:
        new = await visitor.write(
            _create,
            visitor.actor,
            page.client_id,
            name.value,
            expires.ending(),
            settings=visitor.settings,
            secret=visitor.services.key_secret,
        )
        await _show(page, dialog, new, opener)

    dialog = FormDialog('New key', submit='Create', action=create)
    with dialog:
        name = dialog.field('name', 'Name', hint='Where it is used, for example "nightly run"')
        set_attributes(name, maxlength='64')
        expires = TimeChoice(dialog, 'expires_at', 'Expires', none='Never', after=EXPIRIES)
    open_once(dialog)


@one_at_a_time
def open_rotate_key(page: OpenClient, key: KeyRow, opener: ui.button) -> None:
    """Ask how long the old key works on, make the new one and show it."""
    visitor = page.visitor

    async def rotate() -> None:
        new = await visitor.write(
            _rotate,
            visitor.actor,
            key.id,
            expires.ending(),
            grace.ending(),
            settings=visitor.settings,
            secret=visitor.services.key_secret,
        )
        await _show(page, dialog, new, opener)

    dialog = FormDialog(f'Rotate "{key.name}"', submit='Rotate', action=rotate)
    with dialog:
        text(
            'p', f'A new key takes the place of {key.hint}. Change it in the programs that use it before the old ends.'
        )
        grace = TimeChoice(dialog, 'works_until', 'The old key works', none='Not any more', after=GRACES)
        grace.choose(ONE_DAY)
        expires = _expires_like(dialog, key)
    open_once(dialog)


def _expires_like(dialog: FormDialog, key: KeyRow) -> TimeChoice:
    """The choice of when the new key expires. Unless somebody changes it, that is as it was chosen for the old one."""
    label, name = 'The new key expires', 'expires_at'
    if key.expires_at is None:
        return TimeChoice(dialog, name, label, none='Never', after=EXPIRIES)
    with tag('p', 'muted'):
        text('span', 'Without a new one, the old key would end on ')
        moment(key.expires_at, 'time')
        text('span', '.')
    length = length_of(key.created_at, key.expires_at)
    if length is None:
        choice = TimeChoice(dialog, name, label, none='Never', after=EXPIRIES, at={SAME_MOMENT: key.expires_at})
        choice.choose(SAME_MOMENT)
        return choice
    like = next((label for label, offered in EXPIRIES.items() if offered == length), _in_words(length))
    choice = TimeChoice(dialog, name, label, none='Never', after=EXPIRIES | {like: length})
    choice.choose(like)
    return choice


def _in_words(length: int) -> str:
    hours = length // HOUR_US
    number, unit = (hours, 'hour') if hours % 24 else (hours // 24, 'day')
    return f'In {number} {unit}{"" if number == 1 else "s"}'


async def _show(page: OpenClient, dialog: FormDialog, new: NewKey, opener: ui.button) -> None:
    dialog.close()
    with page.content:
        show_secret(new, model=page.view.first_allowed_model, opener=opener)
    await page.refresh()


def _create(actor: Actor, client_id: int, name: str, expires: Ending, *, settings: Settings, secret: bytes) -> NewKey:
    return create_key(actor, client_id, name, expires.moment(now()), settings=settings, secret=secret)


def _rotate(actor: Actor, key_id: int, expires: Ending, grace: Ending, *, settings: Settings, secret: bytes) -> NewKey:
    rotated_at = now()
    return rotate_key(
        actor,
        key_id,
        expires_at=expires.moment(rotated_at),
        works_until=grace.moment(rotated_at),
        settings=settings,
        secret=secret,
    )
