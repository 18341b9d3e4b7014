"""A Lumen that serves pages from a process of its own, and the means to change its database beside it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import models
from lumen import schema
from lumen.config.source import Configuration
from lumen.database import Database, now
from lumen.identity import people, sessions
from lumen.identity.keys import NewKey, create_key
from lumen.identity.permissions import COMMAND_LINE
from lumen.ledger import Ask, operations, settlement
from lumen.records import clients, managers

T = TypeVar('T')

CONFIGURATION = """
version: 2
app: {name: Lumen, institution: Example University}
login:
  dev_users:
    - {email: ada@example.org, name: Ada Lovelace}
    - {email: grace@example.org, name: Grace Hopper}
    - {email: alan@example.org, name: Alan Turing}
admins: [ada@example.org]
models:
  - name: echo
    input_cost_per_million: 1000
    output_cost_per_million: 2000
    context_window: 8192
    max_output_tokens: 1024
    endpoints: [{url: "builtin:echo"}]
  - name: careful
    access: allowed
    needs_ack: true
    ack_message: Data leaves the house.
    input_cost_per_million: 0
    output_cost_per_million: 0
    endpoints: [{url: "builtin:echo"}]
  - name: secretive
    input_cost_per_million: 0
    output_cost_per_million: 0
    endpoints: [{url: "builtin:echo"}]
clients:
  default: {max: 100, refresh: 1, starting: 60, model_access: {allowed: [echo], default: blocked}}
  boundless: {max: -2}
  penniless: {max: 0}
"""
ADA, GRACE, ALAN = 'ada@example.org', 'grace@example.org', 'alan@example.org'
KEY_SECRET = 'e' * 48
WITHOUT_SECRETS = {'LUMEN_ENCRYPTION_KEY': KEY_SECRET, 'LUMEN_SECRET_KEY': 's' * 48}


class Site:
    """`address` is where it answers; `folder` holds all that it wrote, its log (`log`) included. It serves pages only,
    unless its `role` says otherwise.
    """

    def __init__(self, folder: Path, configuration: str = CONFIGURATION, *, role: str = 'ui') -> None:
        self.folder = folder
        self.log = folder / 'log'
        path = folder / 'config.yaml'
        path.write_text(configuration)
        url = f'sqlite:///{folder}/lumen.db'
        variables = {'LUMEN_CONFIG': str(path), 'DATABASE_URL': url} | WITHOUT_SECRETS
        self.configuration = Configuration.load(path, variables)
        self.database = Database(url)
        schema.migrate(self.database)
        self._numbers = count(1)
        self.people = {
            email: self.write(people.sign_in_dev, email, self.configuration.current) for email in (ADA, GRACE, ALAN)
        }
        with self.log.open('w') as log:
            self._process = subprocess.Popen(
                [sys.executable, '-m', 'app', 'serve', '--port', '0', '--role', role],
                env=os.environ | variables,
                cwd=folder,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self._process.stdout is not None
        first_line = self._process.stdout.readline()
        assert ' is ready on ' in first_line, self.log.read_text()
        self.address = first_line.split()[-1]

    def stop(self) -> None:
        assert self._process.stdout is not None
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(timeout=40)
        self._process.stdout.close()
        self.database.close()

    def write(self, call: Callable[..., T], *arguments: Any, **named: Any) -> T:
        # A process has one database, and another test may have made one since.
        models.database.initialize(self.database.engine)
        return self.database.write_now(call, *arguments, **named)

    def act(self, call: Callable[..., T], *arguments: Any, **named: Any) -> T:
        """As the command line does it."""
        return self.write(call, COMMAND_LINE, *arguments, settings=self.configuration.current, **named)

    def sign_in(self, email: str) -> str:
        """The value of the session cookie."""
        return self.write(sessions.start, self.people[email])

    def client(self, name: str = '', *, managed_by: tuple[str, ...] = ()) -> int:
        """A client; the first of `managed_by` owns it."""
        client_id = self.act(clients.create_client, name or f'client-{next(self._numbers)}')
        for email in managed_by:
            self.act(managers.add_manager, client_id, email)
        return client_id

    def key(self, client_id: int, name: str = 'ci', expires_at: int | None = None) -> NewKey:
        return self.act(create_key, client_id, name, expires_at, secret=KEY_SECRET.encode())

    def hold(self, client_id: int, key_id: int, *, model: str = 'echo', tokens: int = 1000) -> str:
        """A call in flight that may cost as much as `tokens` input tokens. Returns its request id."""
        handle = self.act(clients.get, client_id).handle
        found = self.configuration.current.model(model)
        assert found is not None
        ask = Ask(
            request_id=uuid4().hex,
            account_id=client_id,
            key_id=key_id,
            kind='client',
            handle=handle,
            model=model,
            price=found.price,
            input_bound=tokens,
            output_bound=0,
            choices=1,
            expected_input_tokens=tokens,
            expected_output_tokens=0,
            streamed=False,
        )
        self.write(operations.place, ask, settings=self.configuration.current, process_id=self.write(_another_server))
        return ask.request_id

    def settle(self, request_id: str, *, input_tokens: int, output_tokens: int = 0) -> None:
        outcome = settlement.Outcome(
            outcome='success',
            status=200,
            input_tokens=input_tokens,
            output_tokens=output_tokens,
            estimated=False,
            endpoint='builtin:echo',
            duration_us=1000,
        )
        self.write(operations.settle, request_id, outcome, settings=self.configuration.current)

    def call(self, client_id: int, key_id: int, *, model: str = 'echo', tokens: int = 1000) -> None:
        """A call that was made and paid for."""
        self.settle(self.hold(client_id, key_id, model=model, tokens=tokens), input_tokens=tokens)


def _another_server() -> str:
    """A process that lives on for an hour, so that nobody takes our calls for those of one that died."""
    moment = now()
    row = models.Process
    row.insert(
        id='test', role='gateway', started_at=moment, heartbeat_at=moment + 3_600_000_000
    ).on_conflict_ignore().execute()
    return 'test'
