"""The Clients page: what the institution's machine accounts are, do and cost."""

from __future__ import annotations

from nicegui import ui
from starlette.requests import Request
from starlette.responses import Response

from lumen.identity.permissions import Action
from lumen_ui import guard
from lumen_ui.components.markup import text
from lumen_ui.layout import frame
from lumen_ui.pages import errors


@ui.page('/clients')
async def clients_page(request: Request) -> Response | None:
    visitor = await guard.visitor_of(request)
    if visitor is None:
        return guard.to_sign_in(request)
    if not visitor.may(Action.OPEN_CLIENTS):
        errors.show_clients_forbidden(visitor)
        return None
    with frame('Clients', visitor, current='/clients'):
        text('h1', 'Clients', 'page-title')
    return None
