"""The page of one client: who looks after it, its keys, its coins, its models. What it shows keeps itself true."""

from __future__ import annotations

from nicegui import ui
from starlette.requests import Request
from starlette.responses import Response

from lumen.errors import LumenError, NotAuthenticated, NotFound
from lumen_ui import guard
from lumen_ui.actions import leave
from lumen_ui.components.markup import tag
from lumen_ui.components.notice import stale_notice
from lumen_ui.layout import frame
from lumen_ui.pages import errors
from lumen_ui.pages.client.header import header
from lumen_ui.pages.client.history import history
from lumen_ui.pages.client.keys import Keys
from lumen_ui.pages.client.managers import Managers
from lumen_ui.pages.client.model_access import model_access
from lumen_ui.pages.client.open_client import INTERVAL_SECONDS, OpenClient
from lumen_ui.pages.client.pool import pool_cards
from lumen_ui.pages.client.view import load

MAX_ID = 2**63 - 1


@ui.page('/clients/{identifier}')
async def client_page(request: Request, identifier: str) -> Response | None:
    visitor = await guard.visitor_of(request)
    if visitor is None:
        return guard.to_sign_in(request)
    client_id = _client_id(identifier)
    try:
        if client_id is None:
            raise NotFound('There is no such client.')
        view = await visitor.read_for_page(load, visitor.actor, client_id, settings=visitor.settings)
    except NotAuthenticated:
        return guard.to_sign_in(request)
    except NotFound:
        errors.show_not_found(visitor)
        return None
    with frame(view.client.name, visitor, current='/clients'), tag('div', 'client-page') as content:
        page = OpenClient(visitor, view, content)
        page.on_stale(stale_notice().set_visibility)
        header(page)
        pool_cards(page)
        Managers(page)
        Keys(page)
        model_access(page)
        history(page)
    timer = ui.timer(INTERVAL_SECONDS, page.keep_true, immediate=False)

    def lost(error: LumenError) -> None:
        timer.cancel()
        if isinstance(error, NotAuthenticated):
            leave()
            return
        # What the viewer may not see any more leaves the page, open dialogs included.
        content.clear()
        with content:
            errors.show_lost(
                'You cannot see this client any more',
                'You do not manage it any more. If that is a mistake, ask its owner or an admin.',
                f'/clients/{client_id}',
            )

    page.on_lost(lost)
    return None


def _client_id(identifier: str) -> int | None:
    """Ids as we write them ourselves, so that a client has one address."""
    if not identifier.isascii() or not identifier.isdigit() or identifier.startswith('0') or len(identifier) > 19:
        return None
    return int(identifier) if int(identifier) <= MAX_ID else None
