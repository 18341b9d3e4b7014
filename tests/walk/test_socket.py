"""What a stranger can say to a page's socket below its events: it is dropped, and nothing breaks or fills up."""

from __future__ import annotations

import ast
import asyncio
import re
from typing import Any

import httpx2
import pytest
import socketio

from lumen_ui import socket_messages
from tests.conftest import wait_until
from tests.walk.cast import PLAYERS, Stage
from tests.walk.tab import QUERY, Missing, Tab, opened
from tests.walk.test_listing import loaded

UNASKED = tuple(
    f'42["{name}"{said}]' for name in ('event', 'ack', 'javascript_response', 'log') for said in ('', ',1,2', ',{},{}')
)
"""With more or less than such a message has, which the others have one of."""

GOOD = {'client_id': 'a', 'tab_id': 'b', 'document_id': 'c', 'old_tab_id': None, 'next_message_id': 0}
FORGED: tuple[Any, ...] = (
    *(
        GOOD | {name: value}
        for name in ('client_id', 'tab_id', 'document_id')
        for value in ([1], {}, 7, None, 'x' * 101)
    ),
    *(GOOD | {'old_tab_id': value} for value in ([1], 7)),
    *(GOOD | {'next_message_id': value} for value in ('x', '-1', [0], 1.5, True)),
    {name: value for name, value in GOOD.items() if name != 'document_id'},
    None,
    [],
    7,
)
PACKETS: tuple[str | bytes, ...] = (
    '42["event"',
    '42[]',
    '42{}',
    '42["event",1e999]',
    '42["event",NaN]',
    '42' + '[' * 2000,
    '44',
    '49',
    '452-["event",{}]',
    '',
    'x',
    '0{}',
    '1',
    '2probe',
    '3' + '[' * 2000,
    '4',
    '5',
    '9',
    '٣',
    'b',
    'b!!',
    b'',
    b'4',
    b'\xff',
)


@pytest.mark.parametrize('said', FORGED, ids=str)
async def test_a_handshake_that_no_page_makes_never_comes_to_nicegui(said: Any):
    heard: list[Any] = []

    async def shake(socket_id: str, said: Any) -> bool:
        heard.append(said)
        return True

    checked = socket_messages._refusing('handshake', socket_messages._fitting(shake))
    assert await checked('socket', said) is False
    assert heard == []
    for good in (GOOD, GOOD | {'next_message_id': '3', 'old_tab_id': 'd'}):
        assert await checked('socket', good) is True
    assert len(heard) == 2


@pytest.mark.usefixtures('unbroken')
async def test_nonsense_from_a_stranger_breaks_nothing_and_fills_no_log(stage: Stage):
    address, log = stage.site.address, stage.site.log
    async with httpx2.AsyncClient(base_url=address) as http:
        query = QUERY.search((await http.get('/sign-in')).text)
    assert query is not None
    client_id = ast.literal_eval(query[1])['client_id']
    before = len(log.read_bytes())

    async def connected() -> socketio.AsyncClient:
        socket = socketio.AsyncClient(reconnection=False)
        headers = {'Origin': address, 'Sec-Fetch-Site': 'same-origin'}
        await socket.connect(address, headers=headers, transports=['websocket'], socketio_path='/_nicegui_ws/socket.io')
        return socket

    for packet in PACKETS:
        socket = await connected()
        await (socket.eio.ws.send_str(packet) if isinstance(packet, str) else socket.eio.ws.send_bytes(packet))
        await socket.disconnect()
    socket = await connected()
    for packet in UNASKED * 3:
        await socket.eio.ws.send_str(packet)
    forged = {'client_id': client_id, 'tab_id': 'x', 'document_id': [1], 'next_message_id': 0}
    assert await socket.call('handshake', forged, timeout=15) is False
    for _ in range(20):  # as large as counts as one message
        await socket.emit('log', {'client_id': client_id, 'level': 'error', 'message': 'flood' * 800})
        await socket.emit('ack', {'client_id': client_id, 'next_message_id': [1]})
    assert await socket.call('handshake', forged | {'document_id': 'y'}, timeout=15) is True
    await socket.disconnect()
    await asyncio.to_thread(wait_until, lambda: b'no page sends' in log.read_bytes()[before:])
    assert len(log.read_bytes()) - before < 20_000


@pytest.mark.usefixtures('unbroken')
async def test_a_socket_that_only_knows_the_id_of_a_page_speaks_for_nobody(stage: Stage):
    address, admin = stage.site.address, stage.cookie(next(player for player in PLAYERS if player.name == 'admin'))
    async with opened(address, '/clients', admin) as tab:
        button, presses = tab.find('click', '+ New Client')
        stranger = socketio.AsyncClient(reconnection=False)
        await stranger.connect(
            address,
            headers={'Origin': address, 'Sec-Fetch-Site': 'same-origin'},
            transports=['websocket'],
            socketio_path='/_nicegui_ws/socket.io',
        )
        press = {'id': int(button), 'client_id': tab.client_id, 'listener_id': presses['listener_id'], 'args': []}
        said = len(tab.said)
        await stranger.emit('event', press)
        await stranger.call('ack', {'client_id': tab.client_id, 'next_message_id': 0}, timeout=15)
        await stranger.disconnect()
        # What the page says comes in order: had the press counted, its dialog would come before what this brings.
        await loaded(tab, lambda: tab.fire('update:value', 'Search by name', 'no such client'))
        assert 'New client' not in tab.text_since(said)
        await tab.send(button, presses)
        await tab.patiently(lambda: _said(tab, said, 'New client'))


def _said(tab: Tab, since: int, text: str) -> None:
    if text not in tab.text_since(since):
        raise Missing(text)


async def test_pages_and_their_server_know_websockets_only(stage: Stage):
    upgrade = {'connection': 'Upgrade', 'upgrade': 'websocket', 'sec-websocket-version': '13'}
    headers = upgrade | {'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==', 'sec-fetch-site': 'same-origin'}
    polling = '/_nicegui_ws/socket.io/?EIO=4&transport=polling'
    async with httpx2.AsyncClient(base_url=stage.site.address) as http:
        assert re.search(r'transports: (.*),', (await http.get('/sign-in')).text)[1] == "['websocket']"
        assert (await http.get(polling, headers={'sec-fetch-site': 'same-origin'})).status_code == 400
        assert (await http.get(polling, headers=headers)).status_code == 403
