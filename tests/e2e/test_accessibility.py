"""What axe-core finds on the pages and dialogs that `make pictures` takes: light on a desk, dark on a telephone,
and one of each kind dark on a desk.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Locator, async_playwright

from tests.e2e import chromium
from tests.e2e.believable import Institution
from tests.e2e.pictures import Camera, Studio, every_view
from tests.e2e.serving import Server

VIEWS = 37
DESK = {'width': 1440, 'height': 900}
TELEPHONE = {'width': 375, 'height': 812}
SEEN_BY = (('light', DESK), ('dark', TELEPHONE))
ALSO_ON_A_DESK = ('sign-in', 'clients', 'client', 'new-key', 'account-menu', 'help-api', 'error-404', 'stale')
"""What a dark page on a telephone is made wide for: a list, a page, a dialog, a menu, a text, a refusal, a notice."""
# What we hold ourselves to: WCAG 2.2 A and AA, and axe-core's own best practices. Dark pages differ in their colours,
# and narrow ones in what scrolls.
EVERYTHING = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']
OPTIONS: dict[str, dict[str, Any]] = {
    'light': {'runOnly': EVERYTHING},
    'dark': {'runOnly': {'type': 'rule', 'values': ['color-contrast', 'scrollable-region-focusable', 'target-size']}},
}

DRAWN = """(dark) => document.body.matches('.body--dark') === dark && !document.getAnimations().length"""
RUN = '([part, options]) => axe.run(part, options).then((found) => found.violations)'
FLATTEN = """(position) => {
    for (const part of document.querySelectorAll('.q-dialog, .q-dialog__inner')) part.style.position = position;
}"""
"""Lets a dialog stand on the page instead of floating above it: axe-core mistakes the order of what floats."""


class Inspector(Camera):
    """Looks at what a camera would take."""

    seen: dict[str, list[str]]

    async def take(self, what: str, part: Locator | None = None, *, whole: bool = True) -> None:
        mode, _, width = self.suffix.partition('-')
        await self._inspect(f'{what} {self.suffix}', mode)
        if width == str(TELEPHONE['width']) and what in ALSO_ON_A_DESK:
            await self.page.set_viewport_size(DESK)
            await self._inspect(f'{what} {mode}-{DESK["width"]}', mode)
            await self.page.set_viewport_size(TELEPHONE)

    async def _inspect(self, view: str, mode: str) -> None:
        dialog = await self.page.locator('.q-dialog .dialog').count()
        await self.page.wait_for_function(DRAWN, arg=mode == 'dark')
        await self.page.evaluate(FLATTEN, 'static')
        # Behind an open dialog nothing can be reached.
        part = '.q-dialog' if dialog else 'html'
        violations = await self.page.evaluate(RUN, [part, OPTIONS[mode] | {'resultTypes': ['violations']}])
        await self.page.evaluate(FLATTEN, '')
        self.seen[view] = [
            f'{violation["id"]}: {violation["help"]}: {node["html"][:200]}'
            for violation in violations
            for node in violation['nodes']
        ]


async def inspect(server: Server, institution: Institution, seen: dict[str, list[str]]) -> None:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium.find(), args=list(chromium.FLAGS))
        inspectors: list[Camera] = []
        for mode, size in SEEN_BY:
            context = await browser.new_context(
                base_url=server.address,
                viewport=size,
                color_scheme='dark' if mode == 'dark' else 'light',
                reduced_motion='reduce',
                locale='en-US',
            )
            await context.add_init_script(Axe().axe_script)
            page = await context.new_page()
            inspector = Inspector(context, page, page, server.directory, f'{mode}-{size["width"]}')
            inspector.seen = seen
            inspectors.append(inspector)
        await every_view(Studio(institution, inspectors, []), inspectors)
        await browser.close()


def test_axe_finds_nothing_on_any_page_or_dialog(tmp_path: Path):
    seen: dict[str, list[str]] = {}
    with ExitStack() as stack:
        server = Server(tmp_path)
        institution = Institution(server)
        stack.callback(server.stop)
        server.start()
        institution.open()
        stack.callback(institution.close)
        # A thread of its own: the other tests here hold this one for their browser.
        with ThreadPoolExecutor(max_workers=1) as thread:
            thread.submit(asyncio.run, inspect(server, institution, seen)).result()
    assert len(seen) >= 2 * VIEWS + len(ALSO_ON_A_DESK)
    assert {view: found for view, found in seen.items() if found} == {}
