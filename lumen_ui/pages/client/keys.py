"""The API keys of the client: what each used, how long it works, rotating and revoking it."""

from __future__ import annotations

from nicegui import ui

from lumen.identity import keys as identity
from lumen.identity.keys import KeyRow
from lumen.identity.permissions import Action
from lumen_ui.actions import done
from lumen_ui.components.dialog import one_at_a_time, question
from lumen_ui.components.last_time import LastTime
from lumen_ui.components.live_table import (
    Column,
    LiveTable,
    Show,
    cell,
    change,
    change_coins,
    change_tokens,
    figure,
)
from lumen_ui.components.markup import set_attributes, tag, text
from lumen_ui.components.state_badge import StateBadge, Tone
from lumen_ui.pages.client.dialogs import open_once
from lumen_ui.pages.client.new_key import open_new_key, open_rotate_key
from lumen_ui.pages.client.open_client import OpenClient
from lumen_ui.pages.client.section import NothingHere, section
from lumen_ui.pages.client.view import ClientView

COLUMNS = (
    Column('Name'),
    Column('Key'),
    Column('State'),
    Column('Requests', figures=True),
    Column('Tokens', figures=True),
    Column('Coins', figures=True),
    Column('Last used'),
    Column('Expires'),
    Column('Actions', spoken_only=True),
)
BADGES: dict[str, tuple[str, str, Tone]] = {
    'active': ('Active', 'check_circle', 'good'),
    'expired': ('Expired', 'schedule', 'bad'),
    'revoked': ('Revoked', 'block', 'bad'),
}
PAUSED: tuple[str, str, Tone] = ('Paused', 'pause_circle', 'quiet')
"""A key that would work, if its client were not deactivated."""


NONE_WORKS = 'No key works while the client is deactivated. Activate it before you make another one.'


class Keys:
    def __init__(self, page: OpenClient) -> None:
        self._page = page
        self._revoke_buttons: dict[int, ui.button] = {}
        self._rotate_buttons: dict[int, ui.button] = {}
        explanation = 'A program that holds one of these calls the models as this client.'
        with section('API keys', explanation, help_topic='api') as actions:
            self._table = LiveTable('API keys', COLUMNS, self._build)
            self._nothing = NothingHere()
        with actions:
            self._revoked = ui.switch('Show revoked', on_change=self._toggle)
            self._new = ui.button('New key').props('unelevated no-caps')
        self._new.on_click(lambda: open_new_key(page, self._new))
        page.on_change(self._show)

    async def _toggle(self) -> None:
        self._page.show_revoked = bool(self._revoked.value)
        await self._page.keep_true()

    def _show(self, view: ClientView) -> None:
        may_manage = view.may(Action.MANAGE_KEYS)
        self._new.set_visibility(may_manage and view.client.active)
        rows = [key for key in view.keys if self._page.show_revoked or key.state != 'revoked']
        self._table.show({key.id: key for key in rows})
        for key in rows:
            self._revoke_buttons[key.id].set_visibility(may_manage and key.state != 'revoked')
            self._rotate_buttons[key.id].set_visibility(may_manage and key.state == 'active' and view.client.active)
        if rows:
            self._nothing.show('' if view.client.active else NONE_WORKS)
        elif view.client.active:
            none = 'No keys yet.' if self._page.show_revoked else 'No keys in use.'
            self._nothing.show(f'{none} Make a new key, and give it to the program that shall call the models.')
        else:
            self._nothing.show('No keys. Activate the client before you make one.')

    def _build(self, key: KeyRow) -> Show[KeyRow]:
        with tag('th', 'row-name', scope='row') as head:
            text('span', key.name)
        hint = cell(key.hint, 'mono nowrap')
        with tag('td'):
            badge = StateBadge()
        requests, tokens, spent = figure(), figure(), figure()
        with tag('td', 'nowrap'):
            last_used = LastTime(none='Never')
        with tag('td', 'nowrap'):
            expires = LastTime(none='Never')
        with tag('td', 'row-actions'):
            rotate = ui.button('Rotate').props('flat no-caps dense')
            rotate.on_click(lambda: self._rotate(key, rotate))
            set_attributes(rotate, aria_label=f'Rotate {key.name}')
            revoke = ui.button('Revoke', color='negative', on_click=lambda: self._ask(key))
            revoke.props('flat no-caps dense')
            set_attributes(revoke, aria_label=f'Revoke {key.name}')
        self._revoke_buttons[key.id] = revoke
        self._rotate_buttons[key.id] = rotate

        def show(row: KeyRow) -> None:
            is_paused = row.state == 'active' and not self._page.view.client.active
            badge.show(*(PAUSED if is_paused else BADGES[row.state]))
            if row.state == 'revoked':
                head.classes('struck')
                hint.classes('struck')
            change(requests, f'{row.requests:,}')
            change_tokens(tokens, row.input_tokens, row.output_tokens)
            change_coins(spent, row.spent)
            last_used.show(row.last_used_at)
            expires.show(row.expires_at)

        return show

    def _rotate(self, key: KeyRow, opener: ui.button) -> None:
        with self._page.content:
            open_rotate_key(self._page, key, opener)

    @one_at_a_time
    def _ask(self, key: KeyRow) -> None:
        page, visitor = self._page, self._page.visitor

        async def revoke() -> None:
            await visitor.write(identity.revoke_key, visitor.actor, key.id, settings=visitor.settings)
            done(f'Key "{key.name}" revoked')
            await page.refresh()

        with page.content:
            open_once(
                question(
                    f'Revoke "{key.name}"?',
                    f'The key {key.hint} stops working at once and for good. Programs that use it are refused from '
                    'then on; calls in flight finish.',
                    submit='Revoke',
                    action=revoke,
                )
            )
