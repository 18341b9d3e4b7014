"""A port of our own and uvicorn on it, until told to stop."""

from __future__ import annotations

import ipaddress
import math
import signal
import socket
import sys
from collections.abc import Callable

import uvicorn
from starlette.types import ASGIApp

from lumen.errors import LumenError
from lumen.server.http import Http
from lumen.server.websocket import MOST_BYTES, WebSocket

GRACE_SECONDS = 30.0
"""How long calls in flight may take to finish after the order to stop."""

MORE_GRACE_SECONDS = 5
"""So much longer uvicorn waits, for what is served ends its calls itself, and better than by being cancelled."""

BACKLOG = 2048


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one. Raises LumenError when the address cannot be had."""
    listener = None
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        # Two sockets may be bound to one address as long as none listens. So find out now, not after starting all.
        listener.listen(BACKLOG)
    except OSError as error:
        if listener is not None:
            listener.close()
        reason = (error.strerror or str(error)).lower()
        raise LumenError(f'cannot listen on {host}:{port}: {reason}', code='address_unusable') from None
    return listener


def address_of(listener: socket.socket) -> str:
    """Where a browser on this machine finds it: `http://127.0.0.1:8080`."""
    host, port = listener.getsockname()[:2]
    ip = ipaddress.ip_address(host)
    if ip.is_unspecified:
        host = 'localhost'
    elif ip.version == 6:
        host = f'[{host}]'
    return f'http://{host}:{port}'


def run(
    app: ASGIApp,
    listener: socket.socket,
    *,
    on_listening: Callable[[], None],
    lifespan: bool,
    grace_seconds: float = GRACE_SECONDS,
) -> None:
    """Serve `app` until SIGTERM or SIGINT; calls in flight finish, new ones are refused.

    Raises LumenError when the app does not start.
    """
    config = configured(app, lifespan=lifespan, grace_seconds=grace_seconds)
    # Uvicorn raises the signal again when it is done. SIGTERM then ends like Ctrl+C: with everything closed.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        _Server(config, on_listening).run(sockets=[listener])
    except KeyboardInterrupt:
        return
    except SystemExit:
        raise LumenError('Lumen did not start; the log says why', code='not_started') from None


def configured(
    app: ASGIApp | str, *, lifespan: bool, grace_seconds: float, workers: int = 1, factory: bool = False
) -> uvicorn.Config:
    """Uvicorn as we run it. `app` is one, or where the `factory` is found that makes it in each of the `workers`."""
    return uvicorn.Config(
        app,
        factory=factory,
        loop='uvloop',
        http=Http,
        ws=WebSocket,
        ws_max_size=MOST_BYTES,
        ws_per_message_deflate=False,  # a few bytes would become many
        lifespan='on' if lifespan else 'off',
        interface='asgi3',
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        workers=workers,
        backlog=BACKLOG,
        timeout_graceful_shutdown=math.ceil(grace_seconds) + MORE_GRACE_SECONDS,
    )


def say(text: str) -> None:
    """Tell whoever started this; at once, also when standard output is a pipe."""
    sys.stdout.write(f'{text}\n')
    sys.stdout.flush()


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, on_listening: Callable[[], None]):
        super().__init__(config)
        self.on_listening = on_listening

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.on_listening()
