import re
from typing import Any

from starlette.types import Receive, Scope, Send

from lumen.server import headers
from lumen.server.headers import SecurityHeaders
from lumen_ui import nonces

POLICY = (
    "default-src 'none'; "
    "script-src 'self' 'nonce-NONCE' 'unsafe-eval'; "
    "script-src-attr 'none'; "
    "style-src 'self' 'nonce-NONCE'; "
    "style-src-attr 'unsafe-inline'; "
    "img-src 'self' data:; "
    "font-src 'self'; "
    "connect-src 'self'; "
    "form-action 'self'; "
    "base-uri 'none'; "
    "frame-ancestors 'none'"
)


async def headers_of(own: list[tuple[bytes, bytes]]) -> tuple[dict[bytes, bytes], str]:
    """The headers of an answer, and the nonce that the page was told."""
    told: list[str] = []

    async def page(scope: Scope, receive: Receive, send: Send) -> None:
        told.append(scope[headers.NONCE])
        await send({'type': 'http.response.start', 'status': 200, 'headers': own})
        await send({'type': 'http.response.body', 'body': b'', 'more_body': True})

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    await SecurityHeaders(page)({'type': 'http'}, _nothing, send)
    assert sent[1] == {'type': 'http.response.body', 'body': b'', 'more_body': True}
    return dict(sent[0]['headers']), told[0]


async def _nothing() -> Any: ...


async def test_the_policy_is_exactly_this():
    found, nonce = await headers_of([(b'content-type', b'text/html')])
    assert found[b'content-security-policy'].decode().replace(nonce, 'NONCE') == POLICY
    assert found[b'x-content-type-options'] == b'nosniff'
    assert found[b'x-frame-options'] == b'DENY'
    assert found[b'referrer-policy'] == b'same-origin'
    assert found[b'content-type'] == b'text/html'


async def test_every_answer_has_a_nonce_of_its_own():
    nonces_seen = {(await headers_of([]))[1] for _ in range(20)}
    assert len(nonces_seen) == 20
    assert all(re.fullmatch(r'[\w-]{22}', nonce) for nonce in nonces_seen)


def test_pages_look_for_the_nonce_where_it_is():
    assert nonces.SCOPE_KEY == headers.NONCE


async def test_what_a_page_says_itself_stands():
    found, _ = await headers_of([(b'Referrer-Policy', b'no-referrer')])
    assert found[b'Referrer-Policy'] == b'no-referrer'
    assert b'referrer-policy' not in found
