"""Serving until told to stop: the port, the database, then uvicorn around the parts."""

from __future__ import annotations

import ipaddress
import signal
import socket
import sys
from typing import TextIO

import peewee
import structlog
import uvicorn

from lumen import schema
from lumen.config import secrets
from lumen.config.settings import Settings
from lumen.config.source import Configuration
from lumen.database import Database
from lumen.errors import LumenError
from lumen.server import logs
from lumen.server.parts import Parts
from lumen.server.roles import Role

log = structlog.get_logger()

GRACE_SECONDS = 30
"""How long calls in flight may take to finish after the order to stop."""


def serve(configuration: Configuration, host: str, port: int, role: Role, *, output: TextIO = sys.stdout) -> None:
    """Serve until SIGTERM or SIGINT; calls in flight finish, new ones are refused.

    `port` 0 takes a free one. Raises LumenError, with everything a person needs to know, when it cannot start.
    """
    logs.configure()
    settings = configuration.current
    secrets.require_safe(settings, host)
    for warning in configuration.warnings:
        log.warning(warning)
    if settings.login.dev_users and role != 'gateway' and not is_loopback(host):
        log.warning('DEV USERS ARE CONFIGURED but this address is not loopback: nobody else can sign in as one of them')
    # SIGTERM ends like Ctrl+C, also before and after uvicorn listens to signals.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    listener = _listen(host, port)
    try:
        database = open_for_serving(settings)
        try:
            _run(Parts(configuration, database, role), listener, host, output)
        finally:
            database.close()
    except KeyboardInterrupt:
        log.info('stopped')
    finally:
        listener.close()


def open_for_serving(settings: Settings) -> Database:
    """The database, claimed where one process must serve alone, and brought to or found at the present schema."""
    database = Database(settings.app.database.url.get_secret_value())
    try:
        database.claim_serving()
        if database.is_sqlite:
            for step in schema.migrate(database):
                log.info('migrated', step=step)
        else:
            schema.require_current(database)
    except peewee.DatabaseError as error:
        database.close()
        reason = str(error).strip().partition('\n')[0]
        raise LumenError(f'the database cannot be used: {reason}', code='database_unavailable') from None
    except BaseException:
        database.close()
        raise
    return database


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach `host`."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == 'localhost'


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listener = socket.socket(family, socket.SOCK_STREAM)
    except (OSError, OverflowError) as error:
        raise LumenError(f'cannot listen on {host}:{port}: {error}', code='address_unusable') from None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        # Two unused sockets may be bound to one address; only one may listen. So find out now, not after starting all.
        listener.listen(2048)
    except OSError as error:
        listener.close()
        reason = error.strerror or str(error)
        raise LumenError(f'cannot listen on {host}:{port}: {reason}', code='address_unusable') from None
    return listener


class _Server(uvicorn.Server):
    """Tells where it listens as soon as it does."""

    def __init__(self, config: uvicorn.Config, welcome: str, output: TextIO):
        super().__init__(config)
        self.welcome = welcome
        self.output = output

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        print(self.welcome, file=self.output, flush=True)


def _run(parts: Parts, listener: socket.socket, host: str, output: TextIO) -> None:
    config = uvicorn.Config(
        parts.app,
        loop='uvloop',
        http='httptools',
        ws='websockets-sansio',
        lifespan='on',
        interface='asgi3',
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        workers=1,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    server = _Server(config, _welcome(parts, host, listener.getsockname()[1]), output)
    try:
        server.run(sockets=[listener])
    except SystemExit:
        raise LumenError('Lumen did not start; the log says why') from None


def _welcome(parts: Parts, host: str, port: int) -> str:
    shown = 'localhost' if host in ('0.0.0.0', '::', '') else f'[{host}]' if ':' in host else host  # noqa: S104 - to show
    settings = parts.configuration.current
    lines = [f'{settings.app.name} is ready on http://{shown}:{port}']
    if parts.pages is None:
        return f'{lines[0]}/v1'
    admin = next((user for user in settings.login.dev_users if settings.is_admin(user.email)), None)
    if admin is not None:
        lines.append(f'Open it, sign in as "{admin.name}", then choose Clients and + New Client.')
    lines.append('Press Ctrl+C to stop.')
    return '\n'.join(lines)
