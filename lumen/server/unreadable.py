"""What is answered to a request that cannot be read: with the rest of it gone, nobody else can answer."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from lumen.server.dispatcher import error

MAX_HEAD_BYTES = 64 * 1024
"""The address and all headers of one request."""


class Refusal:
    """400, or 431 where its `head_bytes` are too many."""

    def __init__(self, head_bytes: int):
        if head_bytes > MAX_HEAD_BYTES:
            content = error(f'The headers are larger than {MAX_HEAD_BYTES // 1024} KiB.', 'headers_too_large')
            self._status = 431
        else:
            content = error('This is not a valid HTTP request.', 'invalid_request')
            self._status = 400
        self._body = json.dumps(content).encode()
        self._fields = {
            'content-type': 'application/json',
            'content-length': str(len(self._body)),
            'x-request-id': f'req_{uuid4().hex}',
            'connection': 'close',
        }

    def as_bytes(self, *, with_body: bool) -> bytes:
        lines = ''.join(f'{name}: {value}\r\n' for name, value in self._fields.items())
        return STATUS_LINE[self._status] + lines.encode() + b'\r\n' + (self._body if with_body else b'')

    @property
    def as_app(self) -> Any:
        """For a request whose turn has not come: an ASGI app."""

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            headers = [(name.encode(), value.encode()) for name, value in self._fields.items()]
            await send({'type': 'http.response.start', 'status': self._status, 'headers': headers})
            await send({'type': 'http.response.body', 'body': self._body})

        return app
