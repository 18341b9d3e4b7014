"""The ledger as the gateway uses it: hold before a call, settle after it, and look after the calls of the dead."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future
from typing import Protocol
from uuid import uuid4

import structlog

from lumen.config.settings import Settings
from lumen.database import Database
from lumen.errors import DatabaseUnavailable
from lumen.ledger import recovery
from lumen.ledger.holds import Ask, Held, place
from lumen.ledger.settlement import Outcome, Settled, settle

log = structlog.get_logger()

HEARTBEAT_SECONDS = 5.0
RETRY_SECONDS = 1.0


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

    async def hold(self, ask: Ask) -> Held:
        """Set coins aside for a call; see `holds.place` for what it raises.

        A caller who gives up while this waits leaves no hold behind: if it was placed after all, it is settled at once.
        """
        future = self.database.submit(place, ask, settings=self.configuration.current, process_id=self.process_id)
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            future.add_done_callback(self._abandon)
            raise

    def settle(self, held: Held, outcome: Outcome) -> Future[Settled]:
        """Charge a call. Only queues: it never blocks and may be called from a `finally`.

        The future resolves after the commit. While the database cannot be reached the settlement is tried again.
        """
        settled: Future[Settled] = Future()
        settled.set_running_or_notify_cancel()  # a caller who stops waiting does not stop the settlement
        self._submit(held.request_id, outcome, settled)
        return settled

    async def start(self, role: str) -> int:
        """Sign in as a living process and settle what dead ones left. Returns how many calls that were."""
        self._role = role
        await self.database.write(recovery.register, self.process_id, self._role, alone=self.database.is_sqlite)
        return await self.recover()

    async def recover(self) -> int:
        """Settle the calls of processes that are gone. Returns how many there were."""
        recovered = 0
        while request_ids := await self.database.read(recovery.orphans):
            for request_id in request_ids:
                await self.database.write(recovery.interrupt, request_id, settings=self.configuration.current)
            recovered += len(request_ids)
        if recovered:
            log.warning('calls of a process that ended were settled at their expected cost', calls=recovered)
        return recovered

    async def watch(self) -> None:
        """Give signs of life and look for the dead, until cancelled."""
        while True:
            await asyncio.sleep(HEARTBEAT_SECONDS)
            try:
                await self.database.write(recovery.beat, self.process_id, self._role)
                await self.recover()
            except DatabaseUnavailable as error:
                log.error('no sign of life could be given', error=str(error))

    async def stop(self) -> None:
        """Sign out, so that nobody waits for this process to be found dead."""
        await self.database.write(recovery.leave, self.process_id)

    def _submit(self, request_id: str, outcome: Outcome, settled: Future[Settled]) -> None:
        try:
            future = self.database.submit(settle, request_id, outcome, settings=self.configuration.current)
        except RuntimeError as error:  # the database is closed: the next start finds the hold
            settled.set_exception(error)
            return
        future.add_done_callback(lambda done: self._settled(done, request_id, outcome, settled))

    def _settled(self, done: Future[Settled], request_id: str, outcome: Outcome, settled: Future[Settled]) -> None:
        error = done.exception()
        if error is None:
            settled.set_result(done.result())
        elif isinstance(error, DatabaseUnavailable):
            log.error('a settlement waits for the database', request_id=request_id, error=str(error))
            retry = threading.Timer(RETRY_SECONDS, self._submit, (request_id, outcome, settled))
            retry.daemon = True
            retry.start()
        else:
            log.error('a settlement failed', request_id=request_id, error=repr(error))
            settled.set_exception(error)

    def _abandon(self, placed: Future[Held]) -> None:
        if placed.cancelled() or placed.exception() is not None:
            return
        gone = Outcome(
            'disconnected', status=499, input_tokens=0, output_tokens=0, estimated=False, endpoint='', duration_us=0
        )
        self.settle(placed.result(), gone)
