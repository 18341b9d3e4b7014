"""Serving Lumen: the port, the database at the present schema, then the parts until told to stop."""

from __future__ import annotations

import json
import signal

import structlog

import models
from lumen import database_address, schema
from lumen.config import secrets
from lumen.config.settings import Settings
from lumen.config.source import Configuration
from lumen.database import Database
from lumen.errors import ConfigurationError
from lumen.identity import fingerprint
from lumen.server.listening import address_of, listen, run, say
from lumen.server.parts import MakePages, Parts
from lumen.server.roles import Role
from lumen.server.workers import run as run_workers
from lumen.visible import visible

log = structlog.get_logger()


def serve(
    configuration: Configuration,
    host: str,
    port: int,
    role: Role,
    *,
    make_pages: MakePages,
    workers: int = 1,
    as_json: bool = False,
) -> None:
    """Serve until SIGTERM or SIGINT. `port` 0 takes a free one. Says that it is ready in words, or as one line of JSON.
    Several `workers` are processes, which serve the API only.

    Raises LumenError, with a message that says all a person needs to know, when it cannot start.
    """
    settings = configuration.current
    if workers > 1:
        _require_several(settings, role)
    secrets.require_safe(settings, host)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    listener = listen(host, port)
    try:
        if settings.login.dev_users and role != 'gateway' and not secrets.is_loopback(host):
            log.warning('DEV USERS ARE CONFIGURED, but others can reach this address: they work from this machine only')
        database = open_for_serving(settings)
        try:
            secrets.make_missing(settings)
            database.write_now(fingerprint.require_same, secrets.encryption_key(settings), settings=settings)
            address = address_of(listener)
            ready = {'address': address, 'role': role, 'workers': workers}
            welcome = json.dumps(ready) if as_json else _welcome(settings, address, role)
            if workers > 1:
                database.close()  # each has its own
                run_workers(
                    workers, listener, on_listening=lambda: say(welcome), grace_seconds=settings.app.grace_seconds
                )
            else:
                parts = Parts(configuration, database, role, make_pages)
                run(
                    parts.app,
                    listener,
                    on_listening=lambda: say(welcome),
                    lifespan=True,
                    grace_seconds=settings.app.grace_seconds,
                )
        finally:
            database.close()
    except KeyboardInterrupt:
        pass  # told to stop before it had started
    finally:
        listener.close()


def open_for_serving(settings: Settings) -> Database:
    """The database: an SQLite file claimed for this process and migrated, PostgreSQL found at the present schema.

    Raises DatabaseUnavailable, NewerSchema, MigrationsPending when somebody must run `lumen migrate` first, or
    LumenError when another process serves the file.
    """
    database = Database(settings.app.database.url.get_secret_value())
    try:
        database.claim_serving()
        if database.is_sqlite:
            for step in schema.migrate(database):
                log.info('migrated', step=step)
        else:
            schema.require_current(database)
        database.write_now(_probe)
    except BaseException:
        database.close()
        raise
    return database


def _require_several(settings: Settings, role: Role) -> None:
    if role != 'gateway':
        raise ConfigurationError('several workers serve the API only: add --role gateway')
    if database_address.is_sqlite(settings.app.database.url.get_secret_value()):
        raise ConfigurationError('an SQLite file has one serving process; several workers need PostgreSQL')


def _probe() -> None:
    """A write that changes nothing, to learn now whether there can be any."""
    models.Process.delete().where(models.Process.id == '').execute()


def _welcome(settings: Settings, address: str, role: Role) -> str:
    lines = [f'{visible(settings.app.name)} is ready on {address}{"/v1" if role == "gateway" else ""}']
    admin = next((user for user in settings.login.dev_users if settings.is_admin(user.email)), None)
    if admin is not None and role != 'gateway':
        lines.append(f'Open it, sign in as "{visible(admin.name)}", then choose Clients and + New Client.')
    return '\n'.join([*lines, 'Press Ctrl+C to stop.'])
