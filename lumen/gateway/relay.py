"""One call through: to the model server, back to the caller, and settled before its last byte is released."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from lumen.gateway import body as request_body
from lumen.gateway import json_text, usage
from lumen.gateway.admission import Call
from lumen.gateway.errors import UpstreamError, UpstreamTimeout, outcome_of
from lumen.gateway.exchange import Exchange
from lumen.gateway.expectation import Expectation
from lumen.gateway.health import HealthNotes
from lumen.gateway.settling import Remarks, Settling
from lumen.gateway.stream import Stream
from lumen.gateway.upstream import Answer, Upstream
from lumen.ledger import Ledger

PASSED_ON = frozenset({400, 404, 413, 422})
MAX_JSON_BYTES = 256 * 1024 * 1024
LEAST_SECRET = 8
"""A header's value of fewer characters, as `1` or `eu`, is no secret, and would be found where it is not meant."""


class Relay:
    def __init__(self, upstream: Upstream, ledger: Ledger, expectation: Expectation, health: HealthNotes):
        self._upstream = upstream
        self._health = health
        self._ledger = ledger
        self._expectation = expectation
        self._remarks = Remarks()

    async def run(self, call: Call, exchange: Exchange, has_left: Callable[[], bool]) -> None:
        """Relay one call. Cancel it when the caller has left, or the process must end; every way out settles it."""
        settling = Settling(call, self._ledger, self._expectation, self._health, self._remarks, exchange.uses)
        stream: Stream | None = None
        try:
            content = request_body.dump(call.outgoing)
            answer = await self._upstream.post(call.endpoint, call.operation.path, content, settling.sent)
            try:
                if answer.status != 200:
                    await self._refused(call, settling, answer, exchange)
                elif not answer.headers.get('content-type', '').lower().startswith('text/event-stream'):
                    await self._whole(call, settling, answer, exchange)
                elif call.streamed:
                    stream = Stream(call, settling, exchange)
                    await stream.relay(answer)
                else:
                    raise UpstreamError('The model server answered with a stream, for which nobody asked.')
            finally:
                answer.close()
        except UpstreamError as error:
            if stream is not None and exchange.has_begun:
                await stream.break_off(error)
            else:
                # One who asks for more at once than can be generated in time would have it generated for nothing.
                is_charged = isinstance(error, UpstreamTimeout) and not settling.sees_output
                await settling.settled(outcome_of(error, 'upstream_error'), error.status, is_charged)
                await exchange.refuse(error)
        except asyncio.CancelledError:
            if has_left():
                settling.settle('disconnected', 499)
            else:
                settling.settle('interrupted', 503)
            raise
        finally:
            settling.settle('internal_error', 500)

    async def _whole(self, call: Call, settling: Settling, answer: Answer, exchange: Exchange) -> None:
        settling.sees_output = False
        content = await _read(answer, settling)
        try:
            found = json_text.load(content)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise UpstreamError('The model server answered with something that is not JSON.')
        if found.get('error') and not found.get('choices') and not found.get('data'):
            raise UpstreamError('The model server reported an error.')
        settling.sees_output = True
        settling.generated(usage.generated_bytes(found))
        if (reported := call.operation.reported(found)) is not None:
            settling.reported(reported)
        await settling.settled('success', 200)
        await exchange.answer(200, content)

    async def _refused(self, call: Call, settling: Settling, answer: Answer, exchange: Exchange) -> None:
        if answer.status not in PASSED_ON:
            raise _translated(answer)
        content = _without_secrets(await _read(answer, settling), call)
        await settling.settled('upstream_error', answer.status, False)
        content_type = answer.headers.get('content-type', 'application/json')
        await exchange.answer(answer.status, content, content_type=content_type)


def _without_secrets(content: bytes, call: Call) -> bytes:
    """What a server answers to us may quote what we sent it, which is not the caller's to see."""
    if (key := call.endpoint.api_key) is not None and key.get_secret_value():
        content = content.replace(key.get_secret_value().encode(), b'...')
    for _, value in call.endpoint.own_headers:
        if len(secret := value.get_secret_value()) >= LEAST_SECRET:
            content = content.replace(secret.encode(), b'...')
    return content


async def _read(answer: Answer, settling: Settling) -> bytes:
    if (whole := answer.whole()) is not None:
        settling.first_byte()
        return whole
    content = bytearray()
    while (chunk := await answer.read()) is not None:
        settling.first_byte()
        content += chunk
        if len(content) > MAX_JSON_BYTES:
            raise UpstreamError('The model server answered with more than can be passed on.')
    return bytes(content)


def _translated(answer: Answer) -> UpstreamError:
    """What the caller is told of a model server's failure, which is not the caller's."""
    status = answer.status
    if status in (401, 403):
        return UpstreamError('The model server refused our credentials.', code='upstream_refused')
    if status == 429:
        return UpstreamError(
            'The model server has too many requests.',
            code='upstream_busy',
            status=429,
            retry_after=answer.headers.get('retry-after', ''),
        )
    if status in (408, 504):
        return UpstreamError('The model server did not answer in time.', code='upstream_timeout', status=504)
    return UpstreamError(f'The model server failed with status {status}.')
