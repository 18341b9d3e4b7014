"""Pages for what cannot be shown: not found, not allowed, broken."""

from __future__ import annotations

import structlog
from nicegui import ui
from starlette.requests import Request

from lumen.visible import visible
from lumen_ui import theme
from lumen_ui.components.markup import tag, text
from lumen_ui.guard import Visitor, visitor_of
from lumen_ui.layout import frame, link
from lumen_ui.services import services_of

log = structlog.get_logger()


async def not_found(request: Request) -> None:
    """What answers at any address that is no page."""
    show_not_found(await visitor_of(request))


def show_not_found(visitor: Visitor | None) -> None:
    """Make the page being built a 404. Says the same of what does not exist and of what is not revealed."""
    ui.status_code(404)
    with frame('Not found', visitor), tag('div', 'message-page'):
        text('p', '404', 'message-code')
        text('h1', 'There is nothing here', 'page-title')
        text('p', 'The address may be mistyped, or you may not see what it leads to.')
        with tag('p'):
            link('Go to the start page', '/')


def show_clients_forbidden(visitor: Visitor) -> None:
    """Make the page being built a 403 that explains what clients are and whom to ask."""
    ui.status_code(403)
    support = visitor.settings.app.support_email
    with frame('Clients', visitor), tag('div', 'message-page'):
        text('h1', 'Clients are for services and automated tools', 'page-title')
        text(
            'p',
            'A client is a named identity for a program: a bot, a data pipeline, a web service. It has its own API '
            'keys, its own coin pool and its own usage counters, apart from any person’s account.',
        )
        text(
            'p',
            'You do not manage any client. When somebody makes you a manager of one, it appears here, and you can '
            'create its keys and see what it uses.',
        )
        with tag('p'):
            text('span', 'If you build something that needs one, ask ')
            if support:
                link(support, f'mailto:{support}')
            else:
                text('span', 'an administrator of this site')
            text('span', '.')
        with tag('p'):
            link('Read more about clients', '/help/clients')


def broken(error: Exception) -> None:
    """Make the page being built a 500 that says nothing of the inside. The error is logged."""
    log.error('a page failed to build', exc_info=error)
    settings = services_of(ui.context.client.request).settings
    theme.apply(ui.context.client.request, settings)
    ui.page_title(visible(f'Something went wrong · {settings.app.name}'))
    with tag('div', 'frame-main'), tag('div', 'message-page'):
        text('p', '500', 'message-code')
        text('h1', 'Something went wrong', 'page-title')
        text('p', 'The page could not be shown. It has been logged; please try again.')
        with tag('p'):
            link('Go to the start page', '/')
