"""One page that says things without end: everybody else goes on as before, and its socket is closed."""

from __future__ import annotations

import asyncio
import json
import time

import httpx2
import pytest

from lumen.identity.sessions import COOKIE
from lumen.server.websocket import MOST_BYTES
from tests.walk.cast import PLAYERS, Stage
from tests.walk.tab import opened

MANY = 20_000
# Of the machine that this runs on, which others use: what is waited for in a queue takes half a minute.
SECONDS = 5.0
CLOSED_SECONDS = 20.0

MANAGER = next(player for player in PLAYERS if player.name == 'manager')
ADMIN = next(player for player in PLAYERS if player.name == 'admin')


@pytest.mark.usefixtures('unbroken')
async def test_a_flood_of_events_takes_nobody_elses_pages_down(stage: Stage):
    client_id = stage.client(MANAGER)
    cookie = stage.cookie(ADMIN)
    headers = {'cookie': f'{COOKIE}={cookie}'}
    async with (
        opened(stage.site.address, f'/clients/{client_id}', stage.cookie(MANAGER)) as tab,
        httpx2.AsyncClient(base_url=stage.site.address, timeout=60) as http,
    ):
        identity, listener = tab.find('update:modelValue', 'Show revoked')

        async def flood() -> None:
            for number in range(MANY):
                message = {
                    'id': int(identity),
                    'client_id': tab.client_id,
                    'listener_id': listener['listener_id'],
                    'args': [json.dumps(bool(number % 2))],
                }
                if not tab.socket.connected:
                    return
                await tab.socket.emit('event', message)

        await flood()
        begun = time.monotonic()
        for _ in range(3):
            for path in ('/clients', '/readyz'):
                answer = await http.get(path, headers=headers)
                assert answer.status_code == 200, path
        assert time.monotonic() - begun < SECONDS
        await asyncio.wait_for(tab.socket.wait(), CLOSED_SECONDS)  # until it is closed
    assert 'a socket that said too much was closed' in stage.site.log.read_text()


@pytest.mark.usefixtures('unbroken')
async def test_a_message_that_would_take_long_to_read_closes_its_socket(stage: Stage):
    async with opened(stage.site.address, '/clients', stage.cookie(ADMIN)) as tab:
        await tab.socket.emit('event', {'client_id': tab.client_id, 'args': [[] for _ in range(MOST_BYTES // 3)]})
        await asyncio.wait_for(tab.socket.wait(), CLOSED_SECONDS)  # until it is closed
    async with opened(stage.site.address, '/clients', stage.cookie(ADMIN)) as tab:
        await tab.socket.emit('event', {'client_id': tab.client_id, 'args': ['x' * (MOST_BYTES // 2)]})
        await tab.taken_up()  # one of an unusual length is read
