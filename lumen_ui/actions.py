"""Doing something when a button is pressed: once, visibly, and with an answer whatever happens."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import structlog
from nicegui import app, ui

from lumen.errors import LumenError, NotAuthenticated
from lumen.visible import visible
from lumen_ui.guard import sign_in_address, wanted_by

log = structlog.get_logger()

GENERIC = 'Something went wrong. It has been logged; please try again.'
KEPT = 'message'
LEAVING = 'leaving'
SHOWN = 'shown address'


def once(button: ui.button, action: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
    """A handler that runs `action` with `button` disabled and spinning, and ignores a second press meanwhile."""

    async def run() -> None:
        if not button.enabled:
            return
        button.disable()
        button.props(add='loading')
        try:
            # The button may be gone when the action ends, with the dialog it was in; the page is still there to tell.
            with ui.context.client, reporting():
                await action()
        finally:
            if not button.is_deleted:
                button.props(remove='loading')
                button.enable()

    return run


@contextmanager
def reporting() -> Iterator[None]:
    """Turns what is raised within into a message to the person: ours as it reads, anything else without internals.

    A session that has ended leads to the sign-in page.
    """
    try:
        yield
    except NotAuthenticated:
        leave()
    except LumenError as error:
        failed(error.message)
    except Exception:
        log.exception('an action of a page failed')
        failed(GENERIC)


def leave() -> None:
    """To the sign-in page, and back here afterwards. Once: a second order would cut the first one short."""
    if app.storage.client.setdefault(LEAVING, False):
        return
    app.storage.client[LEAVING] = True
    wanted = app.storage.client.get(SHOWN) or wanted_by(ui.context.client.request)
    ui.navigate.to(sign_in_address(wanted))


def shows_address(address: str) -> None:
    """Tell that this page has another address now than when it was opened: `leave` leads back there."""
    app.storage.client[SHOWN] = address


def done(text: str) -> None:
    """Say that something was done. Name the thing: *Client "research-bot" created*."""
    ui.notify(visible(text), type='positive', position='bottom', attrs={'role': 'status'})


def failed(text: str) -> None:
    """Say that something was not done, and why."""
    ui.notify(
        visible(text),
        type='negative',
        position='bottom',
        timeout=10_000,
        close_button='Close',
        attrs={'role': 'alert'},
    )


def done_on_next_page(text: str) -> None:
    """Like `done`, but on the page that this tab opens next."""
    app.storage.tab[KEPT] = text


def show_kept_message() -> None:
    """Say what the page before left to be said, once. Needs the connection to the browser."""
    text = app.storage.tab.pop(KEPT, None)
    if text:
        done(text)
