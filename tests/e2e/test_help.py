"""Help in a real browser: found from the pages that it explains, in the right colours, with links that work."""

from __future__ import annotations

import re

import httpx2
import pytest
from playwright.sync_api import Page, expect

from lumen.identity.sessions import COOKIE
from lumen_ui.components.help_link import TOPICS
from tests.e2e.serving import Server
from tests.e2e.visiting import ADMIN, MANAGER, USER, sign_in

PAGES = ['/help', *(f'/help/{topic}' for topic in TOPICS)]


@pytest.fixture(scope='module')
def server(served_once: Server) -> Server:
    served_once.json('client', 'create', 'bot')
    served_once.json('manager', 'add', 'bot', 'manager@example.org')
    return served_once


def links(page: Page) -> set[str]:
    """Every address of this site that the page links to, pictures included."""
    found = page.eval_on_selector_all('a[href], img[src]', 'all => all.map(one => one.getAttribute("href") ?? one.src)')
    origin = page.evaluate('location.origin')
    return {link.removeprefix(origin) for link in found if link.startswith(('/', origin))}


def test_every_link_in_the_help_leads_somewhere_for_whoever_reads_it(page: Page, server: Server):
    sign_in(page, USER, '/help')
    found: dict[str, str] = {}
    for address in PAGES:
        page.goto(address)
        expect(page.locator('.help-text h1')).to_be_visible()
        found |= dict.fromkeys(links(page), address)
    assert len(found) > 20
    for who in (USER, MANAGER, ADMIN):
        sign_in(page, who)
        cookies = {str(cookie.get('name')): str(cookie.get('value')) for cookie in page.context.cookies()}
        assert COOKIE in cookies
        with httpx2.Client(base_url=server.address, cookies=cookies, follow_redirects=True) as client:
            answers = {link: client.get(link).status_code for link in found}
        assert {link: (status, found[link]) for link, status in answers.items() if status != 200} == {}


def test_the_pages_lead_to_the_help_that_explains_them(page: Page, server: Server):
    sign_in(page, ADMIN, '/clients')
    page.get_by_role('link', name='Read how they work').click()
    expect(page.get_by_role('heading', name='Clients', level=1)).to_be_visible()
    client_id = server.json('client', 'show', 'bot')['id']
    page.goto(f'/clients/{client_id}')
    for part, topic in (
        ('Managers', 'clients'),
        ('API keys', 'api'),
        ('Model access', 'configuring-clients'),
        ('Coin Refill', 'coins'),
        ('Coin Pool', 'coins'),
    ):
        heading = page.locator('.with-help').filter(has=page.get_by_role('heading', name=part, exact=True))
        mark = heading.get_by_role('link', name=f'Help: {TOPICS[topic]}', exact=True)
        expect(mark).to_have_attribute('href', f'/help/{topic}')
    mark.click()
    expect(page.get_by_role('heading', name='Coins', level=1)).to_be_visible()


def test_who_may_not_see_clients_is_led_to_what_they_are(page: Page, server: Server):
    sign_in(page, USER, '/clients')
    page.get_by_role('link', name='Read more about clients').click()
    expect(page).to_have_url(re.compile('/help/clients$'))
    expect(page.get_by_role('heading', name='Clients', level=1)).to_be_visible()


def test_the_overview_leads_to_every_topic(page: Page, server: Server):
    sign_in(page, USER, '/')
    expect(page.get_by_role('heading', name='Help', level=1)).to_be_visible()
    topics = page.get_by_role('navigation', name='Help topics')
    expect(topics.get_by_role('link', name='Overview')).to_have_attribute('aria-current', 'page')
    for title in TOPICS.values():
        expect(page.locator('.help-text').get_by_role('link', name=title, exact=True).first).to_be_visible()
    for title in TOPICS.values():
        topics.get_by_role('link', name=title, exact=True).click()
        expect(page.get_by_role('heading', name=title, level=1)).to_be_visible()
        expect(topics.get_by_role('link', name=title, exact=True)).to_have_attribute('aria-current', 'page')
    topics.get_by_role('link', name='Overview').click()
    expect(page.get_by_role('heading', name='Help', level=1)).to_be_visible()


def test_pictures_are_light_on_light_pages_and_dark_on_dark_ones(page: Page, server: Server):
    sign_in(page, USER, '/help/clients')
    light, dark = page.locator('.only-light img').first, page.locator('.only-dark img').first
    expect(light).to_be_visible()
    expect(dark).to_be_hidden()
    assert light.evaluate('image => image.decode().then(() => image.naturalWidth)') > 500
    page.get_by_role('button', name='your account').click()
    page.get_by_role('button', name='Dark').click()
    expect(dark).to_be_visible()
    expect(light).to_be_hidden()
    expect(page.get_by_role('img', name='The Clients page')).to_have_count(1)


def test_examples_name_the_address_of_this_very_site(page: Page, server: Server):
    sign_in(page, USER, '/help/api')
    expect(page.locator('.help-text pre').first).to_contain_text(f"base_url='{server.address}/v1'")
    expect(page.locator('.help-text')).not_to_contain_text('this-site')
