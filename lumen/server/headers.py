"""Security headers for pages. They are added to the first message of an answer; what follows passes untouched."""

from __future__ import annotations

import secrets

from starlette.types import ASGIApp, Message, Receive, Scope, Send

NONCE = 'lumen.nonce'
"""Where the scope keeps what a page's own inline scripts have to carry; another one for every request."""

# NiceGUI evaluates the handlers and the properties that start with a colon, and Vue compiles templates in the browser:
# hence 'unsafe-eval'. Its page has a style attribute, which can do nothing but style that element. Everything is
# served from here: nothing else may be loaded or spoken to.
POLICY = (
    "default-src 'none'",
    "script-src 'self' 'nonce-{nonce}' 'unsafe-eval'",
    "script-src-attr 'none'",
    "style-src 'self' 'nonce-{nonce}'",
    "style-src-attr 'unsafe-inline'",
    "img-src 'self' data:",
    "font-src 'self'",
    "connect-src 'self'",
    "form-action 'self'",
    "base-uri 'none'",
    "frame-ancestors 'none'",
)

HEADERS = (
    (b'x-content-type-options', b'nosniff'),
    (b'x-frame-options', b'DENY'),
    (b'referrer-policy', b'same-origin'),
    (b'permissions-policy', b'camera=(), geolocation=(), microphone=(), payment=(), usb=()'),
    (b'cross-origin-opener-policy', b'same-origin'),
    (b'cross-origin-resource-policy', b'same-origin'),
)


class SecurityHeaders:
    """Adds `HEADERS` and the content security policy to every answer of `app` that does not say otherwise."""

    def __init__(self, app: ASGIApp):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope['type'] != 'http':
            await self.app(scope, receive, send)
            return
        nonce = secrets.token_urlsafe(16)
        policy = '; '.join(POLICY).format(nonce=nonce)

        async def send_with_headers(message: Message) -> None:
            if message['type'] == 'http.response.start':
                headers = list(message.get('headers', ()))
                present = {name.lower() for name, _ in headers}
                ours = ((b'content-security-policy', policy.encode()), *HEADERS)
                headers.extend(header for header in ours if header[0] not in present)
                message['headers'] = headers
            await send(message)

        await self.app({**scope, NONCE: nonce}, receive, send_with_headers)
