"""Limits on what an open page costs: in front of an app that stands for the pages."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from lumen.config.settings import Settings
from lumen.database import Database
from lumen.identity import people, sessions
from lumen_ui import limiter, page_limits
from lumen_ui.limiter import Limiter, TooMany, address_of
from lumen_ui.page_limits import Allowance, PageLimits

SETTINGS = Settings.model_validate({'login': {'dev_users': [{'email': 'ada@example.org', 'name': 'Ada'}]}})


class Pages:
    """An app behind the limits. Each `get` answers the status, and leaves a page open for whom it counts."""

    def __init__(self, database: Database):
        services: Any = SimpleNamespace(database=database, settings=SETTINGS, limiter=Limiter())
        self.limits = PageLimits(self._app, services)
        self.open: list[Scope] = []
        self.headers: dict[bytes, bytes] = {}

    async def _app(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.open.append(scope)
        await send({'type': 'http.response.start', 'status': 200, 'headers': []})

    async def get(
        self,
        path: str = '/sign-in',
        *,
        peer: str = '203.0.113.9',
        cookie: str = '',
        query: str = '',
        method: str = 'GET',
    ) -> int:
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        headers = [(b'cookie', f'{sessions.COOKIE}={cookie}'.encode())] if cookie else []
        scope = {
            'type': 'http',
            'method': method,
            'scheme': 'http',
            'server': ('127.0.0.1', 80),
            'path': path,
            'query_string': query.encode(),
            'client': (peer, 5000),
            'headers': headers,
        }
        await self.limits(scope, _receive, send)
        self.headers = dict(sent[0]['headers'])
        return int(sent[0]['status'])


async def _receive() -> Any:
    return {'type': 'websocket.connect'}


@pytest.fixture
def pages(database: Database, monkeypatch: pytest.MonkeyPatch) -> Pages:
    made = Pages(database)
    monkeypatch.setattr(page_limits, 'Client', _Clients(made))
    return made


class _Clients:
    """Stands for NiceGUI's list of open pages."""

    def __init__(self, pages: Pages):
        self._pages = pages

    @property
    def instances(self) -> dict[int, Any]:
        return {id(scope): SimpleNamespace(request=SimpleNamespace(scope=scope)) for scope in self._pages.open}


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_limits, 'STRANGERS', Allowance(openings=5, held=3))
    monkeypatch.setattr(page_limits, 'SIGNED_IN', Allowance(openings=4, held=100))


def sign_in(database: Database) -> str:
    return database.write_now(lambda: sessions.start(people.sign_in_dev('ada@example.org', SETTINGS)))


async def test_a_stranger_opens_so_many_pages_a_minute(pages: Pages, small: None):
    for _ in range(5):
        assert await pages.get() == 200
        pages.open.clear()
    assert await pages.get() == 429
    assert 1 <= int(pages.headers[b'retry-after']) <= 60
    assert await pages.get(peer='203.0.113.10') == 200


async def test_a_stranger_holds_so_many_pages_open(pages: Pages, small: None):
    assert [await pages.get() for _ in range(4)] == [200, 200, 200, 429]
    assert pages.headers[b'retry-after'] == b'60'
    pages.open.pop()
    assert await pages.get() == 200


async def test_all_strangers_together_do_not_fill_the_memory(pages: Pages, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(page_limits, 'STRANGERS_TOGETHER', 3)
    assert [await pages.get(peer=f'203.0.113.{number}') for number in range(4)] == [200, 200, 200, 429]
    assert await pages.get('/', cookie=sign_in(pages.limits._services.database)) == 200


async def test_who_is_signed_in_is_counted_by_session_and_not_by_address(pages: Pages, small: None, database: Database):
    grace, ada = sign_in(database), sign_in(database)
    assert [await pages.get('/clients', cookie=ada) for _ in range(5)] == [200, 200, 200, 200, 429]
    assert await pages.get('/clients', cookie=grace) == 200
    assert await pages.get() == 200


async def test_a_made_up_cookie_is_a_strangers(pages: Pages, small: None):
    pages_opened = [await pages.get(cookie=f'made-up-{number}') for number in range(4)]
    assert pages_opened == [200, 200, 200, 429]


async def test_files_are_not_counted(pages: Pages, small: None):
    for _ in range(10):
        assert await pages.get('/static/lumen.css') == 200
        assert await pages.get('/_nicegui/3/static/nicegui.js') == 200
        assert await pages.get('/favicon.ico') == 200
    assert pages.open[0].get(page_limits.KEY) is None


@pytest.mark.parametrize('path', ['/favicon.icoabc', '/favicon.ico/x', '/static', '/staticx', '/_niceguix/x'])
async def test_what_only_begins_like_a_file_is_counted(pages: Pages, small: None, path: str):
    assert [await pages.get(path) for _ in range(4)] == [200, 200, 200, 429]


@pytest.mark.parametrize('path', ['/favicon.ico', '/static/lumen.css', '/_nicegui/3/static/nicegui.js'])
async def test_what_does_not_ask_for_a_file_is_counted(pages: Pages, small: None, path: str):
    assert [await pages.get(path, method='POST') for _ in range(4)] == [200, 200, 200, 429]


@pytest.mark.parametrize('query', ['EIO=4', 'EIO=4&sid=abc', 'EIO=4&xsid=1', 'EIO=4&transport=polling'])
async def test_nobody_polls(pages: Pages, query: str):
    for method in ('GET', 'POST', 'OPTIONS'):
        assert await pages.get('/_nicegui_ws/socket.io/', query=query, method=method) == 400
    assert pages.open == []


async def test_there_is_one_address_for_sockets(pages: Pages):
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    for path in ('/', '/sign-in', '/static/lumen.css', '/_nicegui_ws/', '/_nicegui_ws/socket.io/x'):
        await pages.limits({'type': 'websocket', 'path': path, 'headers': []}, _receive, send)
    assert [message['type'] for message in sent] == ['websocket.close'] * 5
    assert pages.open == []


async def test_sockets_are_counted_as_long_as_they_are_open(pages: Pages, small: None):
    async def connect(inside: Callable[[], Any]) -> str:
        """What the server first says to a socket; `inside` happens while it is open."""
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await send({'type': 'websocket.accept'})
            await inside()

        pages.limits.app = app
        scope = {'type': 'websocket', 'path': page_limits.SOCKET, 'client': ('203.0.113.9', 1), 'headers': []}
        await pages.limits(scope | {'scheme': 'ws', 'server': ('127.0.0.1', 80), 'query_string': b''}, _receive, send)
        return str(sent[0]['type'])

    answers: list[str] = []

    async def one_more() -> None:
        answers.append(await connect(one_more))

    await connect(one_more)
    assert answers == ['websocket.close', 'websocket.accept', 'websocket.accept']
    assert not pages.limits._sockets


async def test_signing_in_is_limited_by_person_and_by_address(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(limiter, 'SIGN_INS_FROM_ADDRESS', 4)
    monkeypatch.setattr(limiter, 'SIGN_INS_OF_ONE', 2)
    limits = Limiter()

    async def tries(email: str, peer: str) -> bool:
        try:
            await limits.count_sign_in(email, {'client': (peer, 1)})
        except TooMany as refusal:
            return not 1 <= refusal.retry_after_seconds <= 60
        return True

    assert [await tries('ada@example.org', f'203.0.113.{number}') for number in range(2)] == [True, True]
    assert not await tries(' ADA@example.org', '203.0.113.7')
    assert [await tries(f'{number}@example.org', '198.51.100.1') for number in range(5)] == [True] * 4 + [False]


def test_an_ipv6_address_stands_for_its_network():
    assert address_of({'client': ('2001:db8::1', 1)}) == address_of({'client': ('2001:db8::ffff:2', 1)})
    assert address_of({'client': ('2001:db8:0:1::1', 1)}) != address_of({'client': ('2001:db8::1', 1)})
    assert address_of({'client': ('::ffff:203.0.113.9', 1)}) != address_of({'client': ('::ffff:203.0.113.8', 1)})
    assert address_of({'client': None}) == ''
