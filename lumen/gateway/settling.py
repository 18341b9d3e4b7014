"""The end of a call: it is settled once, whichever way it ended, from whatever was learnt of its usage."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future

import structlog

from lumen.coins import Price
from lumen.config.endpoint import Endpoint
from lumen.config.places import place_of
from lumen.gateway.admission import Call
from lumen.gateway.errors import UpstreamError, outcome_of
from lumen.gateway.expectation import Expectation
from lumen.gateway.health import ANSWERED, HealthNotes
from lumen.gateway.remarks import Remarks
from lumen.gateway.usage import Usage, is_nonsense, tells_the_cost
from lumen.ledger import Ledger, Outcome, Settled
from lumen.waking import awaitable

log = structlog.get_logger()

MORE_TOKENS = 64
"""A hold is extended by so much, and a quarter, beyond what is needed, so that it is not extended at each event."""

DOUBT = 2
"""By so much an estimate may be off. What exceeds a bound even so does exceed it."""


class Settling:
    """Gathers what one call used while it runs. `settle` only queues, so it may be called from a `finally`.

    `sees_output` is whether all that was generated was seen, as in a stream or in a whole answer once it is there.
    """

    def __init__(
        self,
        call: Call,
        ledger: Ledger,
        expectation: Expectation,
        health: HealthNotes,
        remarks: Remarks,
        uses: Callable[[int], None] | None,
    ):
        self.sees_output = call.streamed
        self._usage: Usage | None = None
        self._output_bytes = 0
        self._reported_bytes = 0
        self._was_sent = False
        self._is_text = False
        self._seen_audio_us: int | None = None
        self._url = self._place = ''
        self._answered_by: tuple[str, Price] | None = None
        self._call = call
        self._ledger = ledger
        self._expectation = expectation
        self._health = health
        self._remarks = remarks
        self._uses = uses
        self._started = time.monotonic_ns()
        self._first_byte: int | None = None
        self._settled: Future[Settled] | None = None
        self._paid_tokens = self._tokens_paid_by(call.held.amount) if call.streamed else None
        self._paid_bytes = self._bytes_paid()
        self._is_at_the_limit = False

    def asks(self, endpoint: Endpoint, place: str) -> None:
        """Note whom the call goes to now, and what the database calls that."""
        self._url = endpoint.url
        self._place = place

    def goes_to(self, call: Call) -> None:
        """Note that the call goes to another model."""
        self._call = call
        self._url = ''
        self._answered_by = call.model.name, call.price
        self._paid_tokens = self._tokens_paid_by(call.held.amount) if call.streamed else None
        self._paid_bytes = self._bytes_paid()

    def failed(self, error: UpstreamError) -> None:
        """Note that it goes on to another try: nothing had come of it, so nothing is charged for it."""
        self._was_sent = False
        self.sees_output = self._call.streamed
        if self._url:
            self._health.saw(self._call.model.name, self._place, outcome_of(error, 'upstream_error'), error.status)

    @property
    def has_begun(self) -> bool:
        """Whether anything of an answer has come."""
        return self._first_byte is not None

    @property
    def usage(self) -> Usage | None:
        """What the model server has reported until now."""
        return self._usage

    def first_byte(self) -> None:
        """Note when the model server's answer began."""
        if self._first_byte is None:
            self._first_byte = self._elapsed_us()

    def sent(self, was_sent: bool) -> None:
        """Note that the model server is being asked, or was not after all. Until it is a call costs nothing."""
        self._was_sent = was_sent

    def refused(self) -> None:
        """Note that the model server begins to refuse the call, which costs nothing and is not asked again."""
        self._was_sent = False
        self.first_byte()

    def generated(self, output_bytes: int) -> None:
        """Note that so much text was seen."""
        self._output_bytes += output_bytes

    def is_text(self, text: str) -> None:
        """Note that the whole answer is this text, which reports nothing, but may tell how long audio was."""
        self._is_text = True
        if self._call.operation.audio_us is not None:
            self._seen_audio_us = self._call.operation.audio_us(text)

    def reported(self, usage: Usage) -> None:
        """Note what the model server says of the call until now. A report of no output says nothing of any text."""
        self._usage = usage
        self._reported_bytes = self._output_bytes if usage.output_tokens else 0

    @property
    def exceeds_hold(self) -> bool:
        """Whether what was generated until now probably costs more than is held for it."""
        if self._paid_tokens is None or (self._usage is None and self._output_bytes < self._paid_bytes):
            return False
        return (self._sure_output() if self._is_at_the_limit else self._likely_output()) > self._paid_tokens

    def would_exceed_hold(self, output_bytes: int) -> bool:
        """Whether so much more text might cost more than is held."""
        return self._paid_tokens is not None and (
            self._usage is not None or self._output_bytes + output_bytes >= self._paid_bytes
        )

    async def extend(self) -> bool:
        """Hold more, for what was generated and the next of it; False when the pool cannot pay for what surely was."""
        call, likely = self._call, self._likely_output()
        wanted = call.price.cost(self._input_tokens(), likely + likely // 4 + MORE_TOKENS)
        self._paid_tokens = self._tokens_paid_by(await self._ledger.extend(call.held, wanted))
        if self._paid_tokens is None:
            return True
        self._paid_bytes = self._bytes_paid()
        self._is_at_the_limit = likely > self._paid_tokens
        return self._sure_output() <= self._paid_tokens

    def settle(self, outcome: str, status: int, *, charged: bool = True) -> Future[Settled]:
        """Queue the settlement; the first call decides, later ones get the same future.

        Without `charged` the call costs nothing. What the model server did not report is estimated.
        """
        if self._settled is None:
            usage, estimated = self._used() if charged and self._was_sent else (Usage(0, 0), False)
            place = place_of(self._url)
            if outcome == 'success' and estimated:
                outcome = 'usage_missing'
                self._remarks.usage_not_believed(self._call.model.name, place, self._what_was_reported())
            elif outcome == 'success':
                self._learn(usage)
            self._settled = self._ledger.settle(
                self._call.held,
                Outcome(
                    outcome=outcome,
                    status=status,
                    input_tokens=usage.input_tokens,
                    output_tokens=usage.output_tokens,
                    estimated=estimated,
                    endpoint=place,
                    duration_us=self._elapsed_us(),
                    time_to_first_byte_us=self._first_byte,
                    answered_by=self._answered_by,
                    audio_us=usage.audio_us or 0,
                ),
            )
            if self._uses is not None:
                self._uses(usage.input_tokens + usage.output_tokens)
            if self._url:  # somebody was asked
                self._health.saw(self._call.model.name, self._place, outcome, status)
            if outcome not in ANSWERED:
                self._note(outcome, status, usage)
        return self._settled

    async def settled(self, outcome: str, status: int, charged: bool = True) -> None:
        """Settle, and wait until that is in the database."""
        settled = self.settle(outcome, status, charged=charged)
        if not settled.done():
            await awaitable(settled)
        settled.result()

    def _used(self) -> tuple[Usage, bool]:
        """What was reported, unless text that came after it is more; and whether it is an estimate."""
        call, believed = self._call, self._believed()
        if call.bound.audio_us:
            return (self._expected_audio(), True) if believed is None else (believed, False)
        output = self._estimated_output()
        if believed is None:
            return Usage(self._expectation.input_tokens(call.model.name, call.bound), output), True
        if believed.has_tokens and self._output_bytes > self._reported_bytes and output > believed.output_tokens:
            return Usage(believed.input_tokens, output), True
        return believed, False

    def _believed(self) -> Usage | None:
        """What was reported, if it can be and says what is charged."""
        usage, call = self._usage, self._call
        if usage is None or is_nonsense(usage, call.bound, call.model):
            return None
        return usage if tells_the_cost(usage, call.bound, call.price) else None

    def _expected_audio(self) -> Usage:
        call, expected = self._call, self._seen_audio_us
        if expected is None:
            expected = self._expectation.audio_us(call.model.name, call.bound, self._upload_bytes())
        return Usage(0, 0, min(expected, call.bound.audio_us), has_tokens=False)

    def _upload_bytes(self) -> int:
        """How large the upload is; until all of it has come, what it can be at most."""
        upload = self._call.upload
        return upload.received_bytes if upload is not None and upload.ended.is_set() else self._call.bound.upload_bytes

    def _what_was_reported(self) -> str:
        if self._usage is None:
            return 'an answer as text alone' if self._is_text else 'nothing in time, or no whole numbers'
        if self._believed() is not None:
            return 'less than was generated'
        is_told = not is_nonsense(self._usage, self._call.bound, self._call.model)
        return 'something else than what is charged' if is_told else 'more than can be'

    def _estimated_output(self) -> int:
        call, name = self._call, self._call.model.name
        if self.sees_output:
            output = self._expectation.tokens_of(name, self._output_bytes)
        else:
            output = self._expectation.output_tokens(name, call.bound)
        most = call.held.output_bound * call.bound.choices
        return output if output > DOUBT * most else min(output, most)  # it evidently does not keep to its bound

    def _likely_output(self) -> int:
        estimate = self._expectation.tokens_of(self._call.model.name, self._output_bytes)
        believed = self._believed()
        return believed.output_tokens if believed is not None and self._reported_bytes else estimate

    def _sure_output(self) -> int:
        believed = self._believed()
        reported = believed.output_tokens if believed is not None else 0
        return max(reported, self._expectation.tokens_of(self._call.model.name, self._output_bytes) // DOUBT)

    def _input_tokens(self) -> int:
        if (believed := self._believed()) is not None:
            return believed.input_tokens
        return self._expectation.input_tokens(self._call.model.name, self._call.bound)

    def _tokens_paid_by(self, amount: int | None) -> int | None:
        """How much output `amount` pays for; None for any."""
        price = self._call.price
        if amount is None or self._call.held.unlimited or price.output == 0:
            return None
        return price.affordable_output_tokens(amount, self._input_tokens())

    def _bytes_paid(self) -> int:
        """So much text is paid for for sure, if tokens are as long as they were: nobody need look before."""
        paid = self._paid_tokens
        return 0 if paid is None else self._expectation.bytes_of(self._call.model.name, paid)

    def _learn(self, usage: Usage) -> None:
        """Only from what is complete: a part says nothing of how long answers are."""
        call = self._call
        if call.bound.audio_us:
            if usage.audio_us:
                self._expectation.learn_audio(call.model.name, self._upload_bytes(), usage.audio_us)
            return
        is_all_written = call.body.get('echo') is not True  # or it begins with what was read
        self._expectation.learn(
            call.model.name,
            call.bound,
            usage.input_tokens,
            usage.output_tokens,
            self._output_bytes if is_all_written else 0,
        )

    def _elapsed_us(self) -> int:
        return (time.monotonic_ns() - self._started) // 1000

    def _note(self, outcome: str, status: int, usage: Usage) -> None:
        """Successes are in the database only: a line for each cost a fifth of what a call does."""
        log.info(
            'a call did not end well',
            request_id=self._call.held.request_id,
            account=self._call.identity.account_id,
            model=self._call.model.name,
            outcome=outcome,
            status=status,
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            milliseconds=self._elapsed_us() // 1000,
        )
