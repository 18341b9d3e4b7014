"""The parts of one serving process: made from the configuration, started in order, stopped in reverse."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import structlog
from starlette.types import ASGIApp

from lumen.config import secrets
from lumen.config.source import Configuration
from lumen.database import Database
from lumen.errors import DatabaseUnavailable
from lumen.ledger import Ledger
from lumen.server.cross_site import NoCrossSite
from lumen.server.dispatcher import Dispatcher
from lumen.server.headers import SecurityHeaders
from lumen.server.lifespan import lifespan_of
from lumen.server.proxies import TrustedProxies
from lumen.server.roles import Role
from lumen.server.stopping import orders

if TYPE_CHECKING:
    from lumen.gateway import Gateway

log = structlog.get_logger()

DATABASE_ANSWERS_WITHIN_SECONDS = 2.0
GC_THRESHOLD = 50_000

MakePages = Callable[[Configuration, Database, bytes], ASGIApp]
"""The wing of the pages, which this one does not know, with the secret that keys are made with."""


class Parts:
    """Configuration, database, ledger, gateway and pages of one process. `app` is what the server serves."""

    def __init__(
        self,
        configuration: Configuration,
        database: Database,
        role: Role,
        make_pages: MakePages,
        *,
        is_one_of_several: bool = False,
    ):
        self.configuration = configuration
        self.database = database
        self.role = role
        self.is_one_of_several = is_one_of_several
        self.ledger = Ledger(database, configuration)
        self.is_running = False
        self.key_secret = secrets.encryption_key(configuration.current)
        self.gateway = self._make_gateway() if role in ('all', 'gateway') else None
        self.pages = make_pages(configuration, database, self.key_secret) if role in ('all', 'ui') else None
        self.app = Dispatcher(
            gateway=self.gateway.app if self.gateway else None,
            pages=self._guarded(self.pages) if self.pages else None,
            ready=self.why_not_ready,
            running=self.running,
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Everything started; what started last stops first."""
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(_background(self.configuration.watch(), 'configuration watch'))
            await self.ledger.start(self.role)
            stack.push_async_callback(self.ledger.stop)
            await stack.enter_async_context(_background(self.ledger.watch(), 'ledger watch'))
            if self.gateway:
                await self.gateway.start()
                stack.push_async_callback(self.gateway.stop)
            if self.pages:
                await stack.enter_async_context(lifespan_of(self.pages))
            # What start-up made lives as long as the process; looking through it again costs milliseconds each time.
            gc.collect()
            gc.freeze()
            gc.set_threshold(GC_THRESHOLD, 20, 20)
            stack.enter_context(orders(stop=self._finish, hurry=self._hurry, is_one_of_several=self.is_one_of_several))
            self.is_running = True
            try:
                yield
            finally:
                self._finish()

    async def why_not_ready(self) -> str:
        """Empty when this process can serve, a reason otherwise."""
        if not self.is_running:
            return 'starting or stopping'
        if not self.database.is_writing:
            return 'nothing can be written'
        try:
            async with asyncio.timeout(DATABASE_ANSWERS_WITHIN_SECONDS):
                await self.database.ping()
        except (TimeoutError, DatabaseUnavailable):
            return 'the database does not answer'
        return ''

    def _guarded(self, pages: ASGIApp) -> ASGIApp:
        """What every request to the pages passes through, and none to `/v1`, which knows no cookie."""
        app = NoCrossSite(pages, own_address=lambda: self.configuration.current.app.url)
        return TrustedProxies(SecurityHeaders(app), trusted=lambda: self.configuration.current.app.trusted_proxies)

    def _finish(self) -> None:
        """Told to stop: nothing is begun any more."""
        self.is_running = False
        if self.gateway:
            self.gateway.finish(self.configuration.current.app.grace_seconds)

    def _hurry(self) -> None:
        if self.gateway:
            self.gateway.hurry()

    def _make_gateway(self) -> Gateway:
        from lumen.gateway import Gateway

        return Gateway(self.configuration, self.database, self.ledger, self.key_secret)


@asynccontextmanager
async def _background(work: Coroutine[Any, Any, None], name: str) -> AsyncIterator[None]:
    """Run `work` beside the block and cancel it at the end. Should it end by itself, that is logged."""
    task = asyncio.create_task(work, name=name)
    task.add_done_callback(_say_how_it_ended)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.wait([task])


def _say_how_it_ended(task: asyncio.Task[None]) -> None:
    if not task.cancelled():
        log.error('a background task ended', task=task.get_name(), exc_info=task.exception())
