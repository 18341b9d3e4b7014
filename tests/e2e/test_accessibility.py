"""What axe-core finds on the pages and dialogs that `make pictures` takes: light on a desk, dark on a telephone,
and one of each kind dark on a desk.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Literal

from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Locator, ViewportSize, async_playwright

from tests.e2e import chromium
from tests.e2e.believable import Institution
from tests.e2e.pictures import Camera, Studio, every_view
from tests.e2e.serving import Server

Mode = Literal['light', 'dark']

VIEWS = 37
DESK: ViewportSize = {'width': 1440, 'height': 900}
TELEPHONE: ViewportSize = {'width': 375, 'height': 812}
ON_A_TELEPHONE_ONLY = ('navigation',)
ALSO_ON_A_DESK = ('sign-in', 'clients', 'client', 'new-key', 'account-menu', 'help-api', 'error-404', 'stale')
"""What a dark page on a telephone is made wide for: a list, a page, a dialog, a menu, a text, a refusal, a notice."""
# What we hold ourselves to: WCAG 2.2 A and AA, and axe-core's own best practices.
RULES = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']
OPTIONS = {'runOnly': RULES, 'resultTypes': ['violations']}

DRAWN = """([dark, width]) => innerWidth === width && document.body.matches('.body--dark') === dark
    && !document.getAnimations().length"""
RUN = '([part, options]) => axe.run(part, options).then((found) => found.violations)'
FLATTEN = """(position) => {
    for (const part of document.querySelectorAll('.q-dialog, .q-dialog__inner')) part.style.position = position;
    const { style, dataset } = document.body;
    if (position) [dataset.top, style.top] = [style.top, '0'];
    else style.top = dataset.top;
}"""
"""Lets a dialog stand on the page instead of floating above it: axe-core mistakes the order of what floats. The page
behind it was scrolled, which would lift its beginning out of the window.
"""


class Inspector(Camera):
    """Looks at what a camera would take. Its window is a dark telephone, and a light desk for a moment at each view."""

    seen: dict[str, list[str]]

    async def take(self, what: str, part: Locator | None = None, *, whole: bool = True) -> None:
        await self._inspect(what, 'dark', TELEPHONE)
        if what not in ON_A_TELEPHONE_ONLY:
            await self._inspect(what, 'light', DESK)
        if what in ALSO_ON_A_DESK:
            await self._inspect(what, 'dark', DESK)
        await self._be('dark', TELEPHONE)

    async def _be(self, mode: Mode, size: ViewportSize) -> None:
        await self.page.set_viewport_size(size)
        await self.page.emulate_media(color_scheme=mode, reduced_motion='reduce')
        await self.page.wait_for_function(DRAWN, arg=[mode == 'dark', size['width']])

    async def _inspect(self, what: str, mode: Mode, size: ViewportSize) -> None:
        await self._be(mode, size)
        dialog = await self.page.locator('.q-dialog .dialog').count()
        await self.page.evaluate(FLATTEN, 'static')
        # Behind an open dialog nothing can be reached.
        part = '.q-dialog' if dialog else 'html'
        violations = await self.page.evaluate(RUN, [part, OPTIONS])
        await self.page.evaluate(FLATTEN, '')
        self.seen[f'{what} {mode}-{size["width"]}'] = [
            f'{violation["id"]}: {violation["help"]}: {node["html"][:200]}'
            for violation in violations
            for node in violation['nodes']
        ]


async def inspect(server: Server, institution: Institution, seen: dict[str, list[str]]) -> None:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium.find(), args=list(chromium.FLAGS))
        context = await browser.new_context(
            base_url=server.address,
            viewport=TELEPHONE,
            color_scheme='dark',
            reduced_motion='reduce',
            locale='en-US',
        )
        await context.add_init_script(Axe().axe_script)
        page = await context.new_page()
        inspector = Inspector(context, page, page, server.directory, '')
        inspector.seen = seen
        await every_view(Studio(institution, [inspector], []), [inspector])
        await browser.close()


def test_axe_finds_nothing_on_any_page_or_dialog(tmp_path: Path):
    seen: dict[str, list[str]] = {}
    with ExitStack() as stack:
        server = Server(tmp_path)
        institution = Institution(server)
        institution.say_more()
        stack.callback(server.stop)
        server.start()
        institution.open()
        stack.callback(institution.close)
        # A thread of its own: the other tests here hold this one for their browser.
        with ThreadPoolExecutor(max_workers=1) as thread:
            thread.submit(asyncio.run, inspect(server, institution, seen)).result()
    assert len(seen) >= 2 * VIEWS - len(ON_A_TELEPHONE_ONLY) + len(ALSO_ON_A_DESK)
    assert {view: found for view, found in seen.items() if found} == {}
