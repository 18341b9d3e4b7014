"""Who may make a browser change something here: pages of this site, and the person at the keyboard."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.types import Receive, Scope, Send
from structlog.testing import capture_logs

from lumen.server.cross_site import NoCrossSite

OWN = {'host': 'lumen.example.org'}
SOCKET = '/_nicegui_ws/socket.io/'


async def status(
    headers: dict[str, str], method: str = 'POST', path: str = '/sign-out', kind: str = 'http', address: str = ''
) -> int:
    """What is answered: 200 when the page behind is reached."""

    async def page(scope: Scope, receive: Receive, send: Send) -> None:
        await send({'type': 'http.response.start', 'status': 200, 'headers': []})

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {'type': 'websocket.connect'}

    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    scope = {'type': kind, 'path': path, 'method': method, 'headers': raw}
    await NoCrossSite(page, own_address=lambda: address)(scope, receive, send)
    return int(sent[0].get('status', 403))


@pytest.mark.parametrize('site', ['same-origin', 'none'])
async def test_what_a_page_of_ours_or_a_person_sends_passes(site: str):
    assert await status(OWN | {'sec-fetch-site': site, 'origin': 'https://lumen.example.org'}) == 200


@pytest.mark.parametrize('site', ['cross-site', 'same-site', 'nonsense'])
async def test_what_another_site_makes_a_browser_send_is_refused(site: str):
    assert await status(OWN | {'sec-fetch-site': site}) == 403
    assert await status(OWN | {'sec-fetch-site': site, 'origin': 'https://evil.example'}, 'DELETE') == 403
    assert await status(OWN | {'sec-fetch-site': site}, 'GET', SOCKET) == 403
    assert await status(OWN | {'sec-fetch-site': site}, 'GET', SOCKET, 'websocket') == 403


@pytest.mark.parametrize(
    ('origin', 'expected'),
    [
        ('https://lumen.example.org', 200),
        ('https://LUMEN.example.org', 200),
        ('https://lumen.example.org.evil.example', 403),
        ('https://lumen.example.org:8443', 403),
        ('https://evil.example', 403),
        ('null', 403),
    ],
)
async def test_an_older_browser_is_known_by_its_origin(origin: str, expected: int):
    headers = OWN | {'origin': origin}
    assert await status(headers) == expected
    assert await status(headers, 'GET', SOCKET) == expected
    assert await status(headers, 'GET', SOCKET, 'websocket') == expected


async def test_a_proxy_that_rewrites_the_host_is_made_up_for_by_the_configured_address():
    headers = {'host': '127.0.0.1:8080', 'origin': 'https://lumen.example.org'}
    assert await status(headers) == 403
    assert await status(headers, address='https://lumen.example.org/') == 200
    assert await status(headers, 'GET', SOCKET, 'websocket', address='https://lumen.example.org') == 200
    assert await status(headers | {'sec-fetch-site': 'cross-site'}, address='https://lumen.example.org') == 200
    assert await status(headers | {'origin': 'http://lumen.example.org'}, address='https://lumen.example.org') == 403


async def test_a_change_of_unknown_origin_is_refused():
    assert await status(OWN) == 403
    assert await status({}) == 403
    assert await status(OWN, 'GET', SOCKET, 'websocket') == 403


@pytest.mark.parametrize('method', ['GET', 'HEAD', 'OPTIONS'])
async def test_looking_is_free_from_everywhere(method: str):
    assert await status(OWN | {'sec-fetch-site': 'cross-site'}, method, '/clients') == 200


async def test_polling_over_plain_http_says_nothing_of_its_origin_and_passes():
    assert await status(OWN, 'GET', SOCKET) == 200
    assert await status(OWN, 'POST', SOCKET) == 403


async def test_whoever_sends_much_of_it_does_not_fill_the_log():
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    guard = NoCrossSite(lambda *_: None, own_address=lambda: '')  # type: ignore[arg-type, return-value]  # not reached
    long = 'x' * 30_000
    headers = [(b'origin', f'https://{long}'.encode()), (b'host', b'lumen.example.org')]
    scope = {'type': 'http', 'path': f'/{long}', 'method': 'POST', 'headers': headers}
    with capture_logs() as logged:
        for _ in range(500):
            await guard(scope, None, send)  # type: ignore[arg-type]  # nobody receives
    assert len(sent) == 1000
    assert len(str(logged)) < 5000
    assert 'refused what another site sent' in str(logged)
