"""The Clients page: what it shows, sorts, finds, remembers in its address, and keeps from whom."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import count
from typing import Any
from urllib.parse import parse_qs, urlsplit

import openai
from playwright.sync_api import Browser, Locator, Page, expect

import models
from lumen.database import Database, now
from tests.e2e.serving import Server
from tests.e2e.visiting import ADMIN, MANAGER, assert_shown_within_a_second, card, sign_in, sign_out
from tests.lumen import factories


def change(server: Server, call: Callable[[], Any]) -> None:
    """Change the database beside the running server."""
    database = Database(server.database_url)
    try:
        database.write_now(call)
    finally:
        database.close()


def many(number: int) -> None:
    moment = now()
    rows = [
        {
            'kind': 'client',
            'handle': f'bot-{index:04}',
            'name': f'Bot-{index:04}',
            'created_at': moment,
            'created_by': 'test',
            'touched_at': moment,
            'spent': index * 10_000_000,
            'granted': index * 10_000_000,
            'input_tokens': 1000 + index,
            'active': index != 7,
        }
        for index in range(number)
    ]
    models.Account.insert_many(rows).execute()


def call(server: Server, key: str) -> None:
    with openai.OpenAI(base_url=f'{server.address}/v1', api_key=key, max_retries=0) as client:
        client.chat.completions.create(model='echo', messages=[{'role': 'user', 'content': 'hello'}])


def names(page: Page) -> Locator:
    return page.locator('.ag-center-cols-container .name-link')


def test_headers_sort_in_the_database_both_ways_and_the_address_remembers(page: Page, server: Server):
    change(server, lambda: many(250))
    sign_in(page, ADMIN, '/clients')
    expect(names(page).first).to_have_text('Bot-0000')
    expect(page.get_by_role('status')).to_have_text('1–100 of 250')
    for title in ('Name', 'Managers', 'Active', 'Requests', 'Tokens Used', 'Coins', 'Created'):
        expect(page.get_by_role('columnheader', name=title)).to_be_visible()

    page.get_by_role('columnheader', name='Coins').click()
    expect(names(page).first).to_have_text('Bot-0249')
    expect(page).to_have_url(re.compile(r'\?sort=spent&dir=desc$'))
    expect(page.get_by_role('columnheader', name='Coins')).to_have_attribute('aria-sort', 'descending')
    page.get_by_role('columnheader', name='Coins').click()
    expect(names(page).first).to_have_text('Bot-0000')
    expect(page).to_have_url(re.compile(r'\?sort=spent$'))

    page.go_back()
    expect(names(page).first).to_have_text('Bot-0249')
    expect(page.get_by_role('columnheader', name='Coins')).to_have_attribute('aria-sort', 'descending')
    page.reload()
    expect(names(page).first).to_have_text('Bot-0249')
    expect(page.get_by_role('columnheader', name='Coins')).to_have_attribute('aria-sort', 'descending')


def test_a_session_that_ends_leads_back_to_what_the_address_shows(page: Page, server: Server):
    change(server, lambda: many(3))
    sign_in(page, ADMIN, '/clients?state=active')
    page.get_by_role('columnheader', name='Coins').click()
    expect(page).to_have_url(re.compile(r'/clients\?state=active&sort=spent&dir=desc$'))
    expect(names(page).first).to_have_text('Bot-0002')
    page.get_by_role('columnheader', name='Coins').click()
    expect(page).to_have_url(re.compile(r'sort=spent$'))
    page.go_back()
    expect(page.get_by_role('columnheader', name='Coins')).to_have_attribute('aria-sort', 'descending')
    change(server, lambda: models.Session.delete().execute())
    page.wait_for_url(re.compile('/sign-in'))
    assert parse_qs(urlsplit(page.url).query) == {'next': ['/clients?state=active&sort=spent&dir=desc']}
    page.get_by_role('button', name=ADMIN).click()
    expect(page).to_have_url(re.compile(r'/clients\?state=active&sort=spent&dir=desc$'))


def every_extreme() -> dict[str, tuple[str, str]]:
    """Plants 250 clients, and returns which is first when a header is sorted up and when it is sorted down.

    Those are not on the first page by name, and the browser would not put them first: it knows capitals before small
    letters and figures as text, so that 9.00 is more than 1,234.57 to it.
    """
    extremes: dict[str, dict[str, Any]] = {
        'a-first': {},
        'Zebra': {},
        'yak': {},
        'most requests': {'requests': 10_000},
        'fewest requests': {'requests': 2},
        'most tokens': {'input_tokens': 1, 'output_tokens': 90_000},
        'fewest tokens': {'input_tokens': 2, 'output_tokens': 1},
        'most coins': {'spent': 1_234_570_000_000, 'granted': 1_234_570_000_000},
        'fewest coins': {'spent': 9_000_000_000, 'granted': 9_000_000_000},
        'newest': {'created_at': now() - 1_000_000},
        'oldest': {'created_at': 1_000_000_000_000_000},
        'most managers': {},
        'no managers': {},
        'not active': {'active': False},
        'x made last': {},
    }
    usual = {
        'kind': 'client',
        'created_at': now() - 2_000_000,
        'created_by': 'test',
        'touched_at': now(),
        'spent': 55_000_000_000,
        'granted': 55_000_000_000,
        'requests': 1_000,
        'input_tokens': 1_000,
        'output_tokens': 500,
        'active': True,
    }
    clients = {f'Bot-{index:04}': {} for index in range(250 - len(extremes))} | extremes
    models.Account.insert_many(
        [usual | {'handle': name.casefold(), 'name': name} | more for name, more in clients.items()]
    ).execute()
    ids = {row.name: row.id for row in models.Account.select()}
    first, second = (
        models.Account.create(**usual | {'kind': 'user', 'handle': name, 'name': name, 'email': f'{name}@example.org'})
        for name in ('first', 'second')
    )
    managing = [(name, first) for name in clients if name != 'no managers'] + [('most managers', second)]
    models.Manager.insert_many(
        [
            {'client': ids[name], 'user': user, 'is_owner': user == first, 'added_at': now(), 'added_by': 'test'}
            for name, user in managing
        ]
    ).execute()
    return {
        'Managers': ('no managers', 'most managers'),
        'Active': ('not active', 'x made last'),
        'Requests': ('fewest requests', 'most requests'),
        'Tokens Used': ('fewest tokens', 'most tokens'),
        'Coins': ('fewest coins', 'most coins'),
        'Created': ('oldest', 'newest'),
        'Name': ('a-first', 'Zebra'),
    }


def test_every_header_sorts_both_ways_in_the_database(page: Page, server: Server):
    first: dict[str, tuple[str, str]] = {}
    change(server, lambda: first.update(every_extreme()))
    sign_in(page, ADMIN, '/clients')
    expect(page.get_by_role('status')).to_have_text('1–100 of 250')
    for title, (up, down) in first.items():
        header = page.get_by_role('columnheader', name=title)
        found = {}
        for _ in range(2):
            before = header.get_attribute('aria-sort') or 'none'
            header.click()
            expect(header).not_to_have_attribute('aria-sort', before)
            order = header.get_attribute('aria-sort') or ''
            found[order] = {'ascending': up, 'descending': down}[order]
            expect(names(page).first, f'{title} {order}').to_have_text(found[order])
        assert found == {'ascending': up, 'descending': down}


def test_the_search_finds_by_name_as_one_types_and_says_when_nothing_matches(page: Page, server: Server):
    change(server, lambda: many(250))
    sign_in(page, ADMIN, '/clients')
    search = page.get_by_label('Search by name')
    search.press_sequentially('bot-024')
    expect(names(page)).to_have_count(10)
    expect(page.get_by_role('status')).to_have_text('1–10 of 10')
    expect(page).to_have_url(re.compile(r'\?q=bot-024$'))
    expect(search).to_be_focused()
    expect(card(page, 'Total Clients')).to_have_text('250')
    search.fill('nobody')
    expect(page.get_by_text('No client matches')).to_be_visible()
    page.get_by_role('button', name='Show all clients').click()
    expect(names(page).first).to_have_text('Bot-0000')
    expect(search).to_have_value('')


def test_pages_of_a_hundred_and_the_filter_by_state(page: Page, server: Server):
    change(server, lambda: many(250))
    sign_in(page, ADMIN, '/clients?page=3')
    expect(page.get_by_role('status')).to_have_text('201–250 of 250')
    page.get_by_role('button', name='Previous page').click()
    expect(page.get_by_role('status')).to_have_text('101–200 of 250')
    page.get_by_role('button', name='First page').click()
    expect(page.get_by_role('status')).to_have_text('1–100 of 250')
    expect(page.get_by_role('button', name='Previous page')).to_be_disabled()
    page.get_by_role('button', name='Deactivated').click()
    expect(names(page)).to_have_text(['Bot-0007'])
    expect(page.get_by_role('row').filter(has_text='Bot-0007').get_by_text('Deactivated')).to_be_attached()
    expect(page).to_have_url(re.compile(r'\?state=deactivated$'))
    page.go_back()
    expect(page.get_by_role('status')).to_have_text('1–100 of 250')


def test_a_double_click_creates_one_client(page: Page, server: Server):
    sign_in(page, ADMIN, '/clients')
    page.get_by_role('button', name='+ New Client').first.click()
    dialog = page.get_by_role('dialog', name='New client')
    dialog.get_by_label('Name').fill('once')
    dialog.get_by_role('button', name='Create').dblclick()
    expect(page.get_by_role('heading', name='once', level=1)).to_be_visible()
    assert [client['name'] for client in server.json('client', 'list')] == ['once']


def test_a_double_click_opens_one_dialog_which_stays(page: Page, server: Server):
    sign_in(page, ADMIN, '/clients')
    opener, dialog = page.get_by_role('button', name='+ New Client').first, page.get_by_role('dialog')
    box = opener.bounding_box()
    opener.dblclick()
    name = dialog.get_by_label('Name')
    expect(name).to_be_focused()
    page.keyboard.press('Escape')
    expect(dialog).to_have_count(0)

    opener.click()
    expect(name).to_be_focused()
    page.keyboard.type('a little ')
    page.mouse.click(box['x'] + box['width'] / 2, box['y'] + box['height'] / 2)
    page.keyboard.type('later')
    expect(name).to_have_value('a little later')
    page.keyboard.press('Enter')
    expect(page.get_by_role('heading', name='a little later', level=1)).to_be_visible()


def test_what_a_command_changes_is_shown_and_names_are_never_html(page: Page, server: Server):
    server.json('client', 'create', 'first')
    sign_in(page, ADMIN, '/clients')
    expect(names(page)).to_have_text(['first'])
    nasty = '<img src=x onerror=alert(1)>'
    server.json('client', 'create', 'second')
    expect(names(page)).to_have_text(['first', 'second'])
    change(server, lambda: models.Account.update(name=nasty).where(models.Account.handle == 'first').execute())
    expect(names(page)).to_have_text([nasty, 'second'])
    assert page.locator('img[src="x"]').count() == 0
    server.json('client', 'deactivate', 'second')
    expect(page.get_by_role('row').filter(has_text='second').get_by_text('Deactivated')).to_be_attached()


def test_what_a_command_changes_is_shown_within_a_second(page: Page, server: Server):
    sign_in(page, ADMIN, '/clients')
    database = Database(server.database_url)
    numbers = count(1)

    def create() -> str:
        number = next(numbers)
        database.write_now(factories.client, f'bot-{number}', factories.settings())
        return str(number)

    try:
        assert_shown_within_a_second(card(page, 'Total Clients'), create)
    finally:
        database.close()


def test_without_clients_an_admin_is_told_how_to_begin_and_everybody_else_whom_to_ask(page: Page, server: Server):
    sign_in(page, ADMIN, '/clients')
    none = page.locator('.empty').filter(has=page.get_by_role('heading', name='No clients yet'))
    expect(none).to_contain_text('make one, hand it to a manager, give it a key')
    expect(page.get_by_text('No client matches')).to_be_hidden()
    note = page.get_by_role('note')
    expect(note.get_by_role('link', name='help@example.org')).to_have_attribute('href', 'mailto:help@example.org')
    none.get_by_role('button', name='+ New Client').click()
    expect(page.get_by_role('dialog', name='New client')).to_be_visible()
    page.keyboard.press('Escape')
    note.get_by_role('link', name='Read how they work').click()
    expect(page).to_have_url(re.compile('/help/clients$'))
    expect(page.get_by_role('heading', name='Clients', level=1)).to_be_visible()
    sign_out(page)
    # Who manages no client is no manager: there is no empty list for them, but an explanation.
    sign_in(page, MANAGER, '/clients')
    expect(page.get_by_role('main')).to_contain_text('You do not manage any client')
    expect(page.get_by_text('No clients yet')).to_have_count(0)
    expect(page.get_by_role('button', name='+ New Client')).to_have_count(0)


def test_a_manager_sees_only_theirs_and_nothing_once_the_role_is_gone(page: Page, server: Server):
    for name in ('theirs', 'others'):
        server.json('client', 'create', name)
    server.json('manager', 'add', 'theirs', 'manager@example.org')
    sign_in(page, MANAGER, '/clients?q=the')
    expect(names(page)).to_have_text(['theirs'])
    expect(card(page, 'Total Clients')).to_have_text('1')
    assert 'others' not in page.content()
    server.json('manager', 'remove', 'theirs', 'manager@example.org')
    expect(page.get_by_role('alert')).to_contain_text('cannot see the clients any more')
    expect(names(page)).to_have_count(0)
    # The role comes back.
    server.json('manager', 'add', 'theirs', 'manager@example.org')
    page.get_by_role('link', name='Try again').click()
    expect(names(page)).to_have_text(['theirs'])
    expect(page).to_have_url(re.compile(r'/clients\?q=the$'))


def test_who_loses_the_admin_role_is_refused_at_the_next_action(page: Page, server: Server):
    sign_in(page, ADMIN, '/clients')
    page.get_by_role('button', name='+ New Client').first.click()
    dialog = page.get_by_role('dialog', name='New client')
    dialog.get_by_label('Name').fill('too-late')
    text = server.configuration.read_text().replace('admins: [admin@example.org]', 'admins: [somebody@example.org]')
    server.configuration.write_text(text)
    expect(page.get_by_role('alert')).to_contain_text('cannot see the clients any more')
    assert server.json('client', 'list') == []


def test_the_keyboard_alone_opens_a_client(page: Page, server: Server):
    server.json('client', 'create', 'by-keyboard')
    sign_in(page, ADMIN, '/clients')
    expect(names(page)).to_have_text(['by-keyboard'])
    page.locator('.ag-center-cols-container [col-id="name"]').click(position={'x': 2, 'y': 2})
    page.keyboard.press('Enter')
    expect(page.get_by_role('heading', name='by-keyboard', level=1)).to_be_visible()


def test_a_name_that_cannot_be_is_told_at_the_field_with_the_text_kept(page: Page, server: Server):
    server.json('client', 'create', 'already')
    sign_in(page, ADMIN, '/clients')
    page.get_by_role('button', name='+ New Client').first.click()
    dialog = page.get_by_role('dialog', name='New client')
    field = dialog.get_by_role('textbox', name='Name', exact=True)
    expect(field).to_be_focused()
    for typed, said in (
        ('', 'Enter a name.'),
        ('x' * 65, 'at most 64 characters'),
        ('ALREADY', 'already a client named'),
        ('default', 'is what the configuration calls'),
        ('ärger', 'starts with a letter'),
        ('-x', 'starts with a letter'),
        ('a/b', '"/" is none'),
    ):
        field.fill(typed)
        field.press('Enter')
        expect(dialog.get_by_role('alert')).to_contain_text(said)
        expect(field).to_have_value(typed)
        field.fill('b')
        expect(dialog.get_by_role('alert')).to_have_count(0)
    page.keyboard.press('Escape')
    expect(dialog).to_be_hidden()
    assert len(server.json('client', 'list')) == 1


def test_enter_twice_creates_one_client(page: Page, server: Server):
    sign_in(page, ADMIN, '/clients')
    page.get_by_role('button', name='+ New Client').first.click()
    field = page.get_by_role('textbox', name='Name', exact=True)
    field.fill('once-only')
    field.press('Enter')
    page.keyboard.press('Enter')
    expect(page.get_by_role('heading', name='once-only', level=1)).to_be_visible()
    assert [client['name'] for client in server.json('client', 'list')] == ['once-only']


def test_of_two_admins_who_create_the_same_name_one_reads_why_not(page: Page, server: Server):
    sign_in(page, ADMIN, '/clients')
    other = page.context.new_page()
    other.goto('/clients')
    for tab in (page, other):
        tab.get_by_role('button', name='+ New Client').first.click()
        tab.get_by_role('textbox', name='Name', exact=True).fill('wanted-by-two')
    for tab in (page, other):
        tab.keyboard.press('Enter')
    expect(page.get_by_role('heading', name='wanted-by-two', level=1)).to_be_visible()
    expect(other.get_by_role('dialog').get_by_role('alert')).to_contain_text('already a client named "wanted-by-two"')
    assert [client['name'] for client in server.json('client', 'list')] == ['wanted-by-two']


def test_behind_the_last_page_comes_the_last_page(page: Page, server: Server):
    server.json('client', 'create', 'only-one')
    sign_in(page, ADMIN, '/clients?page=9')
    expect(page.get_by_role('link', name='only-one')).to_be_visible()
    expect(page).to_have_url(re.compile(r'/clients$'))
    expect(page.get_by_text('1–1 of 1')).to_be_visible()


def test_figures_move_without_disturbing_what_is_typed_or_read(page: Page, server: Server):
    key = server.new_key('busy-bot')
    sign_in(page, ADMIN, '/clients')
    expect(page.get_by_role('link', name='busy-bot')).to_be_visible()
    row = page.evaluate_handle('document.querySelector(".ag-row")')
    page.get_by_role('button', name='+ New Client').first.click()
    field = page.get_by_role('textbox', name='Name', exact=True)
    field.press_sequentially('half-ty')
    call(server, key)
    expect(card(page, 'Total Requests')).to_have_text('1')
    field.press_sequentially('ped')
    expect(field).to_have_value('half-typed')
    expect(field).to_be_focused()
    assert page.evaluate('(row) => row === document.querySelector(".ag-row")', row)


def test_no_page_scrolls_sideways_from_a_telephone_to_4k(page: Page, server: Server):
    client_id = server.json('client', 'create', 'wide-bot')['id']
    sign_in(page, ADMIN, '/clients')
    expect(page.get_by_role('link', name='wide-bot')).to_be_attached()
    for opened, then in ((375, (320,)), (1440, (768, 3840))):
        for address in ('/clients', f'/clients/{client_id}', '/help/configuring-clients', '/nothing'):
            page.set_viewport_size({'width': opened, 'height': 1000})
            page.goto(address)
            expect(page.locator('.frame-footer')).to_be_visible()
            for width in (opened, *then):
                page.set_viewport_size({'width': width, 'height': 1000})
                page.wait_for_function('(width) => innerWidth === width', arg=width)
                assert page.evaluate('document.documentElement.scrollWidth <= innerWidth'), (address, width)
                # Nor has one to scroll to read what was done.
                histories = '[...document.querySelectorAll(".history")]'
                assert page.evaluate(f'{histories}.every((it) => it.scrollWidth <= it.clientWidth)'), width


def test_nothing_moves_for_those_who_asked_for_no_motion(browser: Browser, server: Server):
    longest = []
    for page in (
        browser.new_page(base_url=server.address, reduced_motion='reduce'),
        browser.new_page(base_url=server.address, reduced_motion='no-preference'),
    ):
        sign_in(page, ADMIN, '/clients')
        page.get_by_role('button', name='+ New Client').first.wait_for()
        durations = page.evaluate(
            '[...document.querySelectorAll("*")].map((it) => parseFloat(getComputedStyle(it).transitionDuration))'
        )
        longest.append(max(durations))
        page.close()
    assert longest[0] < 0.001
    assert longest[1] > 0.1
