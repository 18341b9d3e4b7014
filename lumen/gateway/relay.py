"""One call through: to the model server, back to the caller, and settled before its last byte is released."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from random import Random
from urllib.parse import quote

from lumen.config.endpoint import Endpoint
from lumen.errors import Invalid
from lumen.gateway import json_text, retries
from lumen.gateway.admission import Call
from lumen.gateway.body import Disconnected
from lumen.gateway.endpoints import Endpoints, Fleet
from lumen.gateway.errors import (
    PoolExhausted,
    Refused,
    TooLarge,
    TooSlow,
    UpstreamError,
    UpstreamTimeout,
    outcome_of,
)
from lumen.gateway.exchange import Exchange
from lumen.gateway.expectation import Expectation
from lumen.gateway.health import HealthNotes
from lumen.gateway.remarks import Remarks
from lumen.gateway.settling import Settling
from lumen.gateway.shared_breakers import POLL_SECONDS, Telling
from lumen.gateway.stream import Stream
from lumen.gateway.turn import Standing, Turn
from lumen.gateway.upstream import Answer, Upstream
from lumen.ledger import Ledger

PASSED_ON = frozenset({400, 404, 413, 422})
PASSING = frozenset({429, 500, 502, 503, 504})
"""Failures that may have passed a moment later, or elsewhere."""
MODEL_FIELD = 'x-lumen-model'
"""The header that names the model which answered in the place of another."""

MAX_JSON_BYTES = 256 * 1024 * 1024
LEAST_SECRET = 8
"""A header's value of fewer characters, as `1` or `eu`, is no secret, and would be found where it is not meant."""


class Relay:
    def __init__(
        self,
        upstream: Upstream,
        ledger: Ledger,
        expectation: Expectation,
        health: HealthNotes,
        endpoints: Endpoints,
        telling: Telling,
    ):
        self._upstream = upstream
        self._health = health
        self._ledger = ledger
        self._expectation = expectation
        self._endpoints = endpoints
        self._telling = telling
        self._remarks = Remarks()
        self._random = Random()  # noqa: S311 - it only spreads retries

    async def run(self, call: Call, exchange: Exchange, has_left: Callable[[], bool]) -> None:
        """Relay one call. Cancel it when the caller has left, or the process must end; every way out settles it."""
        settling = Settling(call, self._ledger, self._expectation, self._health, self._remarks, exchange.uses)
        try:
            await self._answer(call, settling, exchange)
        except UpstreamError as error:
            # One who asks for more at once than can be generated in time would have it generated for nothing.
            is_charged = isinstance(error, UpstreamTimeout) and not settling.sees_output
            await settling.settled(outcome_of(error, 'upstream_error'), error.status, is_charged)
            await exchange.refuse(error)
        except (Invalid, TooLarge, TooSlow) as error:  # of an upload that had begun
            await settling.settled('upload_failed', error.status, False)
            raise
        except Disconnected:
            settling.settle('disconnected', 499)
            raise
        except asyncio.CancelledError:
            if has_left():
                settling.settle('disconnected', 499)
            else:
                settling.settle('interrupted', 503)
            raise
        finally:
            settling.settle('internal_error', 500)

    async def _answer(self, call: Call, settling: Settling, exchange: Exchange) -> None:
        """Ask the model, then its fallbacks while nothing has come of it. Raises UpstreamError when none answers."""
        while True:
            try:
                await self._answer_by(call, settling, exchange)
                return
            except UpstreamError as error:
                is_over = settling.has_begun or not error.may_be_repeated or not call.can_be_sent_again
                if is_over or not call.fallbacks:
                    raise
                settling.failed(error)
            call = call.fallen_back()
            settling.goes_to(call)
            exchange.fields = exchange.fields | {MODEL_FIELD: quote(call.model.name, safe=':/@+ ')}

    async def _answer_by(self, call: Call, settling: Settling, exchange: Exchange) -> None:
        """Ask one endpoint, and others while nothing has come of it. Raises UpstreamError when none of them answers."""
        fleet = self._endpoints.of(call.model)
        fleet.budget.earn()
        turn = fleet.turn()
        if turn is not None and turn.is_trial:
            turn = await self._claimed(turn, fleet)
        if turn is None:
            raise fleet.why_not()
        asked: dict[Standing, float | None] = {}
        pause = 0.0
        for retries_left in range(retries.MOST_RETRIES, -1, -1):
            try:
                if pause:
                    await asyncio.sleep(pause)
                await self._ask(call, turn, settling, exchange, is_again=bool(asked))
                turn.succeeded()
                return
            except UpstreamError as error:
                asked[turn.standing] = retries.seconds_of(error.retry_after)
                if not isinstance(error, PoolExhausted):
                    turn.failed(error, asked[turn.standing])
                turn.end()  # or it would seem to be full
                if exchange.has_begun:
                    return  # the caller was told within the stream
                is_over = settling.has_begun or not error.may_be_repeated or not call.can_be_sent_again
                if is_over or not retries_left:
                    raise
                again = await self._again(fleet, asked)
                if again is None:
                    raise
                settling.failed(error)
            finally:
                turn.end()
            turn, pause = again

    async def _claimed(self, turn: Turn, fleet: Fleet, asked: Collection[Standing] = ()) -> Turn | None:
        """`turn`, or the next if another process tries that endpoint already: of all processes only one does."""
        found: Turn | None = turn
        while found is not None and found.is_trial:
            endpoint, is_mine = found.endpoint, False
            try:
                seconds = endpoint.connect_timeout_seconds + endpoint.patience.first
                is_mine = await self._telling.claimed(found, seconds)
            finally:
                if not is_mine:
                    found.denied(POLL_SECONDS)
            if is_mine:
                break
            found = fleet.turn(asked)
        return found

    async def _again(self, fleet: Fleet, asked: dict[Standing, float | None]) -> tuple[Turn, float] | None:
        """Where a call goes that failed at the endpoints `asked`, and after how many seconds; None if it does not."""
        turn = fleet.turn(asked)
        if turn is not None and turn.is_trial:
            turn = await self._claimed(turn, fleet, asked)
        if turn is None:
            return None
        is_new = turn.standing not in asked
        pause = 0.0 if is_new else retries.pause(asked[turn.standing], self._random)
        if pause is None or not fleet.budget.spend():
            turn.end()
            return None
        return turn, pause

    async def _ask(self, call: Call, turn: Turn, settling: Settling, exchange: Exchange, *, is_again: bool) -> None:
        """One try. Raises UpstreamError when it failed, also after the caller was told within the stream."""
        endpoint = turn.endpoint
        settling.asks(endpoint, turn.standing.place)
        answer = await self._upstream.post(
            endpoint,
            call.operation.path,
            call.content(endpoint),
            settling.sent,
            call.passed_on,
            is_again=is_again,
        )
        try:
            if answer.status != 200:
                await self._refused(endpoint, settling, answer, exchange)
                return
            turn.answered()
            if not answer.headers.get('content-type', '').lower().startswith('text/event-stream'):
                await self._whole(call, settling, answer, exchange)
            elif not call.streamed:
                raise UpstreamError('The model server answered with a stream, for which nobody asked.')
            else:
                await self._stream(call, settling, answer, exchange)
        finally:
            answer.close()

    async def _stream(self, call: Call, settling: Settling, answer: Answer, exchange: Exchange) -> None:
        stream = Stream(call, settling, exchange)
        try:
            await stream.relay(answer)
        except UpstreamError as error:
            answer.close()
            if exchange.has_begun:
                await stream.break_off(error)
            if not stream.is_complete:
                raise

    async def _whole(self, call: Call, settling: Settling, answer: Answer, exchange: Exchange) -> None:
        settling.sees_output = False
        settling.first_byte()  # some servers send the head when all is generated, which is not asked for twice
        content = await _read(answer)
        try:
            found = json_text.load(content)
        except (ValueError, RecursionError):
            found = None
        content_type = 'application/json'
        if not isinstance(found, dict):
            if call.operation.is_text is None or not call.operation.is_text(call.body):
                raise UpstreamError('The model server answered with something that is not JSON.')
            content_type = answer.headers.get('content-type', 'text/plain; charset=utf-8')
            found = {'text': content.decode('utf-8', 'replace')}
            settling.is_text(found['text'])
        if call.operation.has_failed(found):
            raise UpstreamError('The model server reported an error.')
        settling.sees_output = True
        settling.generated(call.operation.generated(found))
        if (reported := call.operation.reported(found, None)) is not None:
            settling.reported(reported)
        await settling.settled('success', 200)
        await exchange.answer(200, content, content_type=content_type)

    async def _refused(self, endpoint: Endpoint, settling: Settling, answer: Answer, exchange: Exchange) -> None:
        if answer.status not in PASSED_ON:
            raise _translated(answer)
        settling.refused()
        try:
            content = _without_secrets(await _read(answer), endpoint)
        except UpstreamError:
            await settling.settled('upstream_error', answer.status, False)
            raise UpstreamError(
                'The model server refused this call, and did not say why.',
                code='upstream_refusal',
                status=answer.status,
            ) from None
        await settling.settled('upstream_error', answer.status, False)
        content_type = answer.headers.get('content-type', 'application/json')
        await exchange.answer(answer.status, content, content_type=content_type)


def _without_secrets(content: bytes, endpoint: Endpoint) -> bytes:
    """What a server answers to us may quote what we sent it, which is not the caller's to see."""
    if (key := endpoint.api_key) is not None and key.get_secret_value():
        content = content.replace(key.get_secret_value().encode(), b'...')
    for name, value in endpoint.own_headers:
        text = value.get_secret_value()
        secret = text.rpartition(' ')[2] if name == 'authorization' else text
        if len(secret) >= LEAST_SECRET:
            content = content.replace(secret.encode(), b'...')
    return content


async def _read(answer: Answer) -> bytes:
    if (whole := answer.whole()) is not None:
        return whole
    content = bytearray()
    while (chunk := await answer.read()) is not None:
        content += chunk
        if len(content) > MAX_JSON_BYTES:
            raise UpstreamError('The model server answered with more than can be passed on.')
    return bytes(content)


def _translated(answer: Answer) -> UpstreamError:
    """What the caller is told of a model server's failure, which is not the caller's."""
    status = answer.status
    if status in (401, 403):
        return UpstreamError('The model server refused our credentials.', code='upstream_refused')
    kind = Refused if status in PASSING else UpstreamError
    retry_after = answer.headers.get('retry-after', '')
    if status == 429:
        return kind(
            'The model server has too many requests.', code='upstream_busy', status=429, retry_after=retry_after
        )
    if status in (408, 504):
        return kind('The model server did not answer in time.', code='upstream_timeout', status=504)
    return kind(f'The model server failed with status {status}.', retry_after=retry_after)
