"""Pictures of every page and dialog: light and dark, on a telephone and on a desk. `make pictures` takes them all.

`docs/pictures/<what>-<light or dark>-<width>.png` are for looking at, and for documents;
`lumen_ui/static/help/<what>-<light or dark>.png` stand in the help texts, with two pixels for each of theirs.
"""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from itertools import product
from pathlib import Path
from typing import Any

import httpx2
from playwright.async_api import Browser, BrowserContext, Locator, Page, async_playwright, expect

from lumen.identity.sessions import COOKIE
from lumen_ui.session_cookie import HOST_PREFIX
from tests.e2e import chromium, small_png
from tests.e2e.believable import ADMIN, MANAGER, USER, Institution
from tests.e2e.serving import Server

expect.set_options(timeout=15_000)

ROOT = Path(__file__).parents[2]
FOR_DOCUMENTS = ROOT / 'docs' / 'pictures'
FOR_HELP = ROOT / 'lumen_ui' / 'static' / 'help'
MODES = ('light', 'dark')
WIDTHS = {375: 812, 1440: 900}
HELP_WIDTH, TABLE_WIDTH = 1000, 1340
DIALOGS = (
    ('Rename', 'rename'),
    ('Add manager', 'add-manager'),
    ('Make Lena Fischer the owner', 'hand-over'),
    ('Remove Lena Fischer', 'remove-manager'),
    ('Rotate nightly run', 'rotate-key'),
    ('Revoke workstation', 'revoke-key'),
    ('Acknowledge hosted-vision', 'acknowledge'),
    ('Deactivate', 'deactivate'),
)
"""The buttons of a client's page that ask something."""
FAKE_KEY = 'sk_lumen_ThisKeyIsAPictureAndOpensNoDoorAtAll00'
SHOW_FAKE_KEY = """(fake) => {
    const key = document.querySelector('.secret-key').textContent;
    for (const element of document.querySelectorAll('.copyable pre'))
        element.textContent = element.textContent.replaceAll(key, fake);
}"""
# As the page itself would say of what was pressed while it had no connection; until it is loaded anew.
PRESSED_WHILE_AWAY = """() => {
    window.did_handshake = false;
    sessionStorage.setItem('lumen_pressed_while_away', '1');
}"""
OPEN_TOO_MANY = "() => Promise.all(Array.from({ length: 125 }, () => fetch('/', { redirect: 'manual' })))"
DRAWN = """async () => {
    await document.fonts.ready;
    const shown = [...document.images].filter((image) => image.offsetParent);
    for (const image of shown) image.loading = 'eager';
    await Promise.all(shown.map((image) => image.decode().catch(() => {})));
    document.activeElement?.blur?.();
}"""


class Camera:
    """One browser window of a mode and a width. `take` is what all pictures go through."""

    def __init__(self, context: BrowserContext, page: Page, workshop: Page, folder: Path, suffix: str) -> None:
        self.page = page
        self._context = context
        self._workshop = workshop
        self.folder = folder
        self.suffix = suffix

    async def become(self, address: str, cookie: str | None) -> None:
        # The institution's address is an https one, so its cookie is of the kind that only a browser may hold.
        name = HOST_PREFIX + COOKIE
        await self._context.clear_cookies(name=name)
        if cookie:
            place = address.replace('http://', 'https://')
            await self._context.add_cookies([{'name': name, 'value': cookie, 'url': place, 'secure': True}])

    async def go(self, path: str) -> None:
        await self.page.goto(path)
        await expect(self.page.locator('.frame-footer')).to_be_visible()
        if path.startswith('/clients?sort'):
            await expect(self.page.locator('.ag-center-cols-container .ag-row').first).to_be_visible()

    async def take(self, what: str, part: Locator | None = None, *, whole: bool = True) -> None:
        """Take the whole page, what the window shows of it (`whole=False`), or one part of it."""
        await self.page.mouse.move(0, 0)
        await self.page.evaluate(DRAWN)
        if part is not None:
            png = await part.screenshot(animations='disabled')
        else:
            png = await self.page.screenshot(full_page=whole, animations='disabled')
        path = self.folder / f'{what}-{self.suffix}.png'
        path.write_bytes(await small_png.reduce(png, self._workshop))


class Studio:
    """An institution and the cameras in front of it."""

    def __init__(self, institution: Institution, cameras: list[Camera], close_ups: list[Camera]) -> None:
        self.institution = institution
        self.address = institution.server.address
        self.cameras = cameras
        self.close_ups = close_ups
        self.turn = asyncio.Lock()

    def client(self, name: str) -> str:
        return f'/clients/{self.institution.clients[name]}'

    async def all(self, work: Callable[[Camera], Awaitable[None]], cameras: list[Camera], who: str = ADMIN) -> None:
        """Let the cameras do the same at the same time, signed in as `who` (nobody for an empty name)."""
        cookie = await asyncio.to_thread(self.institution.session, who) if who else None

        async def one(camera: Camera) -> None:
            await camera.become(self.address, cookie)
            await work(camera)

        await asyncio.gather(*map(one, cameras))


async def first_day(camera: Camera) -> None:
    await camera.go('/clients')
    await expect(camera.page.get_by_text('No clients yet')).to_be_visible()
    await camera.take('clients-empty')


async def at_the_door(camera: Camera) -> None:
    await camera.go('/sign-in')
    await camera.take('sign-in')
    await dismiss_announcement(camera)


async def dismiss_announcement(camera: Camera) -> None:
    await camera.go('/sign-in')
    await camera.page.get_by_role('button', name='Dismiss announcement').click()


async def clients(camera: Camera) -> None:
    page = camera.page
    await camera.go('/clients?sort=spent&dir=desc')
    await camera.take('clients')
    menu = page.locator('.menu')
    await page.get_by_role('button', name='your account').click()
    await expect(menu.get_by_text('Sign out')).to_be_visible()
    await camera.take('account-menu', whole=False)
    await page.keyboard.press('Escape')
    await expect(menu).to_have_count(0)
    if page.viewport_size and page.viewport_size['width'] < 720:
        await page.get_by_role('button', name='Navigation').click()
        await expect(menu.locator('.place').first).to_be_visible()
        await camera.take('navigation', whole=False)
        await page.keyboard.press('Escape')
        await expect(menu).to_have_count(0)
    await page.get_by_role('searchbox').fill('nothing-like-it')
    await expect(page.get_by_text('No client matches')).to_be_visible()
    await camera.take('clients-no-match')
    await page.get_by_role('button', name='Show all clients').click()
    await expect(page.locator('.ag-center-cols-container .ag-row').first).to_be_visible()
    await page.get_by_role('button', name='+ New Client').click()
    await page.get_by_label('Name', exact=True).fill('genome-annotator')
    await page.get_by_role('button', name='Create').click()
    await expect(page.get_by_text('already a client named')).to_be_visible()
    await camera.take('new-client', whole=False)


def one_client(studio: Studio) -> Callable[[Camera], Awaitable[None]]:
    async def work(camera: Camera) -> None:
        page = camera.page
        for name, what in (
            ('thesis-indexer', 'client-nearly-empty'),
            ('campus-chat', 'client-unlimited'),
            ('radiology-pilot', 'client-without-budget'),
            ('old-newsletter-bot', 'client-deactivated'),
        ):
            await camera.go(studio.client(name))
            await camera.take(what)
        await page.get_by_role('button', name='Activate', exact=True).click()
        await expect(page.get_by_role('dialog').locator('.dialog-title')).to_be_visible()
        await camera.take('activate', whole=False)
        await camera.go(studio.client('genome-annotator'))
        await page.get_by_text('Show revoked').click()
        await expect(page.get_by_text('laptop of a guest', exact=True)).to_be_visible()
        await camera.take('client')
        for button, what in DIALOGS:
            await page.get_by_role('button', name=button, exact=True).first.click()
            dialog = page.get_by_role('dialog')
            await expect(dialog.locator('.dialog-title')).to_be_visible()
            if what == 'add-manager':
                await page.get_by_label('Name or e-mail address').press_sequentially('ma')
                await expect(page.get_by_role('option').first).to_be_visible()
            await camera.take(what, whole=False)
            await dialog.get_by_role('button', name='Cancel').click()
            await expect(dialog).to_have_count(0)
        await new_key(studio, camera)

    return work


async def new_key(studio: Studio, camera: Camera, *, only: str = '') -> None:
    """Making a key and being shown it, one camera after the other: each finds the client as the others did.

    The key is real in a database that is thrown away, and even so it does not get into the picture.
    """
    page, part = camera.page, camera.page.locator(only) if only else None
    async with studio.turn:
        await camera.go(studio.client('lab-notebook-search'))
        await page.get_by_role('button', name='New key').click()
        await page.get_by_role('dialog').get_by_label('Name', exact=True).fill('web server')
        await camera.take('new-key', part, whole=False)
        await page.get_by_role('button', name='Create').click()
        await expect(page.locator('.secret-key')).to_be_visible()
        await page.evaluate(SHOW_FAKE_KEY, FAKE_KEY)
        await camera.take('key-shown-once', part, whole=False)
        await asyncio.to_thread(studio.institution.revoke, 'lab-notebook-search', 'web server')


async def not_allowed(camera: Camera) -> None:
    await camera.go('/clients')
    await camera.take('error-403')
    await camera.go('/clients/999')
    await camera.take('error-404')


async def too_often(camera: Camera) -> None:
    await camera.page.evaluate(OPEN_TOO_MANY)
    await camera.go('/help')
    await expect(camera.page.get_by_text('Too many pages')).to_be_visible()
    await camera.take('error-429')


async def helping(camera: Camera) -> None:
    for topic in ('', 'clients', 'configuring-clients', 'api', 'coins'):
        await camera.go(f'/help/{topic}'.rstrip('/'))
        await expect(camera.page.locator('.help-text h1')).to_be_visible()
        await camera.take('-'.join(filter(None, ('help', topic))))


def parts(studio: Studio) -> Callable[[Camera], Awaitable[None]]:
    """For the help texts: what a text talks about, and little around it."""

    async def work(camera: Camera) -> None:
        page = camera.page

        def section(title: str) -> Locator:
            return page.locator('.section').filter(has=page.get_by_role('heading', name=title, exact=True))

        await camera.go('/clients?sort=spent&dir=desc')
        await camera.take('clients', page.locator('.frame-main'))
        await page.get_by_role('button', name='+ New Client').click()
        await page.get_by_label('Name', exact=True).fill('genome-annotator-2')
        await camera.take('new-client', page.locator('.dialog'))
        await camera.go(studio.client('genome-annotator'))
        await camera.take('client', whole=False)
        await camera.take('pool', page.locator('.cards'))
        await camera.take('managers', section('Managers'))
        await page.set_viewport_size({'width': TABLE_WIDTH, 'height': 900})
        await camera.take('keys', section('API keys'))
        await camera.take('model-access', section('Model access'))
        await page.set_viewport_size({'width': HELP_WIDTH, 'height': 900})
        await page.get_by_role('button', name='Acknowledge hosted-vision').click()
        await camera.take('acknowledge', page.locator('.dialog'))
        await camera.go(studio.client('genome-annotator'))
        await page.get_by_role('button', name='Rotate nightly run').first.click()
        await camera.take('rotate-key', page.locator('.dialog'))
        await new_key(studio, camera, only='.dialog')

    return work


async def ceasing(studio: Studio, cameras: list[Camera]) -> None:
    """Somebody who has one client open, and then all of theirs, while they cease to manage it."""
    institution, name = studio.institution, 'radiology-pilot'

    async def leaving(camera: Camera) -> None:
        await camera.go(studio.client(name))
        await camera.page.get_by_role('button', name='Leave Uma User').click()
        await expect(camera.page.get_by_role('dialog').locator('.dialog-title')).to_be_visible()
        await camera.take('leave', whole=False)

    async def client_lost(camera: Camera) -> None:
        await expect(camera.page.get_by_text('You cannot see this client any more')).to_be_visible()
        await expect(camera.page.get_by_role('dialog')).to_have_count(0)
        await camera.take('client-lost')

    async def coming_back(camera: Camera) -> None:
        await camera.go('/clients')
        await camera.page.evaluate(PRESSED_WHILE_AWAY)
        await camera.page.reload()
        said = camera.page.get_by_role('alert').filter(has_text='what you pressed then was not done')
        await expect(said).to_be_visible()
        await camera.take('pressed-while-away')
        await said.evaluate('(element) => element.remove()')

    async def clients_lost(camera: Camera) -> None:
        await expect(camera.page.get_by_text('You cannot see the clients any more')).to_be_visible()
        await camera.take('clients-lost')

    for look, see in ((leaving, client_lost), (coming_back, clients_lost)):
        await asyncio.to_thread(institution.manage, name, USER)
        await studio.all(look, cameras, who=USER)
        await asyncio.to_thread(institution.part, name, USER)
        await studio.all(see, cameras, who=USER)


async def misconfigured(camera: Camera) -> None:
    await camera.go('/clients')
    await expect(camera.page.get_by_role('status', name='Faults of the configuration')).to_be_visible()
    await camera.take('configuration-faults')


def beginning(studio: Studio) -> Callable[[Camera], Awaitable[None]]:
    """What is open when things break."""

    async def work(camera: Camera) -> None:
        await camera.go(studio.client('genome-annotator'))

    return work


def broken(studio: Studio) -> Callable[[Camera], Awaitable[None]]:
    async def work(camera: Camera) -> None:
        await expect(camera.page.get_by_text('What you see may be old')).to_be_visible()
        await camera.take('stale')
        await camera.page.goto(studio.client('genome-annotator'))
        await expect(camera.page.get_by_text('Something went wrong')).to_be_visible()
        await camera.take('error-500')

    return work


async def cameras_of(browser: Browser, address: str, place: Path) -> tuple[list[Camera], list[Camera]]:
    for_documents, for_help = place / 'documents', place / 'help'
    for folder in (for_documents, for_help):
        folder.mkdir()

    async def camera(mode: Any, width: int, height: int, folder: Path, suffix: str, **more: Any) -> Camera:
        context = await browser.new_context(
            base_url=address,
            viewport={'width': width, 'height': height},
            color_scheme=mode,
            reduced_motion='reduce',
            locale='en-US',
            timezone_id='America/Chicago',
            **more,
        )
        page, workshop = await context.new_page(), await context.new_page()
        await page.bring_to_front()
        return Camera(context, page, workshop, folder, suffix)

    return (
        [
            await camera(mode, width, height, for_documents, f'{mode}-{width}')
            for mode, (width, height) in product(MODES, WIDTHS.items())
        ],
        [await camera(mode, HELP_WIDTH, 900, for_help, mode, device_scale_factor=2) for mode in MODES],
    )


def call_the_api(server: Server, institution: Institution) -> None:
    """A few calls as any program makes them, so that something was used just now."""
    new = institution.key(MANAGER, institution.clients['genome-annotator'], 'workstation 2')
    for question in ('Which genes lie on chromosome 21?', 'Summarise the annotation of TP53.', 'Thank you!'):
        body = {'model': 'llama-3.3-70b', 'messages': [{'role': 'user', 'content': question}]}
        headers = {'authorization': f'Bearer {new.key}'}
        httpx2.post(f'{server.address}/v1/chat/completions', json=body, headers=headers).raise_for_status()


async def take_all(server: Server, institution: Institution) -> None:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium.find(), args=list(chromium.FLAGS))
        cameras, close_ups = await cameras_of(browser, server.address, server.directory)
        studio = Studio(institution, cameras, close_ups)

        async def for_help() -> None:
            await studio.all(dismiss_announcement, close_ups, who='')
            await studio.all(parts(studio), close_ups)
            hang(close_ups[0].folder, FOR_HELP)  # before the pages are taken that show them

        await every_view(studio, cameras, between=for_help)
        await browser.close()
    hang(cameras[0].folder, FOR_DOCUMENTS)


async def every_view(
    studio: Studio, cameras: list[Camera], *, between: Callable[[], Awaitable[None]] | None = None
) -> None:
    """Take every page and dialog: of a new institution, of one with a past, and of one that is broken."""
    institution = studio.institution
    await studio.all(first_day, cameras)
    await studio.all(at_the_door, cameras, who='')
    await asyncio.to_thread(institution.fill)
    await asyncio.to_thread(call_the_api, institution.server, institution)
    if between is not None:
        await between()
    await studio.all(clients, cameras)
    await studio.all(one_client(studio), cameras)
    await studio.all(helping, cameras)
    await studio.all(not_allowed, cameras, who=USER)
    await studio.all(too_often, cameras, who=USER)
    await ceasing(studio, cameras)
    await asyncio.to_thread(institution.break_configuration)
    await studio.all(misconfigured, cameras)
    await asyncio.to_thread(institution.mend_configuration)
    await studio.all(beginning(studio), cameras)
    await asyncio.to_thread(institution.lose_audit)
    await studio.all(broken(studio), cameras)


def hang(taken: Path, place: Path) -> None:
    """Put new pictures in the place of the old ones, now that all of them were taken."""
    place.mkdir(parents=True, exist_ok=True)
    for old in place.glob('*.png'):
        old.unlink()
    for picture in taken.glob('*.png'):
        shutil.move(picture, place)


def main() -> None:
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix='lumen-pictures-') as place, ExitStack() as stack:
        server = Server(Path(place))
        institution = Institution(server)
        stack.callback(server.stop)
        server.start()
        institution.open()
        stack.callback(institution.close)
        asyncio.run(take_all(server, institution))
    for folder in (FOR_DOCUMENTS, FOR_HELP):
        files = list(folder.glob('*.png'))
        size = sum(file.stat().st_size for file in files) / 1_000_000
        sys.stdout.write(f'{len(files)} pictures, {size:.1f} MB, in {folder.relative_to(ROOT)}\n')
    sys.stdout.write(f'in {time.monotonic() - began:.0f} s\n')


if __name__ == '__main__':
    main()
