"""Who is believed about where a request comes from."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from lumen.server.proxies import TrustedProxies


async def seen(
    headers: dict[str, str],
    peer: str = '10.0.0.1',
    trusted: tuple[str, ...] = ('10.0.0.0/8', '::1'),
    kind: str = 'http',
) -> Scope:
    """The scope that the app behind gets."""
    found: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        found.append(scope)

    async def nothing(*_: Any) -> Any: ...

    scope = {
        'type': kind,
        'scheme': 'http' if kind == 'http' else 'ws',
        'client': (peer, 5000),
        'headers': [(name.encode(), value.encode()) for name, value in headers.items()],
    }
    await TrustedProxies(app, trusted=lambda: trusted)(scope, nothing, nothing)
    return found[0]


async def test_a_trusted_proxy_tells_of_tls_and_of_the_client():
    scope = await seen({'x-forwarded-proto': 'https', 'x-forwarded-for': '203.0.113.9'})
    assert (scope['scheme'], scope['client'][0]) == ('https', '203.0.113.9')
    assert (await seen({'x-forwarded-proto': 'https'}, kind='websocket'))['scheme'] == 'wss'
    assert (await seen({'x-forwarded-proto': 'https'}, peer='::1'))['scheme'] == 'https'
    assert (await seen({'x-forwarded-proto': 'https'}, peer='::ffff:10.0.0.1'))['scheme'] == 'https'


@pytest.mark.parametrize('peer', ['203.0.113.9', 'testclient', ''])
async def test_nobody_else_is_believed(peer: str):
    scope = await seen({'x-forwarded-proto': 'https', 'x-forwarded-for': '127.0.0.1'}, peer=peer)
    assert (scope['scheme'], scope['client'][0]) == ('http', peer)
    scope = await seen({'x-forwarded-proto': 'https'}, trusted=())
    assert scope['scheme'] == 'http'


async def test_what_a_caller_claims_before_the_proxy_is_not_believed():
    scope = await seen({'x-forwarded-for': '127.0.0.1, 203.0.113.9, 10.9.9.9'})
    assert scope['client'][0] == '203.0.113.9'
    scope = await seen({'x-forwarded-for': 'nonsense'})
    assert scope['client'][0] == '10.0.0.1'
    assert (await seen({'x-forwarded-proto': 'https, gopher'}))['scheme'] == 'http'


async def test_a_prefix_is_never_believed_and_other_headers_stay():
    scope = await seen({'x-forwarded-prefix': '//evil.example', 'x-forwarded-for': '203.0.113.9', 'cookie': 'a=b'})
    assert [name for name, _ in scope['headers']] == [b'x-forwarded-for', b'cookie']
