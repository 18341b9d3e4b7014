"""The end of a call: it is settled once, whichever way it ended, from whatever was learnt of its usage."""

from __future__ import annotations

import time
from concurrent.futures import Future

import structlog

from lumen.config.places import place_of
from lumen.gateway.admission import Call
from lumen.gateway.expectation import Expectation
from lumen.gateway.health import HealthNotes
from lumen.gateway.usage import Usage, is_nonsense
from lumen.ledger import Ledger, Outcome, Settled

log = structlog.get_logger()


class Settling:
    """Gathers what one call used while it runs. `settle` only queues, so it may be called from a `finally`."""

    def __init__(self, call: Call, ledger: Ledger, expectation: Expectation, health: HealthNotes):
        self.usage: Usage | None = None
        self.output_bytes = 0
        self._call = call
        self._ledger = ledger
        self._expectation = expectation
        self._health = health
        self._started = time.monotonic_ns()
        self._first_byte: int | None = None
        self._settled: Future[Settled] | None = None

    def first_byte(self) -> None:
        """Note when the model server's answer began."""
        if self._first_byte is None:
            self._first_byte = self._elapsed_us()

    def settle(self, outcome: str, status: int, *, charged: bool = True) -> Future[Settled]:
        """Queue the settlement; the first call decides, later ones get the same future.

        Without `charged` the call costs nothing. What the model server did not report is estimated.
        """
        if self._settled is None:
            usage, estimated = self._used() if charged else (Usage(0, 0), False)
            if outcome == 'success' and estimated:
                outcome = 'usage_missing'
            self._settled = self._ledger.settle(
                self._call.held,
                Outcome(
                    outcome=outcome,
                    status=status,
                    input_tokens=usage.input_tokens,
                    output_tokens=usage.output_tokens,
                    estimated=estimated,
                    endpoint=place_of(self._call.endpoint.url),
                    duration_us=self._elapsed_us(),
                    time_to_first_byte_us=self._first_byte,
                ),
            )
            self._health.saw(self._call.model.name, self._call.endpoint.url, outcome, status)
            self._note(outcome, status, usage)
        return self._settled

    def _used(self) -> tuple[Usage, bool]:
        call, name = self._call, self._call.model.name
        if self.usage is not None and not is_nonsense(self.usage, call.bound, call.model):
            self._expectation.learn(
                name, call.bound, self.usage.input_tokens, self.usage.output_tokens, self.output_bytes
            )
            return self.usage, False
        output = self._expectation.tokens_of(name, self.output_bytes)
        most = call.held.output_bound * call.bound.choices
        return Usage(self._expectation.input_tokens(name, call.bound), min(output, most)), True

    def _elapsed_us(self) -> int:
        return (time.monotonic_ns() - self._started) // 1000

    def _note(self, outcome: str, status: int, usage: Usage) -> None:
        log.info(
            'call',
            request_id=self._call.held.request_id,
            account=self._call.identity.account_id,
            model=self._call.model.name,
            outcome=outcome,
            status=status,
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            milliseconds=self._elapsed_us() // 1000,
        )
