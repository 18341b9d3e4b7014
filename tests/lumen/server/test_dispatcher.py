import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from lumen.errors import LumenError
from lumen.server.dispatcher import Dispatcher

DENIAL = {'websocket.http.response': {}}


def app_named(name: str) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({'type': 'http.response.start', 'status': 200, 'headers': []})
        await send({'type': 'http.response.body', 'body': name.encode()})

    return app


@asynccontextmanager
async def nothing() -> AsyncIterator[None]:
    yield


async def ready() -> str:
    return ''


def dispatcher(**parts: Any) -> Dispatcher:
    known = {'gateway': app_named('gateway'), 'pages': app_named('pages'), 'ready': ready, 'running': nothing}
    return Dispatcher(**(known | parts))


async def ask(app: ASGIApp, path: str, kind: str = 'http', **more: Any) -> list[dict[str, Any]]:
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {'type': f'{kind}.connect'}

    async def send(message: Any) -> None:
        sent.append(message)

    await app({'type': kind, 'path': path, 'method': 'GET', 'headers': [], **more}, receive, send)
    return sent


async def body(app: ASGIApp, path: str) -> str:
    return (await ask(app, path))[-1]['body'].decode()


@pytest.mark.parametrize(
    ('path', 'answered_by'),
    [
        ('/v1', 'gateway'),
        ('/v1/models', 'gateway'),
        ('/v1x', 'pages'),
        ('/', 'pages'),
        ('/clients', 'pages'),
        ('/healthz/x', 'pages'),
    ],
)
async def test_a_path_is_answered_by_the_app_it_belongs_to(path: str, answered_by: str):
    assert await body(dispatcher(), path) == answered_by


@pytest.mark.parametrize(
    ('path', 'code'), [('/', 'not_found'), ('/clients', 'not_found'), ('/v1/models', 'unknown_url')]
)
async def test_what_a_process_does_not_serve_is_not_found(path: str, code: str):
    start, end = await ask(dispatcher(gateway=None, pages=None), path)
    assert start['status'] == 404
    assert json.loads(end['body'])['error']['code'] == code
    assert any(name == b'x-request-id' for name, _ in start['headers']) == path.startswith('/v1')


async def test_websockets_belong_to_the_pages_and_there_are_none_of_the_api():
    heard = []

    async def pages(scope: Scope, receive: Receive, send: Send) -> None:
        heard.append(scope['path'])

    await ask(dispatcher(pages=pages), '/socket', kind='websocket')
    assert heard == ['/socket']
    for path in ('/socket', '/v1/socket'):
        assert (await ask(dispatcher(pages=None), path, kind='websocket'))[0]['type'] == 'websocket.close'
    start, end = await ask(dispatcher(pages=pages), '/v1/socket', kind='websocket', extensions=DENIAL)
    assert (start['type'], start['status']) == ('websocket.http.response.start', 404)
    assert json.loads(end['body'])['error']['code'] == 'unknown_url'
    assert b'x-request-id' in dict(start['headers'])
    assert heard == ['/socket']


async def test_health_is_answered_even_when_not_ready():
    async def not_ready() -> str:
        return 'the database does not answer'

    app = dispatcher(ready=not_ready)
    assert (await ask(app, '/healthz'))[0]['status'] == 200
    start, end = await ask(app, '/readyz')
    assert start['status'] == 503
    assert json.loads(end['body'])['reason'] == 'the database does not answer'
    assert (await ask(dispatcher(), '/readyz'))[0]['status'] == 200


async def live(app: ASGIApp) -> list[str]:
    orders = iter(['lifespan.startup', 'lifespan.shutdown'])
    sent: list[str] = []

    async def receive() -> dict[str, Any]:
        return {'type': next(orders)}

    async def send(message: Any) -> None:
        sent.append(message['type'])

    await app({'type': 'lifespan'}, receive, send)
    return sent


async def test_parts_run_between_start_and_stop():
    steps = []

    @asynccontextmanager
    async def running() -> AsyncIterator[None]:
        steps.append('started')
        yield
        steps.append('stopped')

    assert await live(dispatcher(running=running)) == ['lifespan.startup.complete', 'lifespan.shutdown.complete']
    assert steps == ['started', 'stopped']


async def test_a_refusal_at_the_start_is_told_without_a_traceback():
    @asynccontextmanager
    async def running() -> AsyncIterator[None]:
        raise LumenError('no')
        yield

    assert await live(dispatcher(running=running)) == ['lifespan.startup.failed']
