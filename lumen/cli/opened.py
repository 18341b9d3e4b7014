"""What most commands need: the configuration and the database, opened and closed again."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import click

from lumen import schema
from lumen.config import secrets
from lumen.config.settings import Settings
from lumen.config.source import Configuration
from lumen.database import Database, P, T
from lumen.database_address import is_sqlite, sqlite_path
from lumen.errors import DatabaseUnavailable
from lumen.server import logs


@dataclass(frozen=True)
class Opened:
    """A database with the settings in force. Every call is one transaction."""

    settings: Settings
    database: Database

    def read(self, call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self.database.read_now(call, *args, **kwargs)

    def write(self, call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self.database.write_now(call, *args, **kwargs)

    @property
    def key_secret(self) -> bytes:
        return secrets.encryption_key(self.settings)


def load_configuration(*, log_level: int | None = None) -> Configuration:
    """The file that LUMEN_CONFIG names, else `config.yaml` here. Raises ConfigurationError with every fault.

    Without a `log_level`, warnings are said on standard error unless a program asked for JSON.
    """
    if log_level is None:
        as_json = click.get_current_context().params.get('as_json', False)
        log_level = logging.ERROR if as_json else logging.WARNING
    logs.configure(level=log_level)
    return Configuration.load(Path(os.environ.get('LUMEN_CONFIG') or 'config.yaml'), os.environ)


@contextmanager
def opened(*, current: bool = True, existing: bool = False) -> Iterator[Opened]:
    """The database, at the present schema if `current`, only if it is there already when it must be `existing`.

    A new SQLite file is brought to the schema by itself, as `serve` would. Raises DatabaseUnavailable, NewerSchema, and
    MigrationsPending for PostgreSQL.
    """
    settings = load_configuration().current
    url = settings.app.database.url.get_secret_value()
    if existing and is_sqlite(url) and not sqlite_path(url).exists():
        raise DatabaseUnavailable(f'the database {sqlite_path(url)} does not exist', 'correct its address')
    database = Database(url, readers=1)
    try:
        if current and database.is_sqlite and len(schema.pending(database)):
            schema.migrate(database)
        elif current:
            schema.require_current(database)
        yield Opened(settings, database)
    finally:
        database.close()
