"""Lumen's gateway with its governance taken out: no key is looked up, nothing is held, charged or written down.

python -m bench.bare_relay PORT CONFIGURATION
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import time
from collections.abc import AsyncIterator
from concurrent.futures import Future
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from lumen.config.source import Configuration
from lumen.database import Database
from lumen.gateway import Gateway
from lumen.identity.keys import KeyIdentity
from lumen.ledger import Ask, Held, Outcome, Settled
from lumen.server import logs
from lumen.server.dispatcher import Dispatcher
from lumen.server.listening import listen, run, say
from lumen.server.parts import GC_THRESHOLD

NOTHING = Settled(0, 0)


class NoLedger:
    async def hold(self, ask: Ask, anew: object = None, *, waits: bool = True) -> Held:
        return Held(ask.request_id, 0, ask.output_bound, False, time.time_ns() // 1000, True)

    def settle(self, held: Held, outcome: Outcome) -> Future[Settled]:
        settled: Future[Settled] = Future()
        settled.set_result(NOTHING)
        return settled


class Anybody:
    def __init__(self, identity: KeyIdentity):
        self._identity = identity

    async def identify(self, headers: Any) -> KeyIdentity:
        return self._identity

    def recall(self, headers: Any) -> KeyIdentity:
        return self._identity

    async def watch(self) -> None:
        await asyncio.Event().wait()


def main() -> None:
    port, path = int(sys.argv[1]), Path(sys.argv[2])
    logs.configure()
    configuration = Configuration.load(path, os.environ)
    database = Database(f'sqlite:///{path.parent}/unused.db')
    gateway = Gateway(configuration, database, NoLedger(), b'')  # type: ignore[arg-type]  # all that a relay asks of it
    identity = KeyIdentity(1, 1, 'client', 'bench', True, None, False, frozenset())
    gateway._authenticator = Anybody(identity)  # type: ignore[assignment]

    @asynccontextmanager
    async def running() -> AsyncIterator[None]:
        await gateway.start()
        gc.collect()
        gc.freeze()
        gc.set_threshold(GC_THRESHOLD, 20, 20)
        yield
        await gateway.stop(0)

    async def ready() -> str:
        return ''

    listener = listen('127.0.0.1', port)
    run(
        Dispatcher(gateway=gateway.app, pages=None, ready=ready, running=running),
        listener,
        on_listening=lambda: say('ready'),
        lifespan=True,
    )
    database.close()


if __name__ == '__main__':
    main()
