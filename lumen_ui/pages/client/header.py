"""The head of a client's page: its name and state, where it comes from, and the switch for those who may."""

from __future__ import annotations

from nicegui import ui

from lumen.identity.permissions import Action
from lumen.records import clients
from lumen_ui.actions import done
from lumen_ui.components.dialog import FormDialog, one_at_a_time, question
from lumen_ui.components.live_table import change
from lumen_ui.components.markup import tag, text
from lumen_ui.components.moment import moment
from lumen_ui.components.notice import notice
from lumen_ui.components.state_badge import StateBadge
from lumen_ui.layout import link
from lumen_ui.pages.client.dialogs import open_once
from lumen_ui.pages.client.open_client import OpenClient
from lumen_ui.pages.client.view import ClientView


def header(page: OpenClient) -> None:
    client = page.view.client
    with tag('div', 'client-head'):
        with tag('nav', 'crumbs', aria_label='Breadcrumb'):
            link('Clients', '/clients')
        with tag('div', 'title-row'):
            with tag('div'):
                with tag('div', 'client-title'):
                    title = text('h1', client.name, 'page-title')
                    badge = StateBadge()
                with tag('p', 'muted'):
                    text('span', 'Created ')
                    moment(client.created_at)
                    text('span', f' by {client.created_by}')
            with tag('div', 'section-actions'):
                rename = ui.button('Rename', on_click=lambda: _rename(page)).props('outline no-caps')
                deactivate = ui.button('Deactivate', color='negative', on_click=lambda: _ask(page, active=False))
                activate = ui.button('Activate', on_click=lambda: _ask(page, active=True))
                deactivate.props('outline no-caps')
                activate.props('unelevated no-caps')
    with tag('div') as warning, notice('block'):
        text('p', 'This client is deactivated: every call with one of its keys is refused.')

    def show(view: ClientView) -> None:
        active = view.client.active
        change(title, view.client.name)
        rename.set_visibility(view.may(Action.RENAME_CLIENT))
        if active:
            badge.show('Active', 'check_circle', 'good')
        else:
            badge.show('Deactivated', 'cancel', 'bad')
        may = view.may(Action.SET_ACTIVE)
        deactivate.set_visibility(may and active)
        activate.set_visibility(may and not active)
        warning.set_visibility(not active)

    page.on_change(show)


@one_at_a_time
def _rename(page: OpenClient) -> None:
    before = page.view.client.name

    async def act() -> None:
        visitor = page.visitor
        await visitor.write(
            clients.rename_client, visitor.actor, page.client_id, entry.value or '', settings=visitor.settings
        )
        done(f'Client "{before}" is named "{entry.value}" now')
        await page.refresh()

    dialog = FormDialog(f'Rename "{before}"', submit='Rename', action=act)
    with dialog:
        entry = dialog.field('name', 'Name', hint='Letters, digits, dots, underscores, hyphens, spaces. Up to 64.')
        text('p', 'config.yaml knows a client by its name: budget and access follow the new one.', 'muted')
    open_once(dialog)
    entry.value = before


@one_at_a_time
def _ask(page: OpenClient, *, active: bool) -> None:
    name = page.view.client.name

    async def act() -> None:
        visitor = page.visitor
        await visitor.write(clients.set_active, visitor.actor, page.client_id, active, settings=visitor.settings)
        done(f'Client "{name}" {"activated" if active else "deactivated"}')
        await page.refresh()

    if active:
        asked = question(
            f'Activate "{name}"?',
            'Its keys work again at once, apart from those that have expired or were revoked.',
            submit='Activate',
            action=act,
            dangerous=False,
        )
    else:
        asked = question(
            f'Deactivate "{name}"?',
            'Every key of this client stops working at once. Calls in flight finish. Nothing is deleted, and it can be '
            'activated again.',
            submit='Deactivate',
            action=act,
        )
    open_once(asked)
