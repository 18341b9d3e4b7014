"""Starting and stopping an ASGI app that lives inside another one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from starlette.types import ASGIApp, Message

from lumen.errors import LumenError


@asynccontextmanager
async def lifespan_of(app: ASGIApp) -> AsyncIterator[None]:
    """Run the lifespan of `app` around the block. Raises LumenError when the app does not start."""
    to_app: asyncio.Queue[Message] = asyncio.Queue()
    from_app: asyncio.Queue[Message] = asyncio.Queue()
    scope = {'type': 'lifespan', 'asgi': {'version': '3.0', 'spec_version': '2.0'}, 'state': {}}
    life = asyncio.ensure_future(app(scope, to_app.get, from_app.put))
    await _step('startup', life, to_app, from_app)
    try:
        yield
    finally:
        await _step('shutdown', life, to_app, from_app)
        await life


async def _step(
    name: str, life: asyncio.Future[None], to_app: asyncio.Queue[Message], from_app: asyncio.Queue[Message]
) -> None:
    to_app.put_nowait({'type': f'lifespan.{name}'})
    answer = asyncio.ensure_future(from_app.get())
    either: list[asyncio.Future[Any]] = [answer, life]
    await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
    if not answer.done():
        answer.cancel()
        life.result()
        raise LumenError(f'the pages ended during {name}')
    message = answer.result()
    if message['type'] != f'lifespan.{name}.complete':
        raise LumenError(f'the pages failed at {name}: {message.get("message", "")}'.strip())
