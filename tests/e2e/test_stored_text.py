"""Text that others wrote stays text, wherever it stands: it does not run, steer, disguise or break the page."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import pytest
from playwright.sync_api import Page, Request, expect

import models
from lumen.database import Database, now
from lumen.identity import sessions
from tests.e2e.conftest import TIMEOUT_MS
from tests.e2e.profiles import Profiles
from tests.e2e.serving import Server

T = TypeVar('T')

MARK = 'window.ran=1'
RUNS = ''.join(
    (
        f'<img src=x onerror="{MARK}">',
        f'<svg/onload={MARK}>',
        f'</script><script>{MARK}</script>',
        f'"><b onmouseover={MARK} onfocus={MARK} autofocus tabindex=1>',
        f"';{MARK};'",
        f'`${{{MARK}}}`',
        f'{{{{constructor.constructor("{MARK}")()}}}}',
        f'[click](javascript:{MARK})',
        '&lt;i&gt;\\u003ci\\u003e',
    )
)
SCRIPT_LINK = f'javascript:{MARK}//'
STEERS = 'Ada \u202egro.elpmaxe\u202c \u2066x\u2069 \x00\x1b[31m'
SHOWN = 'Ada \\u202egro.elpmaxe\\u202c \\u2066x\\u2069 \\u0000\\u001b[31m'
EMOJI = '👩‍💻 Zoë עדה 研究 🎉'
LONG = 'x' * 10_000
TEXTS = {'runs': RUNS, 'script-link': SCRIPT_LINK, 'colon': f':{MARK}', 'steers': STEERS, 'emoji': EMOJI, 'long': LONG}


def quoted(value: object) -> str:
    """As JSON, which YAML understands."""
    return json.dumps(value, ensure_ascii=False)


CONFIGURATION = f"""
version: 2
app:
  name: {quoted('Lumen ' + RUNS)}
  tagline: {quoted(RUNS + LONG)}
  announcement: {quoted(RUNS + EMOJI + LONG)}
  support_email: {quoted(f'{SCRIPT_LINK}{RUNS}@example.org'.replace(' ', '/'))}
  institution: {quoted(RUNS + EMOJI)}
  institution_url: https://example.org/"><img/src=x/onerror={MARK}>
  footer_links: [{{label: {quoted(RUNS)}, url: "https://example.org/#{MARK}"}}, {{label: {quoted(LONG)}, url: "https://example.org"}}]
login:
  dev_users:
    - {{email: admin@example.org, name: {quoted(RUNS)}}}
    - {{email: '"><img/src=x/onerror={MARK}>@example.org', name: {quoted(LONG)}}}
admins: [admin@example.org]
defaults: {{models: {{access: allowed, ack_message: {quoted(RUNS + LONG)}}}}}
models:
  - &model {{name: {quoted(RUNS[:200])}, needs_ack: true, ack_message: {quoted(RUNS + EMOJI + LONG)}, description: {quoted(RUNS)}, input_cost_per_million: 0, output_cost_per_million: 0, endpoints: [{{url: "builtin:echo"}}]}}
clients: {{default: {{max: 100, refresh: 0, starting: 100}}}}
"""  # noqa: E501 - what is planted stands in one line each


class Planted:
    """A served installation full of such texts, and browsers on it that notice whatever goes wrong."""

    def __init__(self, server: Server, profiles: Profiles):
        self.server = server
        self.wrong: list[str] = []
        self._profiles = profiles
        self.clients, self.admin, self.manager = self._change(_plant)

    def page(self, user_id: int | None, *, width: int = 1280) -> Page:
        """A new browser profile, signed in as a user."""
        size = {'width': width, 'height': 900}
        context = self._profiles.take(self.server.address, viewport=size, reduced_motion='reduce')
        context.set_default_timeout(TIMEOUT_MS)
        if user_id is not None:
            cookie = self._change(lambda: sessions.start(user_id))
            context.add_cookies([{'name': sessions.COOKIE, 'value': cookie, 'url': self.server.address}])
        page = context.new_page()
        page.add_init_script(
            'addEventListener("securitypolicyviolation", (event) => console.error("policy", event.violatedDirective))'
        )
        page.on('dialog', lambda dialog: self._note(f'dialog {dialog.message}'))
        page.on('request', self._requested)
        page.on('pageerror', lambda error: self._note(f'error {error}'))
        page.on('console', lambda message: message.type == 'error' and self._note(message.text))
        return page

    def look_at(self, page: Page, path: str) -> None:
        """On a desk and on a telephone."""
        page.goto(path)
        settle(page)
        size = page.viewport_size
        for width in (1280, 375):
            page.set_viewport_size({'width': width, 'height': 900})
            page.wait_for_function('(width) => innerWidth === width', arg=width)
            self.check(page)
        page.set_viewport_size(size)

    def check(self, page: Page) -> None:
        """Nothing ran, was loaded from elsewhere, became an element, or pushed the page wide."""
        assert page.evaluate('window.ran') is None, page.url
        assert page.locator('img[src="x"], svg[onload], [onerror], [onmouseover], a[href^="javascript:"]').count() == 0
        width, room = page.evaluate('[document.documentElement.scrollWidth, window.innerWidth]')
        assert width <= room, f'{page.url} scrolls sideways: {width} in {room}'
        assert not set('\u202a\u202b\u202d\u202e\u2066\u2067\u2068\x00') & set(page.inner_text('body') + page.title())
        assert self.wrong == []

    def _note(self, what: str) -> None:
        # A page that is meant to answer 403 or 404 makes the browser itself complain.
        if 'Failed to load resource' not in what:
            self.wrong.append(what)

    def _requested(self, request: Request) -> None:
        if not request.url.startswith((self.server.address, 'data:', 'blob:')):
            self.wrong.append(f'request to {request.url}')

    def _change(self, call: Callable[[], T]) -> T:
        database = Database(self.server.database_url)
        try:
            return database.write_now(call)
        finally:
            database.close()


def _plant() -> tuple[dict[str, int], int, int]:
    """Clients whose name is each of the texts, with managers, keys and history that are no better."""
    moment = now()
    times: dict[str, Any] = {'created_at': moment, 'created_by': RUNS, 'touched_at': moment}

    def account(kind: str, name: str, email: str = '') -> int:
        handle = email or f'{kind} {name}'.casefold()
        return int(models.Account.create(kind=kind, handle=handle, name=name, email=email, **times).id)

    admin = account('user', RUNS, 'admin@example.org')
    manager = account('user', STEERS, f'"><img/src=x/onerror={MARK}>\u202e@example.org')
    others = [account('user', text, f'{name}{text}@example.org') for name, text in TEXTS.items()]
    clients = {name: account('client', text) for name, text in TEXTS.items()}
    for client in clients.values():
        for user in (manager, *others):
            models.Manager.create(client=client, user=user, is_owner=user == manager, added_at=moment, added_by=RUNS)
        for number, text in enumerate(TEXTS.values()):
            hint = f'sk_lumen_{number}{text}'
            models.ApiKey.create(account=client, name=text, digest=f'{client} {number}', hint=hint, **_made(moment))
            for action in ('key.revoked', 'client.renamed', text):
                models.AuditEvent.create(
                    at=moment,
                    actor=text,
                    via='page',
                    action=action,
                    account=client,
                    subject=text,
                    before=quoted({'name': text}),
                    after=quoted({'name': text}),
                )
    return clients, admin, manager


def _made(moment: int) -> dict[str, Any]:
    return {'created_at': moment, 'created_by': RUNS}


@pytest.fixture(scope='module')
def planted_once(tmp_path_factory: pytest.TempPathFactory, profiles_once: Profiles) -> Iterator[Planted]:
    server = Server(tmp_path_factory.mktemp('planted'))
    server.configuration.write_text(CONFIGURATION)
    server.start()
    yield Planted(server, profiles_once)
    server.stop()
    assert 'Traceback' not in server.log.read_text()


@pytest.fixture
def planted(planted_once: Planted, profiles: Profiles) -> Planted:
    return planted_once


def settle(page: Page) -> None:
    """Wait until the page has its socket and has drawn what it shows."""
    expect(page.locator('.frame-footer')).to_be_attached()
    page.wait_for_function('() => window.socket?.connected && !document.querySelector("#esm-fallback")')


def test_no_page_runs_or_breaks_on_what_others_wrote(planted: Planted):
    stranger = planted.page(None)
    for path in ('/sign-in', '/nothing/' + RUNS.replace('/', '%2F').replace('?', '%3F').replace('#', '%23')):
        planted.look_at(stranger, path)
    # Every client has managers, keys and history that are called each of the texts; only their own names differ.
    pages = ['/clients', '/clients?q=' + 'window.ran', '/help', '/help/api', '/nothing']
    of_clients = [f'/clients/{client}' for client in planted.clients.values()]
    for user, paths in ((planted.admin, pages + of_clients), (planted.manager, ['/clients', of_clients[0]])):
        page = planted.page(user)
        for path in paths:
            planted.look_at(page, path)


# Each client has managers and keys that are called each of the texts, so one client shows them all. A dialog may be run
# or disguised by what stands in it; on a telephone it is the long one that may break it.
@pytest.mark.parametrize(
    ('width', 'name', 'rows'),
    [(1280, 'runs', ['onerror', 'elpmaxe']), (375, 'long', ['x' * 50])],
    ids=['on a desk', 'on a telephone'],
)
def test_no_dialog_runs_or_breaks_on_what_others_wrote(planted: Planted, width: int, name: str, rows: list[str]):
    page = planted.page(planted.admin, width=width)
    page.goto(f'/clients/{planted.clients[name]}')
    settle(page)
    for button in ('Rename', 'Deactivate', 'Add manager', 'New key', 'Acknowledge'):
        page.locator('button:visible', has_text=button).first.click()
        look(planted, page)
    for region, word in (
        ('Managers', 'Make owner'),
        ('Managers', 'Remove'),
        ('API keys', 'Rotate'),
        ('API keys', 'Revoke'),
    ):
        table = page.get_by_role('region', name=region)
        for text in rows:
            buttons = table.get_by_role('row').filter(has_text=text).locator('button:visible', has_text=word)
            buttons.first.click()
            look(planted, page)
    page.locator('.user-button').click()
    expect(page.locator('.user-card')).to_be_visible()
    planted.check(page)


def look(planted: Planted, page: Page) -> None:
    """Look at the dialog that is open, and close it."""
    dialog = page.get_by_role('dialog')
    expect(dialog).to_be_visible()
    planted.check(page)
    assert dialog.evaluate('(dialog) => dialog.scrollWidth <= dialog.clientWidth')
    dialog.get_by_role('button', name='Cancel').click()
    expect(dialog).to_have_count(0)


def test_messages_and_lists_of_people_stay_text(planted: Planted):
    page = planted.page(planted.admin)
    page.goto(f'/clients/{planted.clients["runs"]}')
    settle(page)
    page.get_by_role('region', name='API keys').locator('button:visible', has_text='Revoke').nth(0).click()
    page.get_by_role('dialog').get_by_role('button', name='Revoke').click()
    expect(page.locator('.q-notification')).to_contain_text('revoked')
    planted.check(page)
    page.get_by_role('region', name='Managers').locator('button:visible', has_text='Remove').first.click()
    page.get_by_role('dialog').get_by_role('button', name='Remove').click()
    expect(page.locator('.q-notification').last).to_contain_text('does not manage')
    planted.check(page)
    page.get_by_role('button', name='Add manager').click()
    page.get_by_label('Name or e-mail address').fill('window.ran')
    expect(page.get_by_role('option').first).to_be_visible()
    planted.check(page)


def test_a_name_is_shown_as_what_it_is(planted: Planted):
    page = planted.page(planted.admin)
    page.goto(f'/clients/{planted.clients["steers"]}')
    settle(page)
    expect(page.get_by_role('heading', level=1)).to_have_text(SHOWN)
    assert page.title().startswith(SHOWN)
    expect(page.get_by_role('region', name='Managers')).to_contain_text(SHOWN)
    page.goto('/clients')
    settle(page)
    expect(page.locator('.name-link', has_text='elpmaxe')).to_have_text(SHOWN)
    expect(page.locator('.name-link', has_text='Zoë')).to_have_text(EMOJI)
    expect(page.locator('.name-link', has_text='<svg')).to_have_text(RUNS)
