"""Pages that stay open while the server or its database goes away and comes back."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import openai
import psycopg
import pytest
from playwright.sync_api import Page, Route, expect

from lumen.database import Database
from lumen.identity.permissions import COMMAND_LINE
from lumen.records import clients
from lumen.records.history import PAGE_SIZE
from tests.e2e.profiles import Profiles
from tests.e2e.serving import Server
from tests.e2e.visiting import ADMIN, card, sign_in
from tests.lumen import factories

RECONNECTING_MS = 40_000
NOTHING_KEPT = 'Object.keys(sessionStorage).every((name) => !name.startsWith("lumen_"))'
PRESSED = 'lumen_pressed_while_away'


@pytest.fixture
def tab(profiles: Profiles, server: Server) -> Page:
    """A page whose console may complain: a browser says so itself when a server is gone."""
    return profiles.take(server.address, locale='en-US', reduced_motion='reduce').new_page()


@contextmanager
def away(server: Server) -> Iterator[None]:
    """The server is stopped meanwhile, and starts again where it was."""
    port = urlsplit(server.address).port
    assert port is not None
    server.stop()
    yield
    server.start(port=port)


def call(server: Server, key: str) -> None:
    with openai.OpenAI(base_url=f'{server.address}/v1', api_key=key, max_retries=0) as client:
        client.chat.completions.create(model='echo', messages=[{'role': 'user', 'content': 'hello'}])


def test_open_pages_recover_by_themselves_after_a_restart(tab: Page, server: Server):
    key = server.new_key('research-bot')
    client_id = server.json('client', 'show', 'research-bot')['id']
    sign_in(tab, ADMIN, '/clients?q=research&sort=spent&dir=desc')
    expect(tab.get_by_role('link', name='research-bot')).to_be_visible()
    other = tab.context.new_page()
    other.goto(f'/clients/{client_id}')
    expect(card(other, 'Total Tokens Used')).to_have_text('0')
    with away(server):
        for page in (tab, other):
            expect(page.get_by_text('Connection lost')).to_be_visible(timeout=RECONNECTING_MS)
        server.json('client', 'create', 'research-pipeline')
        tab.get_by_role('searchbox').fill('research-p')
    expect(tab.get_by_role('link', name='research-pipeline')).to_be_visible(timeout=RECONNECTING_MS)
    expect(tab.get_by_role('link', name='research-bot')).to_have_count(0)
    expect(tab).to_have_url(re.compile(r'q=research-p&sort=spent&dir=desc$'))
    expect(tab.get_by_role('searchbox')).to_have_value('research-p')
    call(server, key)
    expect(card(tab, 'Total Requests')).to_have_text('1')
    expect(card(other, 'Total Tokens Used')).not_to_have_text('0', timeout=RECONNECTING_MS)
    for page in (tab, other):
        expect(page.get_by_text('Connection lost')).to_be_hidden()


def test_what_is_pressed_on_a_stale_page_is_not_done_and_said_so(tab: Page, server: Server):
    sign_in(tab, ADMIN, '/clients')
    tab.get_by_role('button', name='+ New Client').first.click()
    tab.get_by_role('textbox', name='Name', exact=True).fill('stale-bot')
    with away(server):
        expect(tab.get_by_text('Connection lost')).to_be_visible(timeout=RECONNECTING_MS)
        tab.get_by_role('button', name='Create').click()
    said = tab.get_by_role('alert').filter(has_text='what you pressed then was not done')
    expect(said).to_be_visible(timeout=RECONNECTING_MS)
    assert server.json('client', 'list') == []
    tab.evaluate(f'sessionStorage.setItem("{PRESSED}", "1")')  # as it is until the page has stayed for a while
    tab.reload()
    expect(said).to_be_visible()
    tab.wait_for_function(NOTHING_KEPT)
    tab.reload()
    expect(tab.get_by_role('heading', name='Clients', exact=True)).to_be_visible()
    expect(said).to_have_count(0)
    tab.evaluate(f'sessionStorage.setItem("{PRESSED}", "1")')
    tab.goto(f'{server.address}/help')  # who goes elsewhere lost nothing
    expect(tab.get_by_role('heading', name='Help', exact=True)).to_be_visible()
    expect(said).to_have_count(0)


def click_the_switch(page: Page) -> None:
    page.get_by_role('switch', name='Show revoked').click()


def press_the_switch(page: Page) -> None:
    page.get_by_role('switch', name='Show revoked').press('Space')


def click_the_header(page: Page) -> None:
    page.get_by_role('columnheader', name='Requests').click()


def press_the_header(page: Page) -> None:
    page.get_by_role('columnheader', name='Requests').press('Enter')


@pytest.mark.parametrize('press', [click_the_switch, press_the_switch, click_the_header, press_the_header])
def test_switches_and_column_headers_are_pressed_too(tab: Page, server: Server, press: Callable[[Page], None]):
    client_id = server.json('client', 'create', 'research-bot')['id']
    sign_in(tab, ADMIN, f'/clients/{client_id}' if 'switch' in press.__name__ else '/clients')
    expect(tab.get_by_text('research-bot').first).to_be_visible()
    tab.evaluate(f'sessionStorage.setItem("{PRESSED}", "1")')
    tab.wait_for_function(f'!sessionStorage.getItem("{PRESSED}")')  # the page has seen that it is connected
    tab.evaluate('window.socket.disconnect()')
    tab.keyboard.press('Space')
    assert tab.evaluate(f'sessionStorage.getItem("{PRESSED}")') is None
    press(tab)
    assert tab.evaluate(f'sessionStorage.getItem("{PRESSED}")') == '1'
    tab.reload()
    expect(tab.get_by_role('alert').filter(has_text='what you pressed then was not done')).to_be_visible()


def test_what_the_browser_does_by_itself_is_done_without_a_connection(tab: Page, server: Server):
    sign_in(tab, ADMIN, '/clients')
    tab.get_by_role('button', name=f'{ADMIN}: your account').click()
    dark = tab.get_by_role('button', name='Dark')
    expect(dark).to_be_visible()
    tab.wait_for_function(NOTHING_KEPT)
    tab.evaluate('window.socket.disconnect()')
    dark.click()
    tab.get_by_role('button', name='Dismiss announcement').dispatch_event('click')  # the menu lies over it
    assert tab.evaluate(f'sessionStorage.getItem("{PRESSED}")') is None


def test_what_was_typed_into_a_dialog_is_told_when_the_page_is_loaded_anew(tab: Page, server: Server):
    sign_in(tab, ADMIN, '/clients')
    tab.get_by_role('button', name='+ New Client').first.click()
    tab.get_by_role('textbox', name='Name', exact=True).fill('<b>nightly</b>-bot')
    with away(server):
        expect(tab.get_by_text('Connection lost')).to_be_visible(timeout=RECONNECTING_MS)
    said = tab.get_by_role('alert').filter(has_text='What you had typed was not saved: Name: <b>nightly</b>-bot')
    expect(said).to_be_visible(timeout=RECONNECTING_MS)
    tab.wait_for_function(NOTHING_KEPT)
    assert server.json('client', 'list') == []


def test_what_is_looked_for_or_cleared_is_kept_when_the_server_never_heard_of_it(tab: Page, server: Server):
    server.json('client', 'create', 'research-bot')
    sign_in(tab, ADMIN, '/clients?q=bot')
    search = tab.get_by_role('searchbox')
    expect(tab.get_by_role('link', name='research-bot')).to_be_visible()
    tab.evaluate('window.socket.emit = () => {}')  # as when the server goes just now
    search.press('End')
    search.press_sequentially('-7')
    tab.reload()
    expect(search).to_have_value('bot-7')
    expect(tab.get_by_text('No client matches')).to_be_visible()
    tab.evaluate('window.socket.emit = () => {}')
    tab.get_by_role('button', name='Clear').click()
    tab.reload()
    expect(search).to_have_value('')
    expect(tab.get_by_role('link', name='research-bot')).to_be_visible()
    expect(tab).to_have_url(re.compile('/clients$'))


def test_who_goes_on_typing_while_the_page_is_loaded_anew_loses_no_letter(tab: Page, server: Server):
    server.json('client', 'create', 'research-bot')
    sign_in(tab, ADMIN, '/clients')
    search = tab.get_by_role('searchbox')
    expect(tab.get_by_role('link', name='research-bot')).to_be_visible()
    search.press_sequentially('res')
    held: list[Route] = []
    for late in ('**/clients**', '**/nicegui.js*'):
        tab.route(late, lambda route: held.append(route))
    tab.evaluate('window.socket.disconnect()')
    with tab.expect_request('**/clients**'):
        tab.evaluate('setTimeout(() => location.reload())')
    tab.keyboard.type('xe')  # into the page that is going
    tab.keyboard.press('ArrowLeft')
    tab.keyboard.press('Backspace')
    with tab.expect_request('**/nicegui.js*'):
        held.pop().continue_()
    tab.wait_for_function('window.lumenIsAway && !("lumen_search_left" in sessionStorage)')
    tab.keyboard.press('Delete')  # is no letter
    tab.keyboard.type('eaX')  # into the one that is coming
    tab.keyboard.press('Backspace')
    held.pop().continue_()
    expect(search).to_be_focused()
    expect(search).to_have_value('reseae')
    tab.keyboard.type('r')
    expect(search).to_have_value('researe')
    expect(tab).to_have_url(re.compile(r'q=researe$'))
    expect(tab.get_by_text('No client matches')).to_be_visible()
    assert tab.evaluate('sessionStorage.getItem("lumen_search_left")') is None


def test_only_what_is_looked_for_is_typed_again(tab: Page, server: Server):
    """Neither a page that its reader loads anew, nor what stands in a dialog."""
    server.json('client', 'create', 'research-bot')
    sign_in(tab, ADMIN, '/clients')
    look = 'sessionStorage.setItem("seen", String("lumen_search_left" in sessionStorage))'
    for prepare in (
        lambda: tab.get_by_role('searchbox').fill('x'),
        lambda: (
            tab.get_by_role('button', name='+ New Client').first.click(),
            tab.get_by_role('textbox', name='Name', exact=True).fill('a name'),
            tab.evaluate('window.socket.disconnect()'),
        ),
    ):
        prepare()
        tab.evaluate(f'addEventListener("pagehide", () => {look})')
        tab.reload()
        assert tab.evaluate('sessionStorage.getItem("seen")') == 'false'


def test_a_key_that_is_shown_is_not_kept_when_the_connection_is_lost(tab: Page, server: Server):
    client = server.json('client', 'create', 'research-bot')['id']
    sign_in(tab, ADMIN, f'/clients/{client}')
    tab.get_by_role('button', name='New key').click()
    tab.get_by_role('dialog').get_by_label('Name', exact=True).fill('laptop')
    tab.get_by_role('button', name='Create').click()
    key = tab.locator('.secret-key').inner_text()
    assert key.startswith('sk_')
    # Something beside it that is kept, to know when.
    tab.evaluate("""() => {
        const field = Object.assign(document.createElement('input'), { type: 'text', value: 'beside it' });
        document.querySelector('.secret-key').closest('[role="dialog"]').append(field);
        window.socket.disconnect();
    }""")
    tab.wait_for_function('Object.values(sessionStorage).some((kept) => kept.includes("beside it"))')
    assert key not in tab.evaluate('JSON.stringify([sessionStorage, localStorage])')


def test_who_presses_before_a_page_is_connected_or_as_it_comes_back_is_not_alarmed(tab: Page, server: Server):
    tab.goto('/sign-in', wait_until='commit')
    tab.get_by_role('button', name=ADMIN).click()  # a plain form, which needs no connection
    new_client = tab.get_by_role('button', name='+ New Client').first
    expect(new_client).to_be_visible()
    alarm = tab.get_by_text('what you pressed then was not done')
    expect(alarm).to_have_count(0)
    tab.evaluate(f'sessionStorage.setItem("{PRESSED}", "1")')
    tab.wait_for_function(f'!sessionStorage.getItem("{PRESSED}")')  # the page has seen that it is connected
    tab.evaluate('window.did_handshake = false')
    new_client.click()
    tab.wait_for_function(f'sessionStorage.getItem("{PRESSED}")')
    tab.evaluate('window.did_handshake = true')
    tab.wait_for_function(f'!sessionStorage.getItem("{PRESSED}")')
    expect(tab.get_by_role('dialog')).to_be_visible()  # it was sent after all
    tab.reload()
    expect(new_client).to_be_visible()
    expect(alarm).to_have_count(0)


def named(postgresql_server: str) -> str:
    return postgresql_server.replace('/postgres?', '/recovering?')


@pytest.fixture
def on_postgresql(tmp_path: Path, postgresql_server: str) -> Iterator[Server]:
    with psycopg.connect(postgresql_server, autocommit=True) as connection:
        connection.execute('create database recovering')
    server = Server(tmp_path, database_url=named(postgresql_server))
    assert server.lumen('migrate').returncode == 0
    server.start()
    yield server
    server.stop()
    with psycopg.connect(postgresql_server, autocommit=True) as connection:
        connection.execute('drop database recovering with (force)')


def rename_often(server: Server, client_id: int) -> None:
    """More often than a page shows at once, and back again."""
    database = Database(server.database_url)
    try:
        for name in (*(f'research-bot-{number}' for number in range(PAGE_SIZE)), 'research-bot'):
            database.write_now(clients.rename_client, COMMAND_LINE, client_id, name, settings=factories.settings())
    finally:
        database.close()


def test_open_pages_say_when_they_may_be_old_and_recover_with_the_database(
    profiles: Profiles, on_postgresql: Server, postgresql_server: str
):
    server = on_postgresql
    client_id = server.json('client', 'create', 'research-bot')['id']
    server.json('key', 'revoke', str(server.json('key', 'create', 'research-bot', '--name', 'lost')['id']))
    rename_often(server, client_id)
    context = profiles.take(server.address, reduced_motion='reduce')
    every, one = context.new_page(), context.new_page()
    sign_in(every, ADMIN, '/clients')
    every.get_by_role('link', name='research-bot').wait_for()
    one.goto(f'/clients/{client_id}')
    show_older = one.get_by_role('button', name='Show older')
    expect(show_older).to_be_visible()
    events = one.get_by_role('region', name='History').locator('tbody tr')
    before = events.count()
    lost = one.get_by_role('region', name='API keys').get_by_role('row').filter(has_text='lost')
    with psycopg.connect(postgresql_server, autocommit=True) as connection:
        connection.execute('alter database recovering allow_connections false')
        connection.execute("select pg_terminate_backend(pid) from pg_stat_activity where datname = 'recovering'")
        show_older.click()
        one.get_by_role('switch', name='Show revoked').click()
        for page in (every, one):
            expect(page.get_by_text('Lumen cannot reach its database.')).to_be_visible(timeout=RECONNECTING_MS)
            expect(page.get_by_text('research-bot').first).to_be_visible()
        expect(one.get_by_role('alert')).to_have_count(0)
        expect(lost).to_have_count(0)
        assert events.count() == before
        every.get_by_role('searchbox').fill('pipeline')
        connection.execute('alter database recovering allow_connections true')
    server.json('client', 'create', 'pipeline')
    for page in (every, one):
        expect(page.get_by_text('Lumen cannot reach its database.')).to_be_hidden(timeout=RECONNECTING_MS)
    expect(every.get_by_role('link', name='pipeline')).to_be_visible()
    expect(every.get_by_role('link', name='research-bot')).to_have_count(0)
    # What was pressed meanwhile is shown now.
    expect(events.last).to_contain_text('created the client')
    expect(lost).to_contain_text('Revoked')
    assert 'Traceback' not in server.log.read_text()


def test_who_waits_for_the_database_sees_that_something_is_under_way(
    profiles: Profiles, on_postgresql: Server, postgresql_server: str
):
    on_postgresql.json('client', 'create', 'slow-bot')
    page = profiles.take(on_postgresql.address, reduced_motion='reduce').new_page()
    sign_in(page, ADMIN, '/clients')
    expect(page.get_by_role('link', name='slow-bot')).to_be_visible()
    busy = page.locator('.busy')
    expect(busy).to_be_hidden()
    with psycopg.connect(named(postgresql_server)) as connection:
        connection.execute('lock table account in access exclusive mode')
        page.get_by_role('searchbox').fill('nobody')
        expect(busy).to_be_visible()
        expect(page.get_by_role('link', name='slow-bot')).to_be_visible()
    expect(page.get_by_text('No client matches')).to_be_visible()
    expect(busy).to_be_hidden()
