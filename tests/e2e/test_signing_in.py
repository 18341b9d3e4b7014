"""Signing in and out, and what a page's socket and forms refuse."""

from __future__ import annotations

import re
from typing import Any

import httpx2
import pytest
from playwright.sync_api import Page, expect

from tests.conftest import wait_until
from tests.e2e.serving import Server
from tests.e2e.visiting import ADMIN, USER, sign_in_by_hand, sign_out

FORM = {'email': 'admin@example.org', 'next': '/clients?sort=spent'}


def post(server: Server, form: dict[str, str] = FORM, **headers: str) -> Any:
    sent = {'origin': server.address} | {name.replace('_', '-'): value for name, value in headers.items()}
    return httpx2.post(f'{server.address}/sign-in/dev', data=form, headers=sent)


def test_a_session_cookie_is_for_the_server_alone(server: Server):
    response = post(server)
    assert (response.status_code, response.headers['location']) == (303, '/clients?sort=spent')
    cookie = response.headers['set-cookie']
    for attribute in ('lumen_session=', 'HttpOnly', 'SameSite=lax', 'Path=/'):
        assert attribute in cookie


def test_behind_a_trusted_proxy_that_says_https_the_cookie_is_secure_and_of_this_host(server: Server):
    def signs_out(**headers: str) -> str:
        sent = {'origin': 'https://lumen.example.org', 'host': 'lumen.example.org'} | headers
        answer = httpx2.post(f'{server.address}/sign-out', headers=sent)
        assert answer.status_code == 303
        return str(answer.headers['set-cookie'])

    assert 'Secure' not in signs_out(**{'x-forwarded-proto': 'https'})
    text = server.configuration.read_text()
    server.configuration.write_text(text.replace('app:', 'app:\n  trusted_proxies: [127.0.0.1]', 1))
    wait_until(lambda: 'Secure' in signs_out(**{'x-forwarded-proto': 'https'}))
    secure = signs_out(**{'x-forwarded-proto': 'https'})
    assert secure.startswith('__Host-lumen_session=')
    for attribute in ('HttpOnly', 'SameSite=lax', 'Path=/'):
        assert attribute in secure
    assert 'Secure' not in signs_out()


def test_dev_users_sign_in_from_this_machine_and_this_site_only(server: Server):
    assert post(server, origin='https://evil.example').status_code == 403
    assert post(server, sec_fetch_site='cross-site').status_code == 403
    assert post(server, x_forwarded_for='127.0.0.1').status_code == 403
    assert post(server, host='lumen.example.org', origin='http://lumen.example.org').status_code == 403
    without = httpx2.post(f'{server.address}/sign-in/dev', data=FORM)
    assert without.status_code == 403
    stranger = post(server, {'email': 'eve@example.org', 'next': '/'})
    assert stranger.headers['location'].startswith('/sign-in?problem=')
    assert 'set-cookie' not in stranger.headers


@pytest.mark.parametrize(
    'address', ['//evil.example', 'https://evil.example', '/\\evil.example', 'javascript:alert(1)', '/\t/evil', 'x']
)
def test_the_way_back_stays_on_this_site(server: Server, address: str):
    assert post(server, FORM | {'next': address}).headers['location'] == '/'


def test_pages_carry_their_security_headers_and_nothing_comes_from_elsewhere(server: Server):
    response = httpx2.get(f'{server.address}/sign-in')
    assert "frame-ancestors 'none'" in response.headers['content-security-policy']
    assert response.headers['x-content-type-options'] == 'nosniff'
    assert not re.search(r'(?:src|href)="(?:https?:)?//(?!127\.0\.0\.1)', response.text.split('frame-footer')[0])


def test_where_one_wanted_to_go_is_kept(page: Page, server: Server):
    sign_in_by_hand(page, ADMIN, '/clients?sort=spent&dir=desc')
    expect(page).to_have_url(re.compile(r'/clients\?sort=spent&dir=desc$'))


def test_signing_out_ends_the_session_in_all_its_tabs(page: Page, server: Server):
    sign_in_by_hand(page, ADMIN, '/')
    expect(page.get_by_role('heading', name='Clients', level=1)).to_be_visible()
    other = page.context.new_page()
    other.goto('/clients')
    expect(other.get_by_role('heading', name='Clients', level=1)).to_be_visible()
    cookies = {str(cookie.get('name')): str(cookie.get('value')) for cookie in page.context.cookies()}
    sign_out(page)
    expect(other).to_have_url(re.compile('/sign-in'))
    replayed = httpx2.get(f'{server.address}/clients', cookies=cookies)
    assert replayed.status_code == 303


def test_an_announcement_stays_dismissed_until_its_text_changes(page: Page, server: Server):
    page.goto('/sign-in')
    expect(page.get_by_role('heading', name='Lumen', level=1)).to_be_visible()
    expect(page.get_by_text('Welcome to the test')).to_be_visible()
    page.get_by_role('button', name='Dismiss announcement').click()
    expect(page.get_by_text('Welcome to the test')).to_be_hidden()
    page.reload()
    expect(page.get_by_role('heading', name='Lumen', level=1)).to_be_visible()
    expect(page.get_by_text('Welcome to the test')).to_have_count(0)
    server.json('client', 'create', 'bot')
    sign_in_by_hand(page, ADMIN, '/')
    for address, heading in (('/clients', 'Clients'), ('/clients/1', 'bot'), ('/help', 'Help'), ('/x', 'nothing here')):
        page.goto(address)
        expect(page.get_by_role('heading', name=heading, level=1)).to_be_visible()
        expect(page.get_by_text('Welcome to the test')).to_have_count(0)
    text = server.configuration.read_text().replace('Welcome to the test', 'Maintenance on Friday')
    server.configuration.write_text(text)
    for _ in range(50):
        page.reload()
        if page.get_by_text('Maintenance on Friday').count():
            break
    expect(page.get_by_text('Maintenance on Friday')).to_be_visible()


def test_light_and_dark_are_remembered(page: Page, server: Server):
    page.goto('/sign-in')
    page.get_by_role('button', name='Dark').click()
    expect(page.locator('body')).to_have_class(re.compile('body--dark'))
    page.reload()
    expect(page.locator('body')).to_have_class(re.compile('body--dark'))
    page.get_by_role('button', name='Light').click()
    expect(page.locator('body')).not_to_have_class(re.compile('body--dark'))


def test_footer_and_help_are_there(page: Page, server: Server):
    sign_in_by_hand(page, USER, '/help/coins')
    expect(page.get_by_role('heading', name='Coins', level=1)).to_be_visible()
    footer = page.get_by_role('contentinfo').or_(page.locator('footer')).first
    expect(footer.get_by_role('link', name='Partners')).to_have_attribute('href', 'https://partners.example.org')
    missing = page.goto('/help/nothing')
    assert missing is not None
    assert missing.status == 404
