"""The journeys by keyboard alone: nothing here touches a mouse, and what has the focus can be seen to have it."""

from __future__ import annotations

import re

import openai
from playwright.sync_api import Page, expect

from tests.e2e.serving import Server
from tests.e2e.visiting import card

STEPS = 80
FOCUSED = """() => {
    const element = document.activeElement;
    const style = getComputedStyle(element);
    const box = element.getBoundingClientRect();
    const words = element.cloneNode(true);
    words.querySelectorAll('.q-icon, script, style').forEach((part) => part.remove());
    return {
        isPage: element === document.body,
        name: element.getAttribute('aria-label') || element.labels?.[0]?.textContent
            || words.textContent.trim().slice(0, 80),
        seen: style.outlineStyle !== 'none' || style.boxShadow !== 'none'
            || !!element.closest('.q-field--focused, .q-focusable, .q-btn, .q-item, .ag-root, .q-toggle, .q-checkbox'),
        placed: box.width > 0 && box.height > 0,
    };
}"""

SETTLED = """() => !document.querySelector('.q-dialog') || document.activeElement.closest('.q-dialog')"""
"""A dialog has taken the focus, or is gone and has given it back."""


def tab_to(page: Page, name: str, *, key: str = 'Tab') -> None:
    """Press Tab until the focus is on what a person calls `name`. Each stop on the way must be visible as one."""
    met = []
    page.wait_for_function(SETTLED)
    for _ in range(STEPS):
        page.keyboard.press(key)
        focused = page.evaluate(FOCUSED)
        if focused['isPage']:
            continue  # the browser's own controls come between the last one of the page and its first
        met.append(focused['name'])
        assert focused['seen'], f'nobody sees where the focus is: {focused["name"]!r}'
        assert focused['placed'], f'the focus is on something that is not there: {focused["name"]!r}'
        if re.search(rf'(^|\b){re.escape(name)}', focused['name']):
            return
    raise AssertionError(f'{name!r} cannot be reached; the focus went over {met}')


def press(page: Page, name: str) -> None:
    tab_to(page, name)
    page.keyboard.press('Enter')


def sign_in(page: Page, name: str) -> None:
    page.goto('/')
    press(page, name)
    expect(page.get_by_role('button', name='your account')).to_be_visible()


def test_an_admin_creates_a_client_and_hands_it_over(page: Page):
    sign_in(page, 'Ada Admin')
    expect(page.get_by_role('heading', name='Clients', exact=True)).to_be_visible()
    press(page, '+ New Client')
    expect(page.get_by_role('textbox', name='Name', exact=True)).to_be_focused()
    page.keyboard.type('default')
    page.keyboard.press('Enter')
    expect(page.get_by_role('dialog').get_by_role('alert')).to_contain_text('is what the configuration calls')
    expect(page.get_by_role('textbox', name='Name', exact=True)).to_be_focused()
    page.keyboard.press('Control+A')
    page.keyboard.type('Research Bot')
    page.keyboard.press('Enter')
    expect(page.get_by_role('heading', name='Research Bot')).to_be_visible()

    press(page, 'Add manager')
    expect(page.get_by_role('combobox', name='Name or e-mail address')).to_be_focused()
    page.keyboard.type('manager@example.org')
    page.keyboard.press('Enter')
    managers = page.get_by_role('region', name='Managers')
    expect(managers.get_by_role('row').filter(has_text='manager@example.org')).to_contain_text('Owner')
    expect(page.get_by_role('dialog')).to_have_count(0)


def test_a_dialog_keeps_the_focus_and_gives_it_back(page: Page, server: Server):
    server.json('client', 'create', 'bot')
    sign_in(page, 'Ada Admin')
    press(page, '+ New Client')
    expect(page.get_by_role('textbox', name='Name', exact=True)).to_be_focused()
    for _ in range(8):
        page.keyboard.press('Tab')  # after the last control comes the browser's own, and then the dialog again
        assert page.evaluate('document.activeElement.matches("body, .q-dialog, .q-dialog *")')
    page.keyboard.press('Escape')
    expect(page.get_by_role('dialog')).to_have_count(0)
    expect(page.get_by_role('button', name='+ New Client')).to_be_focused()


def test_a_manager_makes_a_key_calls_a_model_and_sees_it_counted(page: Page, server: Server):
    server.json('client', 'create', 'research-bot')
    server.json('manager', 'add', 'research-bot', 'manager@example.org')
    sign_in(page, 'Max Manager')
    expect(page.get_by_role('link', name='research-bot')).to_be_visible()
    # Into the grid, which is one stop, and from its header down to the first row.
    tab_to(page, 'Name')
    page.keyboard.press('ArrowDown')
    page.keyboard.press('Enter')
    expect(page.get_by_role('heading', name='research-bot')).to_be_visible()

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

    tab_to(page, 'Revoke laptop')
    page.keyboard.press('Enter')
    expect(page.get_by_role('dialog', name='Revoke "laptop"?')).to_be_visible()
    press(page, 'Revoke')
    expect(page.get_by_text('Key "laptop" revoked')).to_be_visible()


def test_a_plain_user_reads_why_there_are_no_clients(page: Page):
    sign_in(page, 'Uma User')
    expect(page.get_by_role('navigation', name='Main').get_by_role('link', name='Clients')).to_have_count(0)
    page.goto('/clients')
    press(page, 'Read more about clients')
    expect(page).to_have_url(re.compile('/help/clients$'))


def test_one_signs_out_by_keyboard(page: Page):
    sign_in(page, 'Ada Admin')
    tab_to(page, 'Ada Admin: your account')
    page.keyboard.press('Enter')
    page.wait_for_function('document.activeElement.closest(".q-menu")')
    press(page, 'Sign out')
    expect(page.get_by_text('Sign in as')).to_be_visible()
