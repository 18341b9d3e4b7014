"""What a served installation refuses: other sites, too much, too large, and what NiceGUI offers but nobody needs."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import httpx2
import pytest
from playwright.sync_api import Page, expect

from tests.e2e.serving import Server
from tests.e2e.visiting import ADMIN, sign_in

FORM = {'email': 'admin@example.org', 'next': '/'}
POLLING = '/_nicegui_ws/socket.io/?EIO=4&transport=polling'


@pytest.fixture
def server(served_once: Server) -> Server:
    return served_once


def post(server: Server, path: str = '/sign-in/dev', form: dict[str, str] = FORM, **headers: str) -> Any:
    sent = {'origin': server.address} | {name.replace('_', '-'): value for name, value in headers.items()}
    return httpx2.post(f'{server.address}{path}', data=form, headers=sent)


def configure(server: Server, line: str) -> None:
    """Add a line to the section `app`, before the server starts."""
    text = server.configuration.read_text()
    server.configuration.write_text(text.replace('app:\n', f'app:\n  {line}\n'))


def test_what_another_site_sends_changes_nothing(server: Server):
    cookie = post(server).headers['set-cookie'].partition(';')[0]
    for headers in (
        {'sec_fetch_site': 'cross-site'},
        {'sec_fetch_site': 'same-site'},
        {'origin': 'https://evil.example'},
    ):
        assert post(server, '/sign-out', cookie=cookie, **headers).status_code == 403
    assert httpx2.get(f'{server.address}/clients', headers={'cookie': cookie}).status_code == 200
    assert post(server, '/sign-out', cookie=cookie).status_code == 303
    assert httpx2.get(f'{server.address}/clients', headers={'cookie': cookie}).status_code == 303


def test_another_sites_socket_is_refused(page: Page, server: Server):
    for headers in ({'origin': 'https://evil.example'}, {'sec-fetch-site': 'cross-site'}):
        assert httpx2.get(server.address + POLLING, headers=headers).status_code == 403
        upgrade = {'connection': 'Upgrade', 'upgrade': 'websocket', 'sec-websocket-version': '13'}
        key = {'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ=='}
        path = POLLING.replace('polling', 'websocket')
        assert httpx2.get(server.address + path, headers=headers | upgrade | key).status_code == 403
    sign_in(page, ADMIN, '/clients')
    page.get_by_role('button', name='+ New Client').first.click()
    expect(page.get_by_role('dialog')).to_be_visible()


def test_the_api_knows_no_cookie_and_lets_no_other_site_read(server: Server):
    cookie = post(server).headers['set-cookie'].partition(';')[0]
    headers = {'cookie': cookie, 'origin': 'https://evil.example'}
    answer = httpx2.get(f'{server.address}/v1/models', headers=headers)
    assert answer.status_code == 401
    assert not [name for name in answer.headers if name.startswith('access-control')]
    key = server.new_key('bot')
    answer = httpx2.get(f'{server.address}/v1/models', headers={'authorization': f'Bearer {key}'} | headers)
    assert answer.status_code == 200
    assert not [name for name in answer.headers if name.startswith('access-control')]


def test_every_sign_in_makes_a_new_session_and_ends_the_one_before(server: Server):
    planted = post(server, cookie='lumen_session=planted-by-somebody')
    first = planted.headers['set-cookie'].partition(';')[0]
    assert 'planted' not in first
    second = post(server, cookie=first).headers['set-cookie'].partition(';')[0]
    assert second != first
    assert httpx2.get(f'{server.address}/clients', headers={'cookie': first}).status_code == 303
    assert httpx2.get(f'{server.address}/clients', headers={'cookie': second}).status_code == 200


def test_behind_tls_the_cookie_is_bound_to_host_and_tls(installation: Server):
    configure(installation, 'url: https://127.0.0.1')
    installation.start()
    cookie = post(installation).headers['set-cookie']
    assert cookie.startswith('__Host-lumen_session=')
    for attribute in ('Secure', 'HttpOnly', 'SameSite=lax', 'Path=/'):
        assert attribute in cookie
    assert 'Domain' not in cookie
    value = cookie.partition('=')[2].partition(';')[0]
    assert (
        httpx2.get(f'{installation.address}/clients', headers={'cookie': f'lumen_session={value}'}).status_code == 303
    )
    headers = {'cookie': f'__Host-lumen_session={value}'}
    assert httpx2.get(f'{installation.address}/clients', headers=headers).status_code == 200
    assert post(installation, '/sign-out', origin='https://127.0.0.1', **headers).status_code == 303
    assert httpx2.get(f'{installation.address}/clients', headers=headers).status_code == 303


def until_refused(ask: Callable[[], Any], *, allowed: int, limit: int) -> list[Any]:
    """Ask until it is too much: after `limit` times, or up to twice as many when the minute that counts is over."""
    answers = [ask()]
    while answers[-1].status_code == allowed and len(answers) <= 2 * limit:
        answers.append(ask())
    assert answers[-1].status_code == 429
    assert len(answers) > limit
    return answers


def test_signing_in_too_often_is_refused_with_a_time_to_wait(server: Server):
    answers = until_refused(lambda: post(server, form=FORM | {'email': 'eve@example.org'}), allowed=303, limit=20)
    assert 1 <= int(answers[-1].headers['retry-after']) <= 60
    assert 'Too much at once.' in answers[-1].text
    assert post(server).status_code == 303


def test_opening_pages_too_often_is_refused_with_a_time_to_wait(server: Server):
    cookie = post(server).headers['set-cookie'].partition(';')[0]
    with httpx2.Client(base_url=server.address, headers={'cookie': cookie}) as client:
        until_refused(lambda: client.get('/help'), allowed=200, limit=120)
        refused = client.get('/help')
        shown = [client.get('/help', headers={'accept': 'text/html,*/*'}) for _ in range(31)]
    for answer in (refused, *shown):
        assert answer.status_code == 429
        assert 1 <= int(answer.headers['retry-after']) <= 60
        assert answer.headers['x-content-type-options'] == 'nosniff'
        # As many may be open as may be opened in a minute: where that took longer, the other limit speaks.
        assert 'Too much at once. Wait a little' in answer.text or 'Too many pages are open' in answer.text
    # A browser is shown a page, in the frame unless so many were that they are a burden themselves.
    assert refused.headers['content-type'].startswith('text/plain')
    assert ['frame-header' in answer.text for answer in shown] == [True] * 30 + [False]
    for answer in shown:
        assert answer.headers['content-type'].startswith('text/html')
        assert '<title>Too many pages · Lumen</title>' in answer.text
    assert httpx2.get(f'{server.address}/sign-in').status_code == 200


def test_a_form_that_is_too_large_is_not_read(server: Server):
    assert post(server, form={'email': 'x' * 70_000}).status_code == 413

    def endless() -> Any:
        yield b'email=admin%40example.org'

    headers = {'origin': server.address, 'content-type': 'application/x-www-form-urlencoded'}
    assert httpx2.post(f'{server.address}/sign-in/dev', content=endless(), headers=headers).status_code == 413


def test_what_nicegui_offers_and_nobody_needs_is_not_there(server: Server):
    for path in (
        '/docs',
        '/redoc',
        '/openapi.json',
        '/_nicegui/auto/static/x/app.py',
        '/_nicegui/client/1/upload/2',
        '/_nicegui/air',
        '/static/..%2f..%2fmodels.py',
        '/static/%2e%2e/app.py',
    ):
        for method in ('GET', 'POST', 'PUT'):
            answer = httpx2.request(method, server.address + path, headers={'origin': server.address})
            assert answer.status_code in (404, 405), path
            assert 'from __future__' not in answer.text


def test_no_cookie_comes_with_a_page_and_no_prefix_is_reflected(server: Server):
    answer = httpx2.get(f'{server.address}/sign-in', headers={'x-forwarded-prefix': '//evil.example'})
    assert 'set-cookie' not in answer.headers
    assert 'evil.example' not in answer.text
    redirect = httpx2.get(f'{server.address}/clients', headers={'x-forwarded-prefix': '//evil.example'})
    assert re.fullmatch(r'/sign-in\?next=/clients', redirect.headers['location'])
