"""An installation to prove something on: its models and pools, its gateways, and a look into its books."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import models
from bench.installation import SECRET, Installation
from bench.processes import MEASURED, Processes, Running, free_port, wait_for
from lumen.config.source import Configuration
from lumen.database import Database
from lumen.ledger.check import differences
from prove.pgbouncer import is_behind_one

T = TypeVar('T')

COIN = 1_000_000_000
CONTEXT_WINDOW, MAX_OUTPUT = 8192, 1024


def coins(nanocoins: int) -> str:
    """As `config.yaml` has it: a decimal with all nine places."""
    return f'{nanocoins // COIN}.{nanocoins % COIN:09d}'


def model(name: str, port: int, *, price: tuple[str, str] = ('1000', '2000'), **endpoint: Any) -> dict[str, Any]:
    """A model for `config.yaml`; `price` is coins per million input and output tokens."""
    return {
        'name': name,
        'access': 'allowed',
        'input_cost_per_million': price[0],
        'output_cost_per_million': price[1],
        'context_window': CONTEXT_WINDOW,
        'max_output_tokens': MAX_OUTPUT,
        'endpoints': [{'url': f'http://127.0.0.1:{port}/v1'} | endpoint],
    }


class Site:
    """`pools` has one for each client, in order: `max`, `refresh` and `starting` as `config.yaml` has them."""

    def __init__(
        self,
        processes: Processes,
        directory: Path,
        offered: Sequence[dict[str, Any]],
        pools: Sequence[Mapping[str, str]],
        database_url: str = '',
    ):
        whole = {
            'version': 2,
            'app': {'encryption_key': SECRET, 'secret_key': f'{SECRET}-pages'},
            'login': {'dev_users': [{'email': 'admin@example.org', 'name': 'Ada Admin'}]},
            'admins': ['admin@example.org'],
            'models': list(offered),
            'clients': {'default': pools[0]} | {f'client-{number}': pool for number, pool in enumerate(pools)},
        }
        self._processes = processes
        self._one_look = threading.Lock()
        """The models of a process speak to one database at a time: the one that was opened last."""
        self._installation = Installation(directory, 0, database_url, json.dumps(whole))
        self.clock: Callable[[], int] | None = None
        """By which what is asked here goes, in microseconds since the epoch, if not by the true time."""
        self.database_url = self._installation.database_url
        self.keys = self._installation.fill(len(pools)).read_text().split()

    @property
    def engine(self) -> str:
        return 'SQLite' if self.database_url.startswith('sqlite') else 'PostgreSQL'

    @property
    def is_serializable(self) -> bool:
        return 'serializable' in self.database_url

    def described(self, gateways: int) -> str:
        """The database, how it is reached if not as usual, and how many gateways share it if several do."""
        how = ', SERIALIZABLE' if self.is_serializable else ''
        how += ', pgbouncer' if is_behind_one(self.database_url) else ''
        return f'{self.engine}{how}{f", {gateways} gateways" if gateways > 1 else ""}'

    def taken_back(self) -> dict[str, int]:
        """At SERIALIZABLE: how many transactions the server took back, as a figure of a proof."""
        if not self.is_serializable:
            return {}
        question = 'select xact_rollback from pg_stat_database where datname = current_database()'
        return {'transactions taken back': self.read(lambda: models.database.execute_sql(question).fetchone()[0])}

    def processes(self) -> set[str]:
        """The ids of the gateways that count as living."""
        return self.read(lambda: {row.id for row in models.Process.select(models.Process.id)})

    @property
    def configuration_file(self) -> Path:
        return self._installation.configuration

    @property
    def configuration(self) -> Configuration:
        return Configuration.load(self._installation.configuration, self._installation.environment)

    def serve(self, *, on: Sequence[int] = MEASURED, environment: Mapping[str, str] | None = None) -> Running:
        """A gateway of it, once it is ready. Its log is `gateway.log`."""
        port = free_port()
        return self._processes.start(
            self._installation.serve(port, 'gateway'),
            port,
            on=on,
            environment={**self._installation.environment, **(environment or {})},
            path='/readyz',
            log='gateway',
        )

    def stop(self, gateway: Running) -> None:
        self._processes.stop(gateway)

    def read(self, question: Callable[[], T]) -> T:
        """What a question on the tables of `models` finds, asked from beside the gateways."""
        with self._one_look:
            database = Database(self.database_url, readers=1, clock=self.clock)
            try:
                return database.read_now(question)
            finally:
                database.close()

    def write(self, change: Callable[[], object]) -> float:
        """Change what a proof needs otherwise. Returns when that was done, as `time.monotonic()` has it."""
        with self._one_look:
            database = Database(self.database_url, readers=1)
            try:
                database.write_now(change)
                return time.monotonic()
            finally:
                database.close()

    def forget(self, process_id: str) -> None:
        """Take a gateway for dead, as another one would after half a minute without a sign of life."""
        self.write(lambda: models.Process.delete().where(models.Process.id == process_id).execute())

    def account(self, number: int = 0) -> models.Account:
        """The account of a client, by its place among the pools."""
        return self.read(lambda: models.Account.get(models.Account.handle == f'client-{number}'))

    def requests(self) -> dict[str, models.Request]:
        """What is written down of every call, by the id that its caller was told, the first one first."""
        return self.read(lambda: {row.request_id: row for row in models.Request.select().order_by(models.Request.id)})

    def open_holds(self) -> list[str]:
        """The calls that coins are held for."""
        return self.read(lambda: [row.request_id for row in models.Hold.select(models.Hold.request_id)])

    def open_holds_of(self, process_id: str) -> list[str]:
        """Those of one gateway."""
        return self.read(
            lambda: [row.request_id for row in models.Hold.select().where(models.Hold.process_id == process_id)]
        )

    def wait_until_settled(self, seconds: float = 15) -> None:
        """Return when no coins are held. Raises SystemExit when that takes too long."""
        wait_for(lambda: not self.open_holds(), seconds, 'the calls to be settled')

    def differences(self) -> list[str]:
        """What `lumen check` says; nothing when the books add up."""
        return self.read(differences)

    def wrong_in_the_books(self) -> list[str]:
        """That the books do not add up, or that something is held, when no call is in flight."""
        holds = self.open_holds()
        return self.differences() + ([f'{len(holds)} holds are left'] if holds else [])
