from typing import Any

from starlette.types import Receive, Scope, Send

from lumen.server.headers import SecurityHeaders


async def headers_of(own: list[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    async def page(scope: Scope, receive: Receive, send: Send) -> None:
        await send({'type': 'http.response.start', 'status': 200, 'headers': own})
        await send({'type': 'http.response.body', 'body': b'', 'more_body': True})

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    await SecurityHeaders(page)({'type': 'http'}, _nothing, send)
    assert sent[1] == {'type': 'http.response.body', 'body': b'', 'more_body': True}
    return dict(sent[0]['headers'])


async def _nothing() -> Any: ...


async def test_pages_may_not_be_framed_nor_load_from_elsewhere():
    headers = await headers_of([(b'content-type', b'text/html')])
    policy = headers[b'content-security-policy'].decode()
    assert "frame-ancestors 'none'" in policy
    assert "default-src 'self'" in policy
    assert 'http' not in policy
    assert headers[b'x-content-type-options'] == b'nosniff'
    assert headers[b'referrer-policy'] == b'same-origin'
    assert headers[b'content-type'] == b'text/html'


async def test_what_a_page_says_itself_stands():
    headers = await headers_of([(b'Referrer-Policy', b'no-referrer')])
    assert headers[b'Referrer-Policy'] == b'no-referrer'
    assert b'referrer-policy' not in headers
