"""What a person does in the browser, in the words of the pages."""

from __future__ import annotations

from playwright.sync_api import Locator, Page, expect

ADMIN, MANAGER, USER = 'Ada Admin', 'Max Manager', 'Uma User'


def sign_in(page: Page, name: str, address: str = '/') -> None:
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
