"""The built-in model server, called within the process: the same ASGI app as `lumen echo`, without a socket."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from starlette.types import Message

from lumen.config.endpoint import Patience
from lumen.gateway.echo import echo_app
from lumen.gateway.errors import BrokeOff, UpstreamTimeout
from lumen.gateway.upload import Outgoing

QUEUED_CHUNKS = 64


class BuiltinServer:
    def __init__(self) -> None:
        self._app = echo_app()

    async def post(
        self, path: str, content: bytes | Outgoing, patience: Patience, on_sent: Callable[[bool], None]
    ) -> BuiltinAnswer:
        """Run the app on one request. Closing the answer stops it, as closing a connection would.

        `on_sent` is told True when the app has got all of it. Raises UpstreamError, and what an upload raises.
        """
        messages: asyncio.Queue[Message | None] = asyncio.Queue(QUEUED_CHUNKS)
        left = asyncio.Event()
        limit = asyncio.timeout(None)
        is_sent = False
        failure: Exception | None = None

        async def receive() -> Message:
            nonlocal is_sent, failure
            if is_sent or failure:
                await left.wait()
                return {'type': 'http.disconnect'}
            try:
                piece = content if isinstance(content, bytes) else await content.read()
            except Exception as error:  # noqa: BLE001 - it is raised where the answer is waited for
                failure = error
                return {'type': 'http.disconnect'}
            is_sent = isinstance(content, bytes) or piece is None
            if is_sent:
                on_sent(True)
                limit.reschedule(asyncio.get_running_loop().time() + patience.first)
            return {'type': 'http.request', 'body': piece or b'', 'more_body': not is_sent}

        async def run() -> None:
            scope = {
                'type': 'http',
                'asgi': {'version': '3.0'},
                'http_version': '1.1',
                'method': 'POST',
                'scheme': 'http',
                'path': f'/v1{path}',
                'raw_path': f'/v1{path}'.encode(),
                'query_string': b'',
                'headers': [(b'content-type', kind)],
            }
            try:
                await self._app(scope, receive, messages.put)
            finally:
                if not left.is_set():  # else nobody takes anything, and a full queue would be waited for for ever
                    await messages.put(None)

        kind = b'application/json' if isinstance(content, bytes) else content.upload.content_type
        task = asyncio.create_task(run())

        def stop() -> None:
            left.set()
            task.cancel()

        try:
            async with limit:
                head = await messages.get()
            if head is None:
                raise failure or BrokeOff('The model server broke off.')
        except TimeoutError:
            stop()
            raise UpstreamTimeout from None
        except BaseException:
            stop()
            raise
        return BuiltinAnswer(head, messages, patience, stop)


class BuiltinAnswer:
    def __init__(
        self,
        head: Message,
        messages: asyncio.Queue[Message | None],
        patience: Patience,
        stop: Callable[[], None],
    ):
        self.status: int = head['status']
        self.headers: Mapping[str, str] = {
            name.decode('latin-1').lower(): value.decode('latin-1') for name, value in head['headers']
        }
        self._messages = messages
        self._waits_seconds, self._idle_seconds = patience
        self._stop = stop
        self._has_more = True

    def whole(self) -> bytes | None:
        return None

    def pass_to(self, sink: Callable[[bytes], bool]) -> None:
        """Its messages are read one by one."""

    async def read(self) -> bytes | None:
        while self._has_more:
            message = await _next(self._messages, self._waits_seconds)
            if message is None:
                raise BrokeOff('The model server broke off.')
            self._has_more = message.get('more_body', False)
            if message.get('body'):
                self._waits_seconds = self._idle_seconds
                return bytes(message['body'])
        return None

    def close(self) -> None:
        self._stop()


async def _next(messages: asyncio.Queue[Message | None], timeout_seconds: float) -> Message | None:
    try:
        async with asyncio.timeout(timeout_seconds):
            return await messages.get()
    except TimeoutError:
        raise UpstreamTimeout from None
