"""A served installation and a real browser for the tests of the whole."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

from tests.e2e import chromium
from tests.e2e.profiles import PROCESS_PER_SITE, Profiles
from tests.e2e.serving import Server

TIMEOUT_MS = 15_000

expect.set_options(timeout=TIMEOUT_MS)


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Server]:
    """An installation that is not served yet, on SQLite. No traceback may be in its log at the end."""
    server = Server(tmp_path)
    yield server
    server.stop()
    log = server.log.read_text() if server.log.exists() else ''
    assert 'Traceback' not in log, log


@pytest.fixture(scope='package')
def port() -> int:
    """Where one installation after the other is served, so that a browser need not read the same scripts again."""
    for port in range(random.randrange(20_000, 30_000), 32_000):
        with suppress(OSError), socket.create_server(('127.0.0.1', port)):
            return port
    raise AssertionError('no port is free')


@pytest.fixture
def server(installation: Server, port: int) -> Server:
    """A served installation."""
    installation.start(port=port)
    return installation


@pytest.fixture(scope='module')
def served_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A served installation for all tests of a file, where they leave it as they found it."""
    server = Server(tmp_path_factory.mktemp('served'))
    server.start()
    yield server
    server.stop()
    assert 'Traceback' not in server.log.read_text()


# Of the package, not of the session: while Playwright is there, no other event loop may run on this thread.
@pytest.fixture(scope='package')
def browser() -> Iterator[Browser]:
    path = chromium.find()
    assert path, 'no Chromium; `make test` installs one'
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=[*chromium.FLAGS, PROCESS_PER_SITE])
        yield browser
        browser.close()


@pytest.fixture(scope='package')
def profiles_once(browser: Browser) -> Profiles:
    return Profiles(browser)


@pytest.fixture
def profiles(profiles_once: Profiles) -> Iterator[Profiles]:
    """Browser profiles, which are nobody's before and after the test."""
    yield profiles_once
    profiles_once.give_back()


@pytest.fixture
def page(profiles: Profiles, server: Server) -> Iterator[Page]:
    """A browser on the served installation, as nobody. No error may be in its console at the end."""
    context = profiles.take(server.address, locale='en-US', timezone_id='America/Chicago', reduced_motion='reduce')
    context.set_default_timeout(TIMEOUT_MS)
    page = context.new_page()
    problems: list[str] = []

    def heard(message: ConsoleMessage) -> None:
        # A page that is meant to answer 403 or 404 makes the browser itself complain.
        if message.type == 'error' and 'Failed to load resource' not in message.text:
            problems.append(message.text)

    page.on('console', heard)
    page.on('pageerror', lambda error: problems.append(str(error)))
    yield page
    page.close()
    assert problems == []
