"""An installation of Lumen to measure: one priced model, clients with a pool that lasts, a key each."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path

import models
from lumen import schema
from lumen.config.settings import Settings
from lumen.config.source import Configuration
from lumen.database import Database
from lumen.identity import keys, people, sessions
from lumen.ledger import pools

CONFIGURATION = """
version: 2
app: {{encryption_key: {secret}, secret_key: {secret}-pages}}
login: {{dev_users: [{{email: admin@example.org, name: Ada Admin}}]}}
admins: [admin@example.org]
models:
  - name: bench
    access: allowed
    input_cost_per_million: 1000
    output_cost_per_million: 2000
    context_window: 8192
    max_output_tokens: 1024
    endpoints: [{{url: "{upstream}/v1"}}]
clients:
  default: {{max: 1000000, refresh: 1, starting: 1000000, model_access: {{default: allowed}}}}
"""
LIMITED = 'rate_limiting: {limit: "100000000 per minute"}\n'
"""A limit that is never reached."""

SECRET = 'measured-on-loopback-only-0123456789'
SECRETS = {'LUMEN_SECRET_KEY': SECRET + '-pages', 'LUMEN_ENCRYPTION_KEY': SECRET}
CHUNK = 1000


class Installation:
    """`configuration` is the text of another `config.yaml` than the one above, `more` is what stands there too."""

    def __init__(
        self,
        directory: Path,
        upstream_port: int,
        database_url: str = '',
        configuration: str = '',
        more: str = '',
    ):
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.configuration = directory / 'config.yaml'
        upstream = f'http://127.0.0.1:{upstream_port}'
        text = configuration or CONFIGURATION.format(upstream=upstream, secret=SECRET)
        self.configuration.write_text(text + more)
        self.database_url = database_url or f'sqlite:///{directory}/lumen.db'

    @property
    def environment(self) -> Mapping[str, str]:
        return os.environ | {'LUMEN_CONFIG': str(self.configuration), 'DATABASE_URL': self.database_url}

    def serve(self, port: int, role: str, workers: int = 1) -> list[str]:
        """The command that serves it."""
        command = [sys.executable, '-m', 'app', 'serve', '--port', str(port), '--role', role]
        return command + ['--workers', str(workers)] * (workers > 1)

    def fill(self, count: int) -> Path:
        """Make `count` clients with a key each; return the file with the keys."""
        configuration = Configuration.load(self.configuration, self.environment)
        database = Database(self.database_url)
        path = self.directory / 'keys'
        try:
            schema.migrate(database)
            with path.open('w') as file:
                numbers = iter(range(count))
                while some := list(islice(numbers, CHUNK)):
                    file.writelines(database.write_now(_clients, some, configuration.current))
        finally:
            database.close()
        return path

    def sign_in(self) -> str:
        """The cookie of a browser in which the admin signed in."""
        configuration = Configuration.load(self.configuration, self.environment)
        database = Database(self.database_url)
        try:
            user_id = database.write_now(people.sign_in_dev, 'admin@example.org', configuration.current)
            return f'{sessions.COOKIE}={database.write_now(sessions.start, user_id)}'
        finally:
            database.close()


def _clients(numbers: list[int], settings: Settings) -> Iterator[str]:
    made = []
    for number in numbers:
        name = f'client-{number}'
        account_id = pools.new_account(models.CLIENT, name, name, '', 'bench', settings=settings)
        key = keys._new_key()
        models.ApiKey.create(
            account=account_id,
            name='bench',
            digest=keys.digest(key, SECRET.encode()),
            hint=keys.hint(key),
            created_at=0,
            created_by='bench',
        )
        made.append(f'{key}\n')
    return iter(made)
