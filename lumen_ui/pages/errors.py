"""Pages for what cannot be shown: not found, not allowed, broken. In the frame, and without a word of the inside."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog
from nicegui import Client, ui
from nicegui import app as pages_app
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from lumen.errors import DatabaseUnavailable
from lumen_ui.components.help_link import help_link
from lumen_ui.components.markup import tag, text
from lumen_ui.components.moment import moment
from lumen_ui.guard import Visitor, known_visitor, visitor_of
from lumen_ui.layout import frame, link
from lumen_ui.services import services_of

log = structlog.get_logger()

LOGGED = 'logged under the reference '
"""So begins the note that an error gets with that, so that the framework does not log it again."""

Show = Callable[[Visitor | None], None]


def install() -> None:
    """Once: answer with these pages where the framework would answer with its own."""
    pages_app.on_page_exception(broken)
    pages_app.add_exception_handler(405, _wrong_method)
    pages_app.add_exception_handler(Exception, _endpoint_broken)
    logging.getLogger('nicegui').addFilter(_is_news)


def _is_news(record: logging.LogRecord) -> bool:
    error = record.exc_info[1] if record.exc_info else None
    return not any(note.startswith(LOGGED) for note in getattr(error, '__notes__', ()))


async def not_found(request: Request) -> None:
    """What answers at any address that is no page."""
    show_not_found(await visitor_of(request))


def show_not_found(visitor: Visitor | None) -> None:
    """Make the page being built a 404. Says the same of what does not exist and of what is not revealed."""
    with _message(404, 'Not found', 'There is nothing here', visitor):
        text('p', 'The address may be mistyped, or you may not see what it leads to.')


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
            help_link('clients', 'Read more about clients')


def show_lost(heading: str, sentence: str, address: str) -> None:
    """Fill the place of what the viewer may not see any more. `address` is where to look whether they may again."""
    with tag('div', 'message-page', role='alert'):
        text('h1', heading, 'page-title')
        text('p', sentence)
        with tag('p', 'row-line'):
            link('Try again', address)
            link('Go to the start page', '/')


def broken(error: Exception) -> None:
    """Make the page being built a 500. The error is logged under a reference that the page shows."""
    request = ui.context.client.request
    reference = secrets.token_hex(4)
    request.state.failure = reference
    error.add_note(f'{LOGGED}{reference}')
    is_waiting = isinstance(error, DatabaseUnavailable | TimeoutError)
    if is_waiting:
        cause = str(error) or 'the database took too long to answer'
        log.error('a page could not be shown', reference=reference, path=request.url.path, cause=cause)
    else:
        log.error('a page could not be shown', reference=reference, path=request.url.path, exc_info=error)
    support = services_of(request).settings.app.support_email
    with _message(500, 'Something went wrong', 'Something went wrong', known_visitor(request)):
        if is_waiting:
            text('p', 'Lumen cannot reach its database, or waits for it too long. Please try again in a minute.')
        else:
            text('p', 'That is our fault, not yours, and it has been logged. Please try again.')
        with tag('p'):
            text('span', 'If it stays so, ')
            if support:
                text('span', 'write to ')
                link(support, f'mailto:{support}')
            else:
                text('span', 'tell an administrator of this site')
            text('span', ' and quote ')
            text('code', reference, 'reference')
            text('span', ' of ')
            moment(time.time_ns() // 1000, 'exact')
            text('span', '.')


async def refusal(request: Request, status: int, title: str, sentence: str) -> Response:
    """A page for what an endpoint refuses that is no page itself, such as the target of a form."""
    visitor = await visitor_of(request)

    def show(visitor: Visitor | None) -> None:
        with _message(status, title, title, visitor):
            text('p', sentence)

    return _answer(request, visitor, show)


async def _wrong_method(request: Request, error: Exception) -> Response:
    response = await refusal(
        request, 405, 'This address is no page', 'It takes what a form sends; it cannot be opened by itself.'
    )
    response.headers.update(getattr(error, 'headers', None) or {})
    return response


async def _endpoint_broken(request: Request, error: Exception) -> Response:
    """For endpoints that are no pages; also told of a page that failed, which `broken` has answered already."""
    if hasattr(request.state, 'failure'):
        return PlainTextResponse('Something went wrong. It has been logged.', status_code=500)
    return _answer(request, known_visitor(request), lambda visitor: broken(error))


def _answer(request: Request, visitor: Visitor | None, show: Show) -> Response:
    with Client(ui.page(''), request=request) as client:
        show(visitor)
    return client.build_response(request, client.status_code)


@contextmanager
def _message(status: int, title: str, heading: str, visitor: Visitor | None) -> Iterator[None]:
    """The page being built, with a message in the place of what was asked for. Put paragraphs into it."""
    ui.status_code(status)
    with frame(title, visitor), tag('div', 'message-page'):
        text('p', str(status), 'message-code')
        text('h1', heading, 'page-title')
        yield
        with tag('p'):
            link('Go to the start page', '/')
