"""Pages that are open, as far as the server can tell: their sockets are, and they take what it says.

python -m bench.open_pages PORT ADDRESS COUNT PATH

The session's cookie is in COOKIE. Listens on PORT once all are open.
"""

from __future__ import annotations

import ast
import asyncio
import os
import re
import sys
from uuid import uuid4

import httpx2
import socketio

QUERY = re.compile(r'query: (\{.*?\})')


async def opened(address: str, path: str, cookie: str) -> socketio.AsyncClient:
    """Ask for a page and connect its socket."""
    async with httpx2.AsyncClient(base_url=address) as http:
        answer = await http.get(path, headers={'cookie': cookie})
    query = QUERY.search(answer.text)
    if answer.status_code != 200 or query is None:
        raise SystemExit(f'{path} answered {answer.status_code}')
    said = ast.literal_eval(query[1]) | {'implicit_handshake': 'true', 'tab_id': uuid4(), 'document_id': uuid4()}
    socket = socketio.AsyncClient(reconnection=False)
    await socket.connect(
        f'{address}/?{"&".join(f"{name}={value}" for name, value in (said | {"old_tab_id": ""}).items())}',
        headers={'cookie': cookie, 'Origin': address, 'Sec-Fetch-Site': 'same-origin'},
        transports=['websocket'],
        socketio_path='/_nicegui_ws/socket.io',
    )
    return socket


async def stay(port: int, address: str, count: int, path: str, cookie: str) -> None:
    sockets = [await opened(address, path, cookie) for _ in range(count)]
    async with await asyncio.start_server(lambda _, writer: writer.close(), '127.0.0.1', port):
        await asyncio.gather(*(socket.wait() for socket in sockets))
    raise SystemExit('the pages were closed')


if __name__ == '__main__':
    asyncio.run(stay(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4], os.environ['COOKIE']))
