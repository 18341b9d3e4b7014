import pytest
from starlette.types import Receive, Scope, Send

from lumen.errors import LumenError
from lumen.server.lifespan import lifespan_of


async def test_an_app_within_is_started_and_stopped():
    steps = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for _ in range(2):
            message = await receive()
            steps.append(message['type'])
            await send({'type': f'{message["type"]}.complete'})

    async with lifespan_of(app):
        steps.append('running')
    assert steps == ['lifespan.startup', 'running', 'lifespan.shutdown']


async def test_an_app_that_fails_to_start_says_why():
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({'type': 'lifespan.startup.failed', 'message': 'no theme'})

    with pytest.raises(LumenError, match='no theme'):
        async with lifespan_of(app):
            pytest.fail('started')


async def test_an_app_that_breaks_at_the_start_does_not_hang():
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise ValueError('broken')

    with pytest.raises(ValueError, match='broken'):
        async with lifespan_of(app):
            pytest.fail('started')
