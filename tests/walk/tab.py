"""A browser tab without a browser: a page's elements and listeners, and events sent for them over the socket."""

from __future__ import annotations

import ast
import asyncio
import html
import json
import re
from collections.abc import AsyncIterator, Callable, Container, Iterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import httpx2
import socketio

from lumen.identity.sessions import COOKIE
from lumen_ui.socket_rates import BURST, MESSAGES_A_SECOND

ELEMENTS = re.compile(r'parseElements\(String\.raw`(.*?)`\)', re.DOTALL)
QUERY = re.compile(r'query: (\{.*?\})')
TIMEOUT_SECONDS = 15.0


class Missing(Exception):
    """There is nothing on the page that could be pressed or filled in."""


class NotOpened(Exception):
    """The page did not open. `status` is what the server answered."""

    def __init__(self, status: int):
        super().__init__(str(status))
        self.status = status


class Tab:
    """What a page consists of now, and everything that the server said since it was opened.

    `answers` are what this browser says, one after the other, when the server asks for what is called so.
    """

    def __init__(self, client_id: str, elements: dict[str, Any], socket: socketio.AsyncClient):
        self.client_id = client_id
        self.elements = elements
        self.said: list[tuple[str, Any]] = []
        self.answers: dict[str, list[Any]] = {}
        self.socket = socket
        self._patience_seconds = 0.0
        self._sent = 0
        self._began = asyncio.get_running_loop().time()

    def listeners(self) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
        """Every (element id, element, listener) of the page, hidden ones included, the newest first."""
        for identity in sorted(self.elements, key=int, reverse=True):
            for listener in self.elements[identity].get('events') or ():
                yield identity, self.elements[identity], listener

    def find(
        self, kind: str, name: str = '', tag: str = '', without: Container[str] = ()
    ) -> tuple[str, dict[str, Any]]:
        """The newest element with a listener for `kind`, by its name or tag. Raises Missing."""
        for identity, element, listener in self.listeners():
            if identity in without:
                continue
            if (
                listener['type'] == kind
                and (not name or name_of(element) == name)
                and (not tag or element['tag'] == tag)
            ):
                return identity, listener
        raise Missing(f'{kind} {name or tag}')

    async def fire(self, kind: str, name: str = '', *arguments: Any, tag: str = '') -> None:
        """Send an event for an element, once it is there; the server has begun with it when this returns."""
        identity, listener = await self.patiently(lambda: self.find(kind, name, tag), self._patience_seconds)
        # A press on what is hidden should open nothing, and what does not come need not be waited for long.
        is_hidden = 'hidden' in (self.elements[identity].get('class') or ())
        self._patience_seconds = 0.2 if is_hidden else TIMEOUT_SECONDS
        await self.send(identity, listener, *arguments)

    async def send(self, identity: str, listener: dict[str, Any], *arguments: Any) -> None:
        # No faster than the server listens.
        self._sent += 1
        ahead = (self._sent - BURST / 2) / (MESSAGES_A_SECOND - 5)
        await asyncio.sleep(max(0.0, self._began + ahead - asyncio.get_running_loop().time()))
        message = {
            'id': int(identity),
            'client_id': self.client_id,
            'listener_id': listener['listener_id'],
            'args': [json.dumps(argument) for argument in arguments],
        }
        await self.socket.emit('event', message)

    async def taken_up(self) -> None:
        """Wait until the server has begun with everything that was sent: what it has not is lost with the socket."""
        await self.socket.call('ack', {'client_id': self.client_id, 'next_message_id': 0}, timeout=TIMEOUT_SECONDS)

    async def patiently(self, look: Callable[[], Any], seconds: float = TIMEOUT_SECONDS) -> Any:
        """What `look` finds, as soon as it does; a page that opens dialogs may take a moment. Raises Missing."""
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while True:
            try:
                return look()
            except Missing:
                if loop.time() > end:
                    raise
            await asyncio.sleep(0.01)

    def text_since(self, number: int) -> str:
        """All that the server said after so many messages."""
        return json.dumps(self.said[number:], ensure_ascii=False, default=str)

    @staticmethod
    def label(element: dict[str, Any]) -> str:
        return name_of(element)

    @property
    def was_refused(self) -> bool:
        """Whether the page said no: in a message, at a field, by leading away, or by showing nothing any more."""
        return any(
            kind == 'open'
            or (kind == 'notify' and data.get('type') == 'negative')
            or (kind == 'update' and ('You cannot see' in json.dumps(data) or '"error-message"' in json.dumps(data)))
            for kind, data in self.said
        )


@asynccontextmanager
async def opened(address: str, path: str, cookie: str | None) -> AsyncIterator[Tab]:
    """Open a page and its socket, as a browser does. Raises NotOpened when the answer is no page."""
    headers = {'cookie': f'{COOKIE}={cookie}'} if cookie else {}
    async with httpx2.AsyncClient(base_url=address, timeout=TIMEOUT_SECONDS) as http:
        answer = await http.get(path, headers=headers)
    found = ELEMENTS.search(answer.text)
    if answer.status_code != 200 or found is None:
        raise NotOpened(answer.status_code)
    query = QUERY.search(answer.text)
    assert query is not None
    said = ast.literal_eval(query[1]) | {'implicit_handshake': 'true'}
    socket = socketio.AsyncClient(reconnection=False)
    tab = Tab(said['client_id'], json.loads(html.unescape(found[1])), socket)

    async def answer(question: dict[str, Any]) -> None:
        for asked, answers in tab.answers.items():
            if asked in question['code'] and answers:
                said = {'client_id': tab.client_id, 'request_id': question['request_id'], 'result': answers.pop(0)}
                await socket.emit('javascript_response', said)

    async def heard(kind: str, data: Any) -> None:
        tab.said.append((kind, data))
        if kind == 'run_javascript' and data.get('request_id'):
            await answer(data)
        if kind == 'update':
            for identity, element in data.items():
                if identity == '_id':
                    continue
                if element is None:
                    tab.elements.pop(identity, None)
                else:
                    tab.elements[identity] = element

    socket.on('*', heard)
    place = '&'.join(
        f'{name}={value}'
        for name, value in (said | {'tab_id': str(uuid4()), 'document_id': str(uuid4()), 'old_tab_id': ''}).items()
    )
    await socket.connect(
        f'{address}/?{place}',
        headers=headers | {'Origin': address, 'Sec-Fetch-Site': 'same-origin'},
        transports=['websocket'],
        socketio_path='/_nicegui_ws/socket.io',
    )
    try:
        yield tab
    finally:
        await socket.disconnect()


def name_of(element: dict[str, Any]) -> str:
    """What a person would call it."""
    props = element.get('props') or {}
    return str(props.get('aria-label') or props.get('label') or element.get('text') or props.get('name') or '')
