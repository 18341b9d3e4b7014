"""The least that a relay in Python can be, as a measure: raw ASGI on uvicorn, aiohttp to the model server, no rules.

python -m bench.minimal_relay PORT UPSTREAM
"""

from __future__ import annotations

import asyncio
import gc
import sys

import aiohttp
import uvicorn
from starlette.types import Receive, Scope, Send

CONNECTIONS = 1000


class MinimalRelay:
    def __init__(self, upstream: str):
        self._upstream = upstream
        self._session: aiohttp.ClientSession | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope['type'] == 'lifespan':
            await self._live(receive, send)
            return
        assert self._session is not None  # noqa: S101 - the lifespan made it
        body = b''
        more = True
        while more:
            message = await receive()
            body += message.get('body', b'')
            more = message.get('more_body', False)
        async with self._session.post(
            f'{self._upstream}{scope["path"]}', data=body, headers={'content-type': 'application/json'}
        ) as answer:
            is_stream = answer.headers['content-type'].startswith('text/event-stream')
            headers = [(b'content-type', answer.headers['content-type'].encode())]
            if not is_stream:
                content = await answer.read()
                headers.append((b'content-length', str(len(content)).encode()))
            await send({'type': 'http.response.start', 'status': answer.status, 'headers': headers})
            if not is_stream:
                await send({'type': 'http.response.body', 'body': content})
                return
            async for chunk in answer.content.iter_any():
                await send({'type': 'http.response.body', 'body': chunk, 'more_body': True})
            await send({'type': 'http.response.body', 'body': b''})

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=CONNECTIONS), cookie_jar=aiohttp.DummyCookieJar()
        )
        gc.collect()
        gc.freeze()
        await send({'type': 'lifespan.startup.complete'})
        await receive()
        await self._session.close()
        await asyncio.sleep(0)
        await send({'type': 'lifespan.shutdown.complete'})


def main() -> None:
    port, upstream = int(sys.argv[1]), sys.argv[2]
    uvicorn.run(
        MinimalRelay(upstream),
        host='127.0.0.1',
        port=port,
        loop='uvloop',
        http='httptools',
        ws='none',
        log_config=None,
        access_log=False,
        server_header=False,
        backlog=2048,
    )


if __name__ == '__main__':
    main()
