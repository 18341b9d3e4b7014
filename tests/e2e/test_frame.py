"""The frame around the pages: what the footer leads to."""

from __future__ import annotations

import httpx2
from playwright.sync_api import Page, expect

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
