"""The frame around the pages: what the footer leads to."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import httpx2
import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests.e2e.serving import Server, wait_until

LINKS = {'GitHub Repository': 'https://code.example.org/lumen', 'Request Feature': 'https://code.example.org/wishes'}


def test_the_footer_leads_to_the_repository_and_to_wishes_where_they_are_configured(page: Page, server: Server):
    page.goto('/sign-in')
    footer = page.get_by_role('contentinfo')
    expect(footer.get_by_role('link', name='Partners')).to_have_attribute('href', 'https://partners.example.org')
    for name in LINKS:
        expect(footer.get_by_text(name)).to_have_count(0)
    text = server.configuration.read_text()
    github, feature = LINKS.values()
    server.configuration.write_text(text.replace('app:', f'app:\n  github_url: {github}\n  feature_url: {feature}'))
    wait_until(lambda: 'GitHub Repository' in httpx2.get(f'{server.address}/sign-in').text)
    page.reload()
    for name, address in LINKS.items():
        expect(footer.get_by_role('link', name=name)).to_have_attribute('href', address)


@pytest.mark.parametrize('zone', ['Europe/Berlin', 'Asia/Tokyo', 'America/Los_Angeles'])
def test_days_are_those_of_the_viewers_calendar(browser: Browser, server: Server, zone: str):
    def at(text: str) -> float:
        return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()

    told = {
        ('2027-03-10T22:30', '2027-03-12T14:30'): 'in 2 days',
        ('2027-03-10T22:30', '2027-03-11T23:30'): 'tomorrow',
        ('2027-03-10T00:01', '2027-03-11T23:59'): 'tomorrow',
        ('2027-03-10T23:59', '2027-03-12T00:01'): 'in 2 days',
        ('2027-03-10T10:00', '2027-03-11T09:00'): 'in 23 hours',
        ('2027-03-12T14:30', '2027-03-10T22:30'): '2 days ago',
        ('2027-03-12T14:30', '2027-03-11T13:30'): 'yesterday',
        ('2027-03-11T23:59', '2027-03-10T00:01'): 'yesterday',
        ('2027-03-12T00:01', '2027-03-10T23:59'): '2 days ago',
        ('2027-03-12T00:30', '2027-03-11T22:30'): '2 hours ago',
        # A day of 23 hours in Europe, one of 25 in America.
        ('2027-03-27T12:00', '2027-03-29T12:00'): 'in 2 days',
        ('2027-11-07T00:10', '2027-11-08T00:10'): 'tomorrow',
    }
    context = browser.new_context(base_url=server.address, timezone_id=zone, locale='en-US')
    page = context.new_page()
    page.goto('/sign-in')
    page.evaluate("document.body.append(document.createElement('lumen-time'))")
    shown = {}
    for now, moment in told:
        page.clock.set_fixed_time(at(now))
        shown[now, moment] = page.evaluate(
            """(ms) => {
                const element = document.querySelector('lumen-time');
                element.setAttribute('ms', ms);
                return element.textContent;
            }""",
            str(round(at(moment) * 1000)),
        )
    context.close()
    assert shown == told


@pytest.mark.parametrize('scheme', ['http', 'https'])
def test_what_the_browser_remembers_is_sent_over_tls_only_where_there_is_tls(
    browser: Browser, server: Server, scheme: str
):
    place = f'{scheme}://localhost:8443'
    context = browser.new_context(base_url=place, ignore_https_errors=True)
    page = context.new_page()

    def answer(route: Route) -> None:
        if '/_nicegui_ws/' in route.request.url:
            route.abort()  # neither needs a socket
        else:
            route.fulfill(response=route.fetch(url=route.request.url.replace(place, server.address)))

    page.route(f'{place}/**', answer)
    page.goto('/sign-in')
    page.get_by_role('button', name='Dismiss announcement').click()
    page.get_by_role('button', name='Dark').click()
    kept = {cookie['name']: cookie['secure'] for cookie in context.cookies() if cookie['name'].startswith('lumen_')}
    context.close()
    is_secure = scheme == 'https'
    assert kept == {'lumen_theme': is_secure, 'lumen_announcement': is_secure}
