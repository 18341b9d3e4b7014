"""The content security policy in a real browser: pages need no more than it allows, and planted scripts get nothing."""

from __future__ import annotations

import re

import httpx2
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.e2e.serving import Server
from tests.e2e.visiting import ADMIN, sign_in

LISTEN = 'addEventListener("securitypolicyviolation", (event) => console.error("refused:", event.violatedDirective))'


@pytest.fixture
def server(served_once: Server) -> Server:
    return served_once


def test_no_page_needs_more_than_the_policy_allows(page: Page, server: Server):
    """The fixture fails when anything is in the console at the end."""
    page.add_init_script(LISTEN)
    server.json('client', 'create', 'bot')
    server.json('manager', 'add', 'bot', 'manager@example.org')
    sign_in(page, ADMIN, '/clients')
    expect(page.get_by_role('link', name='bot', exact=True)).to_be_visible()
    page.get_by_role('columnheader', name='Coins').click()
    page.get_by_role('button', name='+ New Client').first.click()
    page.get_by_role('dialog').get_by_role('button', name='Cancel').click()
    page.get_by_role('link', name='bot', exact=True).click()
    page.get_by_role('button', name='New key').click()
    page.get_by_role('textbox', name='Name', exact=True).fill('laptop')
    page.get_by_role('button', name='Create').click()
    page.get_by_role('button', name='Copy API key').click()
    page.get_by_role('button', name='I have stored the key').click()
    page.get_by_role('button', name='your account').click()
    page.get_by_role('button', name='Dark').click()
    for path in ('/help', '/help/api', '/help/coins', '/nothing'):
        page.goto(path)
        expect(page.get_by_role('heading', level=1)).to_be_visible()


def test_a_script_that_somebody_plants_does_not_run(browser: Browser, server: Server):
    """What would have to go wrong first: text that reaches the page as HTML."""
    page = browser.new_page(base_url=server.address)
    page.goto('/sign-in')
    expect(page.get_by_role('heading', name='Lumen', level=1)).to_be_visible()
    refused = page.evaluate(
        """async () => {
            const refused = [];
            const done = new Promise((resolve) => addEventListener('securitypolicyviolation', (event) => {
                refused.push(event.violatedDirective);
                if (refused.length === 5) resolve();
            }));
            const add = (name, more) => document.body.append(Object.assign(document.createElement(name), more));
            add('script', { textContent: 'window.ran = 1' });
            add('script', { src: 'https://evil.example/x.js' });
            add('style', { textContent: 'body { display: none }' });
            add('div', { innerHTML: '<img src="data:," onerror="window.ran = 1">' });
            await fetch('https://evil.example/').catch(() => undefined);
            await done;
            return refused.sort();
        }"""
    )
    assert refused == ['connect-src', 'script-src-attr', 'script-src-elem', 'script-src-elem', 'style-src-elem']
    assert page.evaluate('window.ran') is None
    assert page.locator('body').is_visible()
    page.close()


def test_every_inline_script_and_style_of_a_page_carries_its_nonce(server: Server):
    for path in ('/sign-in', '/nothing'):
        answer = httpx2.get(server.address + path)
        nonce = re.search(r"'nonce-([\w-]{22})'", answer.headers['content-security-policy'])
        assert nonce
        inline = re.findall(r'<(?:script(?![^>]*\bsrc=)|style)[^>]*>', answer.text.partition('String.raw')[0])
        assert len(inline) > 4
        assert [element for element in inline if f'nonce="{nonce[1]}"' not in element.replace("'", '"')] == []
        assert httpx2.get(server.address + path).headers['content-security-policy'].find(nonce[1]) == -1
