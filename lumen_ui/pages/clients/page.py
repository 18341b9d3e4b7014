"""The Clients page: what the institution's machine accounts are, do and cost."""

from __future__ import annotations

from nicegui import ui
from starlette.requests import Request
from starlette.responses import Response

from lumen.errors import Forbidden, LumenError, NotAuthenticated
from lumen.identity.permissions import Action
from lumen.records import client_list
from lumen_ui import guard
from lumen_ui.actions import leave
from lumen_ui.components.help_link import help_link
from lumen_ui.components.markup import tag, text
from lumen_ui.components.notice import notice
from lumen_ui.guard import Visitor
from lumen_ui.layout import frame, link
from lumen_ui.pages import errors
from lumen_ui.pages.clients.listing import Listing
from lumen_ui.pages.clients.new_client import new_client_dialog
from lumen_ui.pages.clients.wanted import Wanted

INTERVAL_SECONDS = 0.5


@ui.page('/clients')
async def clients_page(request: Request) -> Response | None:
    visitor = await guard.visitor_of(request)
    if visitor is None:
        return guard.to_sign_in(request)
    wanted = Wanted.from_address(request.query_params)
    try:
        found = await visitor.read_for_page(
            client_list.rows, visitor.actor, settings=visitor.settings, **wanted.question
        )
    except NotAuthenticated:
        return guard.to_sign_in(request)
    except Forbidden:
        errors.show_clients_forbidden(visitor)
        return None

    def lost(error: LumenError) -> None:
        timer.cancel()
        _lost(content, error, listing.wanted.address)

    with frame('Clients', visitor, current='/clients'), tag('div', 'stack clients-page') as content:
        dialog = new_client_dialog(visitor) if visitor.may(Action.CREATE_CLIENT) else None
        with tag('div', 'title-row'):
            text('h1', 'Clients', 'page-title')
            if dialog is not None:
                ui.button('+ New Client', on_click=dialog.open).props('unelevated no-caps')
        _advanced(visitor)
        listing = Listing(visitor, wanted, found, new_client=dialog.open if dialog else None, lost=lost)

    timer = ui.timer(INTERVAL_SECONDS, listing.keep_true, immediate=False)
    return None


def _advanced(visitor: Visitor) -> None:
    support = visitor.settings.app.support_email
    with notice(), tag('p'):
        text('strong', 'Clients are an advanced feature')
        text('span', ' for people who build services or automated tools. Each has its own keys, coins and usage. ')
        help_link('clients', 'Read how they work')
        if support:
            text('span', ' or ask ')
            link(support, f'mailto:{support}')
        text('span', '.')


def _lost(content: ui.element, error: LumenError, address: str) -> None:
    """What the viewer may not see any more leaves the page."""
    if isinstance(error, NotAuthenticated):
        leave()
        return
    content.clear()
    with content:
        errors.show_lost(
            'You cannot see the clients any more',
            'You do not manage any client any more. If that is a mistake, ask an admin.',
            address,
        )
