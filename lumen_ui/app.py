"""The pages as one ASGI app, for the dispatcher in front to mount."""

from __future__ import annotations

from fastapi import FastAPI
from nicegui import app as pages_app
from nicegui import ui
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp

from lumen.identity import sessions
from lumen_ui import nonces, sign_in, socket_messages, socket_rates, theme
from lumen_ui import services as provided
from lumen_ui.page_limits import PageLimits
from lumen_ui.pages import errors, help  # noqa: A004 - the page is called Help
from lumen_ui.pages.client import page as client
from lumen_ui.pages.clients import page as clients
from lumen_ui.services import Services

PAGES = (sign_in, clients, client, help)
"""Importing a module registers its pages."""


def mount(services: Services) -> ASGIApp:
    """The pages, with static files, socket and lifespan. Once a process: NiceGUI keeps its pages in one place."""
    provided.provide(services)
    theme.install()
    errors.install()
    nonces.install()
    socket_messages.install()
    socket_rates.install()
    # NiceGUI keeps 30 days what a tab said of itself; no page is of use for longer than its session.
    pages_app.storage.max_tab_storage_age = sessions.LIFETIME_SECONDS
    host = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    ui.run_with(
        host,
        root=errors.not_found,
        title=services.settings.app.name,
        favicon=theme.STATIC / 'favicon.svg',
        language='en-US',
        dark=None,
        tailwind=False,
        show_welcome_message=False,
        reconnect_timeout=10,
    )
    return PageLimits(host, services)


# After all routes of NiceGUI itself: what is no file of it is nothing, and no reason to build a page.
@pages_app.get('/_nicegui/{path:path}')
def no_file(path: str) -> Response:
    return PlainTextResponse('There is nothing at this address.', status_code=404)
