"""A served installation and a real browser for the tests of the whole."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, ConsoleMessage, Error, Page, async_playwright

from tests.e2e import chromium
from tests.e2e.serving import Server


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The browser lives on one event loop as long as the run, so the tests that use it run there too."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents and inspect.iscoroutinefunction(getattr(item, 'function', None)):
            item.add_marker(pytest.mark.asyncio(loop_scope='session'), append=False)


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Server]:
    """An installation that is not served yet, on SQLite. No traceback may be in its log at the end."""
    server = Server(tmp_path)
    yield server
    server.stop()
    log = server.log.read_text() if server.log.exists() else ''
    assert 'Traceback' not in log, log


@pytest.fixture
def server(installation: Server) -> Server:
    """A served installation."""
    installation.start()
    return installation


@pytest_asyncio.fixture(scope='session', loop_scope='session')
async def browser() -> AsyncIterator[Browser]:
    path = chromium.find()
    assert path, 'no Chromium; run `make test`, which installs one'
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=list(chromium.FLAGS))
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope='session')
async def page(browser: Browser, server: Server) -> AsyncIterator[Page]:
    """A fresh browser profile on the served installation. No error may be in its console at the end."""
    context = await browser.new_context(base_url=server.address, locale='en-US', timezone_id='America/Chicago')
    context.set_default_timeout(15_000)
    page = await context.new_page()
    problems: list[str] = []

    def heard(message: ConsoleMessage) -> None:
        # A page that is meant to answer 403 or 404 makes the browser itself complain.
        if message.type == 'error' and 'Failed to load resource' not in message.text:
            problems.append(message.text)

    def failed(error: Error) -> None:
        problems.append(str(error))

    page.on('console', heard)
    page.on('pageerror', failed)
    yield page
    await context.close()
    assert problems == []
