"""pgbouncer in transaction mode before a PostgreSQL server: each transaction may get another connection."""

from __future__ import annotations

import os
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict

from bench.processes import free_port, wait_for
from prove import programs

CONNECTIONS = 6
"""To each database, for however many ask."""

MISSING = 'no pgbouncer is installed, and none may be installed here'
NAME = 'behind_pgbouncer'
"""The application that asks, by which its addresses are known."""


def find() -> str | None:
    return programs.find('pgbouncer')


class Pooler:
    """One that runs, on a port of 127.0.0.1."""

    def __init__(self, port: int):
        self._port = port

    def behind(self, url: str) -> str:
        """The address of the same database through it."""
        parts = conninfo_to_dict(url)
        return f'postgresql://{parts["user"]}@127.0.0.1:{self._port}/{parts["dbname"]}?application_name={NAME}'


def is_behind_one(url: str) -> bool:
    return NAME in url


@contextmanager
def serving(program: str, url: str, connections: int = CONNECTIONS) -> Iterator[Pooler]:
    """One before the server of that address, as long as the block. As root it runs as whoever owns the server."""
    parts = conninfo_to_dict(url)
    place, port = str(parts['host']), free_port()
    owner = Path(place).owner() if place.startswith('/') else 'nobody'
    settings = {
        'listen_addr': '127.0.0.1',
        'listen_port': port,
        'unix_socket_dir': '',
        'auth_type': 'any',
        'pool_mode': 'transaction',
        'default_pool_size': connections,
        'max_client_conn': 1000,
        'server_login_retry': 1,  # seconds, when the server is not there
        'log_connections': 0,
        'log_disconnections': 0,
    }
    if os.geteuid() == 0:
        settings['user'] = owner
    lines = [f'{name} = {value}' for name, value in settings.items()]
    server = f'host={place} port={parts.get("port", 5432)} user={parts["user"]}'
    with tempfile.TemporaryDirectory(prefix='lumen-pgbouncer-') as directory:
        configuration = Path(directory) / 'pgbouncer.ini'
        configuration.write_text('\n'.join(['[databases]', f'* = {server}', '[pgbouncer]', *lines, '']))
        configuration.chmod(0o644)
        Path(directory).chmod(0o755)
        with (Path(directory) / 'log').open('wb') as log:
            process = subprocess.Popen([program, str(configuration)], stdout=log, stderr=log)
        try:
            wait_for(lambda: _listens(port), 20, 'pgbouncer to listen')
            yield Pooler(port)
        finally:
            process.kill()
            process.wait()


def _listens(port: int) -> bool:
    try:
        with socket.create_connection(('127.0.0.1', port), timeout=1):
            return True
    except OSError:
        return False
