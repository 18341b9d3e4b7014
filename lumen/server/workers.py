"""Several processes that serve the API behind one port: uvicorn starts them, looks after them, and ends them.

Each is a gateway of its own, with its own sign of life; what they share is the database. One that dies is replaced, and
its calls are settled by another.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
from collections.abc import Callable
from multiprocessing.connection import wait
from pathlib import Path

from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.supervisors import Multiprocess

from lumen.config.source import Configuration
from lumen.database import Database
from lumen.errors import LumenError
from lumen.server import logs
from lumen.server.listening import configured
from lumen.server.parts import Parts
from lumen.server.stopping import ORDERS

READY_SECONDS = 60.0
LOOK_AGAIN_SECONDS = 0.2
APP = 'lumen.server.workers:app'


def run(number: int, listener: socket.socket, *, on_listening: Callable[[], None], grace_seconds: float) -> None:
    """Serve with so many processes until SIGTERM or SIGINT; calls in flight finish. SIGHUP replaces one by one.

    Raises LumenError when they do not start.
    """
    config = configured(APP, lifespan=True, grace_seconds=grace_seconds, workers=number, factory=True)
    _Workers(config, listener, on_listening).run()


def app() -> ASGIApp:
    """What one of them serves, made within it."""
    logs.configure(level=logging.INFO)
    configuration = Configuration.load(Path(os.environ.get('LUMEN_CONFIG') or 'config.yaml'), os.environ)
    database = Database(configuration.current.app.database.url.get_secret_value())
    parts = Parts(configuration, database, 'gateway', _no_pages, is_one_of_several=True)

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await parts.app(scope, receive, send)
        finally:
            if scope['type'] == 'lifespan':  # which ends last
                database.close()

    return serve


class _Workers(Multiprocess):
    def __init__(self, config: object, listener: socket.socket, on_listening: Callable[[], None]):
        super().__init__(config, [listener])  # type: ignore[arg-type]  # it is a uvicorn.Config
        self._on_listening = on_listening

    def init_processes(self) -> None:
        super().init_processes()
        for process in self.processes:
            if not process.wait_until_ready(READY_SECONDS):
                self.terminate_all()
                self.join_all()
                raise LumenError('Lumen did not start; the log says why', code='not_started')
        self._on_listening()

    def join_all(self) -> None:
        """Wait for all to end. A second order is passed on as an interrupt, by which they know it."""
        while alive := [process.process for process in self.processes if process.process.is_alive()]:
            orders, self.signal_queue = self.signal_queue, []
            for child in alive if set(orders) & set(ORDERS) else ():
                if child.pid is not None:
                    os.kill(child.pid, signal.SIGINT)
            wait([child.sentinel for child in alive], LOOK_AGAIN_SECONDS)
        super().join_all()


def _no_pages(*_: object) -> ASGIApp:
    raise RuntimeError('a gateway has no pages')
