"""Browser profiles that tests use one after the other: signed out, without pages, but with all scripts read."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from playwright.sync_api import Browser, BrowserContext

PROCESS_PER_SITE = '--process-per-site'
"""A browser that is started with it does not start anew for every page."""


class Profiles:
    """Reading NiceGUI's scripts anew costs a browser more than all else that a test does with it."""

    def __init__(self, browser: Browser):
        self._browser = browser
        self._free: defaultdict[str, list[BrowserContext]] = defaultdict(list)
        self._taken: list[tuple[str, BrowserContext]] = []

    def take(self, address: str, **options: Any) -> BrowserContext:
        """A profile for one address that nobody else uses until it is given back."""
        kind = f'{address} {sorted(options.items())}'
        context = self._free[kind].pop() if self._free[kind] else None
        if context is None:
            context = self._browser.new_context(base_url=address, **options)
            context.new_page().goto('/favicon.ico')  # stays open, and with it the process that later pages share
        self._taken.append((kind, context))
        return context

    def give_back(self) -> None:
        """All that were taken."""
        while self._taken:
            kind, context = self._taken.pop()
            for page in context.pages[1:]:
                page.close()
            context.clear_cookies()
            self._free[kind].append(context)
