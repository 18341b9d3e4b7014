"""The journeys by keyboard alone: nothing here touches a mouse, and what has the focus can be seen to have it."""

from __future__ import annotations

import re
from collections.abc import Iterator

import openai
import pytest
from playwright.sync_api import Page, expect

from tests.e2e.focus import look_at_focus, press, tab_to
from tests.e2e.serving import Server
from tests.e2e.visiting import card

ASKING = """models:
  - name: asking
    access: allowed
    needs_ack: true
    ack_message: Send it nothing that is secret.
    input_cost_per_million: 0
    output_cost_per_million: 0
    context_window: 8192
    max_output_tokens: 1024
    endpoints: [{url: "builtin:echo"}]
"""


@pytest.fixture(scope='module')
def server(tmp_path_factory: pytest.TempPathFactory, port: int) -> Iterator[Server]:
    """One for all tests of the file: with more clients than a page holds, and a model that asks for something."""
    server = Server(tmp_path_factory.mktemp('keyboard'))
    server.configuration.write_text(server.configuration.read_text().replace('models:\n', ASKING))
    server.json('demo', '--clients', '150', '--requests', '0')
    server.start(port=port)
    yield server
    server.stop()
    assert 'Traceback' not in server.log.read_text()


def sign_in(page: Page, name: str) -> None:
    page.goto('/')
    press(page, name)
    expect(page.get_by_role('button', name='your account')).to_be_visible()


def answer(page: Page, button: str, dialog: str, answer: str) -> None:
    """Press what opens a dialog, and then the dialog's own button."""
    press(page, button)
    expect(page.get_by_role('dialog', name=dialog, exact=True)).to_be_visible()
    press(page, answer)


def test_an_admin_creates_a_client_hands_it_over_and_switches_it_off_and_on(page: Page):
    sign_in(page, 'Ada Admin')
    expect(page.get_by_role('heading', name='Clients', exact=True)).to_be_visible()
    press(page, '+ New Client')
    expect(page.get_by_role('textbox', name='Name', exact=True)).to_be_focused()
    page.keyboard.type('default')
    page.keyboard.press('Enter')
    expect(page.get_by_role('dialog').get_by_role('alert')).to_contain_text('is what the configuration calls')
    expect(page.get_by_role('textbox', name='Name', exact=True)).to_be_focused()
    page.keyboard.press('Control+A')
    page.keyboard.type('Handed Over')
    page.keyboard.press('Enter')
    expect(page.get_by_role('heading', name='Handed Over')).to_be_visible()

    row = page.get_by_role('region', name='Managers').get_by_role('row')
    owner = row.filter(has=page.get_by_text('Owner', exact=True).locator('visible=true'))
    for name in ('first', 'second'):
        press(page, 'Add manager')
        expect(page.get_by_role('combobox', name='Name or e-mail address')).to_be_focused()
        page.keyboard.type(f'{name}@example.org')
        page.keyboard.press('Enter')
        expect(row.filter(has_text=f'{name}@example.org')).to_be_visible()
        expect(page.get_by_role('dialog')).to_have_count(0)
    expect(owner).to_contain_text('first@example.org')
    answer(page, 'Make second the owner', 'Make second the owner?', 'Make owner')
    expect(owner).to_contain_text('second@example.org')
    expect(page.get_by_role('dialog')).to_have_count(0)

    answer(page, 'Deactivate', 'Deactivate "Handed Over"?', 'Deactivate')
    expect(page.get_by_text('This client is deactivated')).to_be_visible()
    expect(page.get_by_role('dialog')).to_have_count(0)
    answer(page, 'Activate', 'Activate "Handed Over"?', 'Activate')
    expect(page.get_by_text('Client "Handed Over" activated')).to_be_visible()
    expect(page.get_by_text('This client is deactivated')).to_be_hidden()


def test_an_admin_sorts_turns_pages_and_filters(page: Page, server: Server):
    newest = server.json('client', 'create', 'the-newest')['name']
    total = len(server.json('client', 'list'))
    sign_in(page, 'Ada Admin')
    expect(page.get_by_role('status')).to_have_text(f'1–100 of {total}')
    first = page.locator('.ag-center-cols-container .name-link').first
    # The grid is one stop, within which the arrows move: what comes after its rows is near.
    tab_to(page, 'Name')
    tab_to(page, 'Created', key='ArrowRight')
    page.keyboard.press('Enter')
    expect(page.get_by_role('columnheader', name='Created')).to_have_attribute('aria-sort', 'descending')
    expect(first).to_have_text(newest)
    page.keyboard.press('Enter')
    expect(page.get_by_role('columnheader', name='Created')).to_have_attribute('aria-sort', 'ascending')
    expect(first).not_to_have_text(newest)

    page.keyboard.press('ArrowDown')
    expect(page.locator('.ag-cell').and_(page.locator(':focus'))).to_be_visible()
    press(page, 'Next page')
    expect(page.get_by_role('status')).to_have_text(f'101–{total} of {total}')
    expect(page).to_have_url(re.compile(r'\?sort=created_at&page=2$'))
    press(page, 'Deactivated')
    expect(page).to_have_url(re.compile(r'\?state=deactivated&sort=created_at$'))
    rows = page.locator('.ag-center-cols-container .ag-row')
    expect(rows.filter(has_text='Deactivated')).not_to_have_count(0)
    expect(rows.filter(has_not_text='Deactivated')).to_have_count(0)


def test_a_dialog_keeps_the_focus_and_gives_it_back(page: Page):
    sign_in(page, 'Ada Admin')
    press(page, '+ New Client')
    expect(page.get_by_role('textbox', name='Name', exact=True)).to_be_focused()
    for _ in range(8):
        page.keyboard.press('Tab')  # after the last control comes the browser's own, and then the dialog again
        assert page.evaluate('document.activeElement.matches("body, .q-dialog, .q-dialog *")')
    page.keyboard.press('Escape')
    expect(page.get_by_role('dialog')).to_have_count(0)
    expect(page.get_by_role('button', name='+ New Client')).to_be_focused()


def test_a_manager_makes_a_key_calls_a_model_sees_it_counted_and_leaves(page: Page, server: Server):
    server.json('client', 'create', 'max-bot')
    server.json('manager', 'add', 'max-bot', 'manager@example.org')
    page.emulate_media(color_scheme='dark')
    sign_in(page, 'Max Manager')
    tab_to(page, 'Search by name')
    page.keyboard.type('max-bot')
    expect(page.get_by_role('status')).to_have_text('1–1 of 1')
    # Into the grid, and from its header down to the first row.
    tab_to(page, 'Name')
    page.keyboard.press('ArrowDown')
    assert look_at_focus(page) == 'max-bot'
    page.keyboard.press('Enter')
    expect(page.get_by_role('heading', name='max-bot')).to_be_visible()

    press(page, 'New key')
    expect(page.get_by_role('textbox', name='Name', exact=True)).to_be_focused()
    page.keyboard.type('laptop')
    page.keyboard.press('Enter')
    key = page.locator('.secret-key').inner_text()
    expect(page.get_by_role('dialog', name='New key')).to_have_count(0)
    press(page, 'I have stored the key')
    expect(page.get_by_role('dialog')).to_have_count(0)
    expect(page.get_by_role('button', name='New key')).to_be_focused()
    with openai.OpenAI(base_url=f'{server.address}/v1', api_key=key, max_retries=0) as client:
        client.chat.completions.create(model='echo', messages=[{'role': 'user', 'content': 'Hello!'}])
    expect(card(page, 'Total Tokens Used')).not_to_have_text('0')

    keys = page.get_by_role('region', name='API keys').get_by_role('row')
    press(page, 'Rotate laptop')
    expect(page.get_by_role('dialog', name='Rotate "laptop"')).to_be_visible()
    tab_to(page, 'The old key works')
    page.keyboard.press('Enter')
    page.keyboard.press('ArrowDown')
    page.keyboard.press('Enter')
    press(page, 'Rotate')
    expect(page.get_by_role('dialog', name='Rotate "laptop"')).to_have_count(0)
    press(page, 'I have stored the key')
    expect(page.get_by_role('dialog')).to_have_count(0)
    expect(keys.filter(has_text='laptop')).to_have_count(2)
    expect(keys.filter(has_text='in 7 days')).to_contain_text(key[-4:])

    answer(page, 'Revoke laptop', 'Revoke "laptop"?', 'Revoke')
    expect(page.get_by_text('Key "laptop" revoked')).to_be_visible()
    expect(keys.filter(has_text='laptop')).to_have_count(1)
    tab_to(page, 'Show revoked')
    page.keyboard.press('Space')
    expect(keys.filter(has_text='Revoked')).to_contain_text('laptop')

    answer(page, 'Acknowledge asking', 'Acknowledge "asking"', 'Acknowledge')
    model = page.get_by_role('region', name='Model access').get_by_role('row').filter(has_text='asking')
    expect(model).to_contain_text('Acknowledged')
    answer(page, 'Leave', 'Leave "max-bot"?', 'Leave')
    expect(page.get_by_text('Max Manager does not manage "max-bot" any more')).to_be_visible()


def test_a_plain_user_reads_why_there_are_no_clients(page: Page):
    sign_in(page, 'Uma User')
    expect(page.get_by_role('navigation', name='Main').get_by_role('link', name='Clients')).to_have_count(0)
    page.goto('/clients')
    press(page, 'Read more about clients')
    expect(page).to_have_url(re.compile('/help/clients$'))
    tab_to(page, 'The Clients page')


def test_one_signs_out_by_keyboard(page: Page):
    sign_in(page, 'Ada Admin')
    tab_to(page, 'Ada Admin: your account')
    page.keyboard.press('Enter')
    page.wait_for_function('document.activeElement.closest(".q-menu")')
    press(page, 'Sign out')
    expect(page.get_by_text('Sign in as')).to_be_visible()
