"""The main job, from sign-in to the figure that moves: with a real browser, a real server and the real SDK."""

from __future__ import annotations

import re

import openai
from playwright.sync_api import Page, expect

from tests.e2e.serving import Server
from tests.e2e.visiting import ADMIN, MANAGER, USER, card, sign_in_by_hand, sign_out

WITHIN_2_SECONDS = 2_000


def test_an_admin_creates_a_client_and_hands_it_over(page: Page):
    sign_in_by_hand(page, ADMIN)
    page.get_by_role('navigation', name='Main').get_by_role('link', name='Clients').click()
    expect(page.get_by_role('heading', name='Clients', exact=True)).to_be_visible()
    expect(page.get_by_text('Clients are an advanced feature')).to_be_visible()

    page.get_by_role('button', name='+ New Client').first.click()
    field = page.get_by_role('textbox', name='Name', exact=True)
    field.fill('default')
    field.press('Enter')
    expect(page.get_by_role('dialog').get_by_role('alert')).to_contain_text('is what the configuration calls')
    expect(field).to_have_value('default')
    field.fill('Research Bot')
    field.press('Enter')

    expect(page.get_by_role('heading', name='Research Bot')).to_be_visible()
    expect(page).to_have_url(re.compile(r'/clients/\d+$'))
    expect(page.get_by_text('Client "Research Bot" created')).to_be_visible()
    expect(card(page, 'Coin Pool')).to_have_text('100.00')

    page.get_by_role('button', name='Add manager').click()
    page.get_by_label('Name or e-mail address').fill('manager@example.org')
    page.get_by_role('button', name='Add', exact=True).click()
    row = page.get_by_role('region', name='Managers').get_by_role('row').filter(has_text='manager@example.org')
    expect(row).to_contain_text('Owner')
    sign_out(page)

    # Whoever it was handed to finds it, and may hand it on.
    sign_in_by_hand(page, MANAGER, '/clients')
    page.get_by_role('link', name='Research Bot').click()
    expect(page.get_by_role('heading', name='Research Bot')).to_be_visible()
    expect(page.get_by_role('button', name='Add manager')).to_be_visible()


def test_a_manager_makes_a_key_calls_a_model_and_sees_it_counted(page: Page, server: Server):
    server.json('client', 'create', 'research-bot')
    server.json('manager', 'add', 'research-bot', 'manager@example.org')
    sign_in_by_hand(page, MANAGER, '/clients')
    expect(page.get_by_role('button', name='+ New Client')).to_have_count(0)
    page.get_by_role('link', name='research-bot').click()
    expect(card(page, 'Total Tokens Used')).to_have_text('0')

    page.get_by_role('button', name='New key').click()
    page.get_by_role('textbox', name='Name', exact=True).fill('laptop')
    page.get_by_role('button', name='Create').click()
    key = page.locator('.secret-key').inner_text()
    page.get_by_role('button', name='I have stored the key').click()
    laptop = page.get_by_role('region', name='API keys').get_by_role('row').filter(has_text='laptop')
    expect(laptop).to_contain_text('Active')
    expect(page.locator('body')).not_to_contain_text(key)

    with openai.OpenAI(base_url=f'{server.address}/v1', api_key=key, max_retries=0) as client:
        answer = client.chat.completions.create(model='echo', messages=[{'role': 'user', 'content': 'Hello, Lumen!'}])
    assert answer.choices[0].message.content == 'Hello, Lumen!'
    tokens = f'{answer.usage.total_tokens:,}'
    expect(card(page, 'Total Tokens Used')).to_have_text(tokens, timeout=WITHIN_2_SECONDS)
    expect(card(page, 'Coins Spent')).to_have_text(re.compile(r'0\.0[1-9]'))
    expect(laptop).to_contain_text(tokens)

    page.goto('/clients')
    expect(card(page, 'Total Requests')).to_have_text('1')
    expect(card(page, 'Total Tokens Used')).to_have_text(tokens)
    with openai.OpenAI(base_url=f'{server.address}/v1', api_key=key, max_retries=0) as client:
        stream = client.chat.completions.create(
            model='echo', messages=[{'role': 'user', 'content': 'Hello again!'}], stream=True
        )
        assert ''.join(chunk.choices[0].delta.content or '' for chunk in stream) == 'Hello again!'
    expect(card(page, 'Total Requests')).to_have_text('2', timeout=WITHIN_2_SECONDS)


def test_a_plain_user_finds_no_clients_and_gets_the_explanation_by_address(page: Page):
    sign_in_by_hand(page, USER)
    navigation = page.get_by_role('navigation', name='Main')
    expect(navigation.get_by_role('link', name='Help')).to_be_visible()
    expect(navigation.get_by_role('link', name='Clients')).to_have_count(0)

    response = page.goto('/clients')
    assert response is not None
    assert response.status == 403
    expect(page.get_by_role('heading', name='Clients are for services and automated tools')).to_be_visible()
    expect(page.get_by_role('main').get_by_role('link', name='help@example.org')).to_be_visible()
    response = page.goto('/clients/1')
    assert response is not None
    assert response.status == 404


def test_what_a_command_changes_shows_on_an_open_page(page: Page, server: Server):
    server.json('client', 'create', 'first')
    sign_in_by_hand(page, ADMIN, '/clients')
    expect(card(page, 'Total Clients')).to_have_text('1')
    server.json('client', 'create', 'made-by-command')
    expect(page.get_by_role('link', name='made-by-command')).to_be_visible()
    page.get_by_role('link', name='made-by-command').click()
    expect(page.get_by_role('button', name='Deactivate')).to_be_visible()
    server.json('client', 'deactivate', 'made-by-command')
    expect(page.get_by_text('This client is deactivated')).to_be_visible()
