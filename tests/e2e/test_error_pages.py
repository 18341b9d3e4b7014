"""Pages for what cannot be shown: in the frame, with what there is to quote, and without a word of the inside."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx2
import psycopg
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.e2e.profiles import Profiles
from tests.e2e.serving import Server
from tests.e2e.visiting import ADMIN, EMAILS, sign_in

INSIDE = re.compile(r'Traceback|OperationalError|no such table|sqlite|psycopg|\.py\b|HTTPException|"detail"')


@pytest.fixture
def server(served_once: Server) -> Server:
    return served_once


@pytest.fixture
def frail(tmp_path: Path, port: int) -> Iterator[Server]:
    """A served installation that a test may break: what its log says of that is as it should be."""
    server = Server(tmp_path)
    server.start(port=port)
    yield server
    server.stop()


@pytest.fixture
def visit(profiles: Profiles, frail: Server) -> Page:
    return profiles.take(frail.address).new_page()


def lose(server: Server, table: str) -> None:
    """Take a table away beneath the running server."""
    with closing(sqlite3.connect(server.database_url.removeprefix('sqlite:///'))) as database:
        database.execute(f'alter table {table} rename to gone')


def expect_failure(page: Page, server: Server, address: str) -> None:
    """Go there and find the 500 page in its frame, saying nothing of the inside; its reference is in the log."""
    response = page.goto(address)
    assert response is not None
    assert response.status == 500
    assert not INSIDE.search(response.text()), response.text()
    expect(page.get_by_role('heading', name='Something went wrong', level=1)).to_be_visible()
    expect(page.locator('.frame-header .brand-name')).to_have_text('Lumen')
    expect(page.locator('footer').get_by_role('link', name='Partners')).to_be_visible()
    expect(page.get_by_role('main').get_by_role('link', name='help@example.org')).to_be_visible()
    expect(page.locator('lumen-time')).to_contain_text(re.compile(r'20\d\d'))
    reference = page.locator('.reference').inner_text()
    assert re.fullmatch('[0-9a-f]{8}', reference)
    assert f'"reference": "{reference}"' in server.log.read_text()


def test_a_page_that_breaks_keeps_its_frame_and_the_navigation_of_its_visitor(visit: Page, frail: Server):
    frail.json('client', 'create', 'bot')
    sign_in(visit, ADMIN, '/clients')
    expect(visit.get_by_role('link', name='bot', exact=True)).to_be_visible()
    lose(frail, 'audit_event')
    expect_failure(visit, frail, '/clients/1')
    expect(visit.get_by_text('cannot reach its database')).to_be_visible()
    navigation = visit.get_by_role('navigation', name='Main')
    expect(navigation.get_by_role('link', name='Clients')).to_be_visible()
    expect(visit.get_by_role('button', name=f'{ADMIN}: your account')).to_be_visible()
    navigation.get_by_role('link', name='Clients').click()
    expect(visit.get_by_role('heading', name='Clients', level=1)).to_be_visible()


def test_without_its_database_every_page_says_so_in_a_frame_without_navigation(visit: Page, frail: Server):
    sign_in(visit, ADMIN, '/clients')
    expect(visit.get_by_role('heading', name='Clients', level=1)).to_be_visible()
    lose(frail, 'session')
    for address in ('/clients', '/clients/1', '/help', '/', '/sign-in', '/nothing/at/all'):
        expect_failure(visit, frail, address)
        expect(visit.get_by_role('navigation', name='Main')).to_have_count(0)


def test_a_form_whose_database_is_gone_is_answered_by_the_same_page(visit: Page, frail: Server):
    visit.goto('/sign-in')
    lose(frail, 'session')
    with visit.expect_navigation() as navigating:
        visit.get_by_role('button', name=ADMIN).click()
    assert navigating.value.status == 500
    assert not INSIDE.search(navigating.value.text())
    expect(visit.get_by_role('heading', name='Something went wrong', level=1)).to_be_visible()
    expect(visit.locator('.frame-header .brand-name')).to_be_visible()


def test_a_database_that_does_not_answer_is_told_before_one_gives_up(tmp_path: Path, postgresql_server: str):
    with psycopg.connect(postgresql_server, autocommit=True) as connection:
        connection.execute('create database silent')
    server = Server(tmp_path, postgresql_server.replace('/postgres?', '/silent?'))
    assert server.lumen('migrate').returncode == 0
    server.start()
    try:
        server.json('client', 'create', 'bot')
        with httpx2.Client(base_url=server.address, timeout=10, headers={'sec-fetch-site': 'same-origin'}) as client:
            client.post('/sign-in/dev', data={'email': EMAILS[ADMIN]})
            for table, address in (('session', '/help'), ('audit_event', '/clients/1'), ('manager', '/clients')):
                assert client.get(address).status_code == 200
                with psycopg.connect(server.database_url) as connection:
                    connection.execute(f'lock table {table} in access exclusive mode')
                    answer = client.get(address)
                assert answer.status_code == 500
                assert 'Lumen cannot reach its database' in answer.text
                assert 'frame-header' in answer.text
                assert 'response_timeout' not in answer.text
        said = server.log.read_text()
        assert said.count('a page could not be shown') == 3
        assert said.count('took too long') == 3
        assert 'raceback' not in said
    finally:
        server.stop()


@pytest.mark.parametrize(
    ('method', 'path', 'status', 'says'),
    [
        ('POST', '/nothing', 404, 'There is nothing here'),
        ('POST', '/clients', 405, 'This address is no page'),
        ('GET', '/sign-out', 405, 'This address is no page'),
        ('GET', '/sign-in/dev', 405, 'This address is no page'),
        ('POST', '/sign-in/dev', 403, 'You cannot sign in like this'),
    ],
)
def test_what_an_endpoint_refuses_is_a_page_too(server: Server, method: str, path: str, status: int, says: str):
    headers = {'sec-fetch-site': 'same-origin', 'x-forwarded-for': '192.0.2.1'}
    answer = httpx2.request(method, server.address + path, headers=headers)
    assert answer.status_code == status
    assert says in answer.text
    assert 'frame-header' in answer.text
    assert not INSIDE.search(answer.text)
    assert "frame-ancestors 'none'" in answer.headers['content-security-policy']
    assert ('allow' in answer.headers) == (status == 405)


def test_a_refusal_is_read_in_the_browser(page: Page, server: Server):
    sign_in(page, ADMIN, '/clients')
    response = page.goto('/sign-out')
    assert response is not None
    assert response.status == 405
    expect(page.get_by_role('heading', name='This address is no page')).to_be_visible()
    expect(page.get_by_role('navigation', name='Main').get_by_role('link', name='Clients')).to_be_visible()


OPEN_TOO_MANY = """async () => {
    const open = (number, accept) =>
        Promise.all(Array.from({ length: number }, () => fetch('/', { redirect: 'manual', headers: { accept } })));
    await open(125, '*/*');
    await open(31, 'text/html');
}"""


def test_the_page_that_spares_the_server_is_as_readable_as_others(page: Page):
    sign_in(page, ADMIN, '/help')
    expect(page.get_by_role('heading', name='Help', level=1)).to_be_visible()
    page.evaluate(OPEN_TOO_MANY)
    answer = page.goto('/help')
    assert answer is not None
    assert answer.status == 429
    assert len(answer.body()) < 2000
    expect(page.locator('.frame-header')).to_have_count(0)
    expect(page.get_by_role('heading', name='Too many pages', level=1)).to_be_visible()
    expect(page.get_by_role('link', name='Go to the start page')).to_be_visible()
    # The policy of pages lets its style have its effect.
    assert page.evaluate('getComputedStyle(document.body).maxWidth') == '720px'
    page.evaluate(Axe().axe_script)
    for mode, background in (('light', 'rgb(246, 247, 249)'), ('dark', 'rgb(16, 20, 27)')):
        page.emulate_media(color_scheme=mode)
        assert page.evaluate('getComputedStyle(document.documentElement).backgroundColor') == background
        violations = page.evaluate('axe.run().then((found) => found.violations)')
        assert [violation['id'] for violation in violations] == []
