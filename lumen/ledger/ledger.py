"""The ledger as the gateway uses it: hold before a call, settle after it, and look after the calls of the dead."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from typing import Any, Protocol
from uuid import uuid4

import structlog

from lumen.config.settings import Settings
from lumen.database import Database
from lumen.errors import (
    DatabaseUnavailable,
    Forbidden,
    InsufficientCoins,
    NotAuthenticated,
    OutcomeUnknown,
    RateLimited,
)
from lumen.ledger import recovery
from lumen.ledger.holds import Ask, Held
from lumen.ledger.operations import Extend, Operation, Place, Settle, carry_out
from lumen.ledger.outcome import Outcome
from lumen.ledger.settlement import Settled
from lumen.ledger.waiting import Lines, can_come
from lumen.waking import Promise, awaitable

log = structlog.get_logger()

HEARTBEAT_SECONDS = 5.0
RETRY_SECONDS = 1.0
REFUSALS = (NotAuthenticated, Forbidden, InsufficientCoins, RateLimited)
"""What `holds.place` raises when it has set nothing aside."""


class SettingsSource(Protocol):
    """Whatever knows the configuration that is in force now."""

    @property
    def current(self) -> Settings: ...


class Ledger:
    """Holds and settlements of one serving process, in group commits with everything else that is written."""

    def __init__(self, database: Database, configuration: SettingsSource, process_id: str | None = None):
        self.database = database
        self.configuration = configuration
        self.process_id = process_id or uuid4().hex
        self._role = 'gateway'
        self._pulse: recovery.Pulse | None = None
        self._open: dict[str, int] = {}
        """The calls that somebody here is going to settle, with their accounts: from before the hold until after."""
        self._lines = Lines()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._delayed: list[tuple[str, Outcome | None, Future[Settled]]] = []
        """Settlements that wait for the database, to be tried again."""
        self._retry: threading.Timer | None = None
        self._retry_lock = threading.Lock()

    async def hold(self, ask: Ask, anew: Callable[[], Ask] | None = None, *, waits: bool = True) -> Held:
        """Set coins aside for a call; see `holds.place` for what it raises.

        When the pool cannot pay now, but may once calls in flight are settled or the refill that falls due in time has
        come, the call waits: first come first served, at most `budget.wait_seconds`. Each time that it tries again it
        asks for what `anew` says then, for the configuration may have changed; what that raises ends the wait. One that
        does not wait (`waits`) is refused at once.

        Whoever does not get the hold leaves none behind: a caller who gives up, and one to whom the database could not
        say whether it was placed. If it was after all, it is settled at once, at no cost.
        """
        self._loop = asyncio.get_running_loop()
        is_first = self._lines.is_empty(ask.account_id)
        try:
            return await self._place(ask, others_wait=not is_first)
        except InsufficientCoins as refusal:
            seconds = self.configuration.current.budget.wait_seconds
            if not waits or not can_come(refusal, seconds):
                raise
            place = partial(self._place_anew, ask, anew)
            return await self._lines.wait(ask.account_id, refusal, seconds, place)

    def _place_anew(self, ask: Ask, anew: Callable[[], Ask] | None, waited_us: int) -> Awaitable[Held]:
        return self._place(anew() if anew else ask, waited_us=waited_us)

    async def _place(self, ask: Ask, *, others_wait: bool = False, waited_us: int | None = None) -> Held:
        self._open[ask.request_id] = ask.account_id
        try:
            future = self._do(Place(ask, self.process_id, self.configuration.current, others_wait, waited_us))
        except BaseException:
            self._open.pop(ask.request_id, None)
            raise
        try:
            return await self.database.answer(future)
        except asyncio.CancelledError:
            future.add_done_callback(lambda placed: self._abandon(ask.request_id, placed, 'disconnected', 499))
            raise
        except Exception as error:
            future.add_done_callback(lambda placed: self._abandon(ask.request_id, placed, 'internal_error', 503))
            if isinstance(error, OutcomeUnknown):  # to the caller it is known: the call was not made
                raise DatabaseUnavailable(error.cause, 'check that the database runs, and its address') from error
            raise

    async def extend(self, held: Held, amount: int) -> int | None:
        """Hold up to `amount` for a call in all; see `holds.extend`."""
        extended: int | None = await self.database.answer(
            self._do(Extend(held.request_id, amount, self.configuration.current))
        )
        return extended

    def settle(self, held: Held, outcome: Outcome) -> Future[Settled]:
        """Charge a call. Only queues: it never blocks and may be called from a `finally`.

        The future resolves after the commit. While the database cannot be reached the settlement is tried again. One
        that fails otherwise is replaced by one at the expected cost; `recover` tries again what even that could not.
        """
        return self._settle(held.request_id, outcome)

    async def start(self, role: str) -> int:
        """Sign in as a living process and settle what dead ones left. Returns how many calls that were."""
        self._role = role
        alone = self.database.is_sqlite
        self._pulse = await self.database.write(recovery.register, self.process_id, self._role, alone=alone)
        return await self.recover()

    async def beat(self) -> int:
        """Give a sign of life, settle what waited for the database, and what dead processes left: how many calls that
        were is returned.
        """
        self._pulse = await self.database.write(recovery.beat, self.process_id, self._role, self._pulse)
        self._try_again()
        return await self.recover()

    async def recover(self) -> int:
        """Settle the calls of processes that are gone, and those of this one that nobody here settles any more.

        Returns how many there were. One that cannot be settled is logged and does not stop the others.
        """
        recovered = after = 0
        while found := await self.database.read(recovery.left_behind, self.process_id, after):
            after = found[-1].id
            lost = [hold.request_id for hold in found if not (hold.is_own and hold.request_id in self._open)]
            settings = self.configuration.current
            writes = (awaitable(self._do(Settle(request_id, None, settings))) for request_id in lost)
            for request_id, end in zip(lost, await asyncio.gather(*writes, return_exceptions=True), strict=True):
                if isinstance(end, BaseException):
                    log.error('a lost call cannot be settled', request_id=request_id, error=repr(end))
                else:
                    recovered += end.is_new  # one that ended just now was settled by whoever it belongs to
        if recovered:
            log.warning('calls of a process that ended were settled at their expected cost', calls=recovered)
        return recovered

    async def watch(self) -> None:
        """Give signs of life and look for the dead, until cancelled."""
        while True:
            await asyncio.sleep(HEARTBEAT_SECONDS)
            try:
                await self.beat()
            except Exception as error:  # noqa: BLE001 - whatever it is, the next sign of life must be given
                log.error('no sign of life could be given', error=repr(error))

    def refuse_to_wait(self) -> None:
        """Refuse the calls that wait for coins, and all that would: they get ShuttingDown."""
        self._lines.close()

    async def stop(self) -> None:
        """Sign out, so that nobody waits for this process to be found dead."""
        await self.database.write(recovery.leave, self.process_id)

    def _do(self, operation: Operation) -> Future[Any]:
        return self.database.submit_to(carry_out, operation)

    def _settle(self, request_id: str, outcome: Outcome) -> Future[Settled]:
        settled: Future[Settled] = Promise()
        settled.set_running_or_notify_cancel()  # a caller who stops waiting does not stop the settlement
        self._submit(request_id, outcome, settled)
        return settled

    def _submit(self, request_id: str, outcome: Outcome | None, settled: Future[Settled]) -> None:
        """Queue a settlement with this outcome, or without one at the expected cost."""
        settings = self.configuration.current

        def tell(value: Settled | None, error: BaseException | None) -> None:
            self._settled(value, error, request_id, outcome, settled)

        try:
            self.database.submit_and_tell(carry_out, Settle(request_id, outcome, settings), tell)
        except RuntimeError as error:  # the database is closed: the next start finds the hold
            settled.set_exception(error)

    def _settled(
        self,
        value: Settled | None,
        error: BaseException | None,
        request_id: str,
        outcome: Outcome | None,
        settled: Future[Settled],
    ) -> None:
        if value is not None:
            self._close(request_id)
            settled.set_result(value)
        elif isinstance(error, DatabaseUnavailable):
            log.error('a settlement waits for the database', request_id=request_id, error=str(error))
            self._try_again_later(request_id, outcome, settled)
        elif outcome is not None:
            log.error('a settlement failed: the expected cost is charged', request_id=request_id, error=repr(error))
            self._submit(request_id, None, settled)
        else:
            log.error('a call cannot be settled', request_id=request_id, error=repr(error))
            self._open.pop(request_id, None)  # `recover` takes it up at every sign of life
            settled.set_exception(error)

    def _try_again_later(self, request_id: str, outcome: Outcome | None, settled: Future[Settled]) -> None:
        """One timer for all that wait. Where no thread can be started, the next sign of life does it."""
        with self._retry_lock:
            self._delayed.append((request_id, outcome, settled))
            if self._retry is None:
                retry = threading.Timer(RETRY_SECONDS, self._try_again)
                retry.daemon = True
                try:
                    retry.start()
                except RuntimeError as error:
                    log.error('settlements wait for the next sign of life', error=str(error))
                else:
                    self._retry = retry

    def _try_again(self) -> None:
        """Queue the settlements anew that the database could not be reached for."""
        with self._retry_lock:
            self._retry = None
            delayed, self._delayed = self._delayed, []
        for request_id, outcome, settled in delayed:
            self._submit(request_id, outcome, settled)

    def _close(self, request_id: str) -> None:
        """A call is settled: who waits for its account's coins, in whatever thread this is, may have them now."""
        account_id = self._open.pop(request_id, None)
        if account_id is not None and self._loop is not None and not self._lines.is_empty(account_id):
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                self._loop.call_soon_threadsafe(self._lines.settled, account_id)

    def _abandon(self, request_id: str, placed: Future[Held], outcome: str, status: int) -> None:
        if placed.cancelled() or isinstance(placed.exception(), REFUSALS):
            self._open.pop(request_id, None)
            return
        nothing = Outcome(
            outcome, status=status, input_tokens=0, output_tokens=0, estimated=False, endpoint='', duration_us=0
        )
        self._settle(request_id, nothing)
