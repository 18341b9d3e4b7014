"""The page of one client in a real browser, served by a real Lumen."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, WebSocketRoute, expect, sync_playwright

from lumen.identity.sessions import COOKIE
from tests.e2e import chromium
from tests.e2e.profiles import PROCESS_PER_SITE, Profiles
from tests.lumen_ui.pages.client.site import Site

expect.set_options(timeout=10_000)


@pytest.fixture(scope='package')
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = Site(tmp_path_factory.mktemp('site'))
    yield site
    site.stop()


@pytest.fixture(scope='package')
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium.find(), args=[*chromium.FLAGS, PROCESS_PER_SITE])
        yield browser
        browser.close()


Visit = Callable[..., Page]


def row(page: Page, table: str, name: str) -> Locator:
    """A row of one of the page's tables, by something that stands in it."""
    return page.get_by_role('region', name=table).get_by_role('row', name=name)


class Link:
    """The socket of a page, which is opened anew with it: what the server says may be held back."""

    def __init__(self, page: Page) -> None:
        self._is_held = False
        self._late: list[tuple[WebSocketRoute, str | bytes]] = []
        page.route_web_socket(lambda address: True, self._connect)
        page.reload()

    def hold(self) -> None:
        self._is_held = True

    def let_go(self) -> None:
        self._is_held = False
        while self._late:
            browser, message = self._late.pop(0)
            browser.send(message)

    def _connect(self, browser: WebSocketRoute) -> None:
        def heard(message: str | bytes) -> None:
            if self._is_held:
                self._late.append((browser, message))
            else:
                browser.send(message)

        browser.connect_to_server().on_message(heard)


@pytest.fixture(scope='package')
def profiles(browser: Browser) -> Profiles:
    return Profiles(browser)


@pytest.fixture
def visit(profiles: Profiles, site: Site) -> Iterator[Visit]:
    """Opens the page of a client, signed in as somebody: `visit(client_id, GRACE)`."""
    faults: list[str] = []

    def open_page(path: int | str, email: str, **options: Any) -> Page:
        context = profiles.take(site.address, **({'reduced_motion': 'reduce'} | options))
        context.add_cookies([{'name': COOKIE, 'value': site.sign_in(email), 'url': site.address}])
        page = context.new_page()
        page.on('pageerror', lambda error: faults.append(str(error)))
        page.goto(f'/clients/{path}')
        return page

    yield open_page
    profiles.give_back()
    assert faults == []
