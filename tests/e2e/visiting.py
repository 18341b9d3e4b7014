"""What a person does in the browser, in the words of the pages."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from itertools import pairwise

from playwright.sync_api import Locator, Page, expect

from tests.e2e.serving import wait_until

ADMIN, MANAGER, USER = 'Ada Admin', 'Max Manager', 'Uma User'
EMAILS = {ADMIN: 'admin@example.org', MANAGER: 'manager@example.org', USER: 'user@example.org'}


def sign_in(page: Page, name: str, address: str = '/') -> None:
    """Go to an address as one of the dev users. The form of the sign-in page is sent without opening it."""
    response = page.context.request.post(
        '/sign-in/dev',
        form={'email': EMAILS[name], 'next': '/'},
        headers={'sec-fetch-site': 'same-origin'},
        max_redirects=0,
    )
    assert response.status == 303
    page.goto(address)


def sign_in_by_hand(page: Page, name: str, address: str = '/') -> None:
    """Go to an address as one of the dev users, through the sign-in page that stands before it."""
    page.goto(address)
    page.get_by_role('button', name=name).click()


def sign_out(page: Page) -> None:
    page.get_by_role('button', name='your account').click()
    page.get_by_role('button', name='Sign out').click()
    expect(page.get_by_text('Sign in as')).to_be_visible()


def card(page: Page, label: str) -> Locator:
    """The figure on a card."""
    return page.locator('.card').filter(has=page.get_by_role('heading', name=label)).locator('.card-value')


def assert_shown_within_a_second(figure: Locator, change: Callable[[], str]) -> None:
    """Each call of `change` commits a change and returns the text that `figure` has from then on.

    Changes are committed one after the other while the page follows. Of those that it shows together, the first waited
    longest: it came right after the page had asked. So each time that the page shows something new is the worst case,
    measured from the commit. It is the median of several that counts: a machine that is busy with other tests may stall
    the browser once or twice for longer than what is left of the second, and one that asks too seldom is always late.
    """
    figure.evaluate(
        """(element) => {
            window.shown = [];
            const look = () => window.shown.push([element.textContent.trim(), Date.now() / 1000]);
            new MutationObserver(look).observe(element, {childList: true, characterData: true, subtree: true});
        }"""
    )
    committed: list[tuple[str, float]] = []

    def followed() -> list[tuple[str, float]]:
        committed.append((change(), time.time()))
        shown = figure.evaluate('() => window.shown')
        return shown if len(shown) > 5 else []

    shown = wait_until(followed, seconds=60)
    number = {text: index for index, (text, _) in enumerate(committed)}
    waits = [at - committed[number[before] + 1][1] for (before, _), (_, at) in pairwise(shown)]
    assert statistics.median(waits) <= 1, waits
