"""An institution to take pictures of: people, clients, keys and three months of calls, made by the functions that make
them in earnest and at the times when they would have happened.
"""

from __future__ import annotations

import random
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any, TypeVar
from uuid import uuid4

import models
from lumen.config.source import Configuration
from lumen.database import Database
from lumen.errors import InsufficientCoins
from lumen.identity import keys, people, rotation, sessions
from lumen.identity.keys import NewKey
from lumen.identity.permissions import Actor
from lumen.ledger import holds, operations, settlement
from lumen.records import acknowledgements, clients, managers
from tests.e2e.serving import Server, wait_until

T = TypeVar('T')

ADMIN, MANAGER, USER = 'admin@example.org', 'manager@example.org', 'user@example.org'
KEY_SECRET = 'only for pictures, of a database that is thrown away'
DAY_US = 86_400_000_000
BURSTS, ROTATED_IN = 24, 20
CONFIGURATION = """
version: 2
app:
  tagline: One address, one kind of key and one budget for all our models
  url: https://lumen.example.edu
  announcement: Maintenance on Friday from 18:00 to 18:15. Calls may be refused for a minute.
  support_email: help@example.edu
  github_url: https://github.com/example/lumen
  feature_url: https://github.com/example/lumen/issues/new
  institution: Example University
  institution_url: https://example.edu
  footer_links: [{label: Research Computing, url: "https://example.edu/computing"}]
login:
  dev_users:
    - {email: admin@example.org, name: Ada Admin}
    - {email: manager@example.org, name: Max Manager}
    - {email: user@example.org, name: Uma User}
admins: [admin@example.org]
defaults:
  models: {access: blocked}
models:
  - name: llama-3.3-70b
    access: allowed
    input_cost_per_million: 0.5
    output_cost_per_million: 1.5
    context_window: 131072
    max_output_tokens: 8192
    endpoints: [{url: "builtin:echo"}]
  - name: qwen3-coder-30b
    input_cost_per_million: 0.3
    output_cost_per_million: 1.2
    context_window: 131072
    max_output_tokens: 8192
    endpoints: [{url: "builtin:echo"}]
  - name: hosted-large
    access: allowed
    needs_ack: true
    ack_message: |
      This model runs at a commercial provider, outside the university.
      Send it no health records, no exam results and nothing under embargo.
    input_cost_per_million: 3
    output_cost_per_million: 15
    context_window: 200000
    max_output_tokens: 8192
    endpoints: [{url: "builtin:echo"}]
  - name: hosted-vision
    access: allowed
    needs_ack: true
    ack_message: Pictures leave the university. Send none that shows a person who did not agree.
    input_cost_per_million: 4
    output_cost_per_million: 12
    context_window: 131072
    max_output_tokens: 4096
    endpoints: [{url: "builtin:echo"}]
  - name: clinical-13b
    input_cost_per_million: 1
    output_cost_per_million: 2
    context_window: 32768
    max_output_tokens: 4096
    endpoints: [{url: "builtin:echo"}]
  - name: llama-2-70b
    disabled: true
    input_cost_per_million: 0.5
    output_cost_per_million: 1.5
    context_window: 4096
    max_output_tokens: 2048
    endpoints: [{url: "builtin:echo"}]
groups:
  research: {model_access: {allowed: [qwen3-coder-30b]}}
clients:
  default: {max: 100, refresh: 0.05, starting: 100, model_access: {blocked: [clinical-13b]}}
  genome-annotator: {max: 500, refresh: 1, starting: 500, groups: [research]}
  library-search: {max: 200, refresh: 0.5, starting: 200}
  campus-chat: {max: -2}
  thesis-indexer: {max: 40, refresh: 0.02, starting: 40}
  radiology-pilot: {max: 0}
"""
SHORT = 'Send none that shows a person who did not agree.'
LONG = ' '.join(f'Paragraph {number} of the agreement says what else must not leave.' for number in range(50))
PEOPLE = {
    ADMIN: 'Ada Admin',
    MANAGER: 'Max Manager',
    USER: 'Uma User',
    'lena.fischer@example.edu': 'Lena Fischer',
    'marcus.reed@example.edu': 'Marcus Reed',
    'mariam.haddad@example.edu': 'Mariam Haddad',
    'tomas.novak@example.edu': 'Tomás Novák',
}
# name, days since it was made, managers (the first owns it), calls, tokens of a call
CLIENTS: tuple[tuple[str, int, tuple[str, ...], int, int], ...] = (
    ('library-search', 88, ('lena.fischer@example.edu', MANAGER), 1900, 9_000),
    ('campus-chat', 81, ('marcus.reed@example.edu', 'tomas.novak@example.edu'), 2400, 6_000),
    ('genome-annotator', 64, (MANAGER, 'lena.fischer@example.edu'), 1450, 42_000),
    ('course-assistant', 52, ('tomas.novak@example.edu',), 640, 5_000),
    ('thesis-indexer', 47, ('mariam.haddad@example.edu',), 4000, 24_000),
    ('climate-model-notes', 33, ('mariam.haddad@example.edu',), 260, 18_000),
    ('grant-finder', 29, ('lena.fischer@example.edu',), 120, 7_000),
    ('old-newsletter-bot', 27, (MANAGER,), 90, 3_000),
    ('ticket-triage', 18, ('marcus.reed@example.edu',), 310, 2_500),
    ('radiology-pilot', 9, (), 0, 0),
    ('lab-notebook-search', 2, ('tomas.novak@example.edu',), 12, 4_000),
)


class Institution:
    """What is behind a served installation, to be changed beside it. `at` is the time that it is, None for now."""

    def __init__(self, server: Server) -> None:
        server.configuration.write_text(CONFIGURATION)
        server.extra_environment = {'LUMEN_ENCRYPTION_KEY': KEY_SECRET, 'LUMEN_SECRET_KEY': KEY_SECRET[::-1]}
        self.server = server
        self.at: int | None = None
        self.clients: dict[str, int] = {}
        self._random = random.Random(7)

    def say_more(self) -> None:
        """Before the server is started: let a model ask for more to be read than its dialog shows at once."""
        text = self.server.configuration.read_text()
        assert SHORT in text
        self.server.configuration.write_text(text.replace(SHORT, f'{SHORT} {LONG}'))

    def open(self) -> None:
        """Once the server has made the database."""
        self.configuration = Configuration.load(self.server.configuration, self.server.environment)
        self.database = Database(self.server.database_url, clock=lambda: self.at or time.time_ns() // 1000)
        settings = self.configuration.current
        self._people = {
            email: self.write(people.ensure_user, email, name, settings, 'sign-in') for email, name in PEOPLE.items()
        }

    def close(self) -> None:
        self.database.close()

    def write(self, call: Callable[..., T], *arguments: Any, **named: Any) -> T:
        return self.database.write_now(call, *arguments, **named)

    def act(self, email: str, call: Callable[..., T], *arguments: Any, **named: Any) -> T:
        actor = Actor(self._people[email])
        return self.write(call, actor, *arguments, settings=self.configuration.current, **named)

    def session(self, email: str) -> str:
        """The cookie of somebody who signed in."""
        return self.write(sessions.start, self._people[email])

    def fill(self) -> None:
        """Three months of an institution's life, up to a minute ago."""
        for name, days, looked_after_by, calls, tokens in CLIENTS:
            self._days_ago(days)
            client = self.clients[name] = self.act(ADMIN, clients.create_client, name)
            for email in looked_after_by:
                self._later(minutes=7)
                self.act(ADMIN, managers.add_manager, client, email)
            if calls:
                self._later(minutes=40)
                self._live(name, client, looked_after_by[0], calls, tokens)
        self._days_ago(4)
        self.act(MANAGER, clients.set_active, self.clients['old-newsletter-bot'], False)
        self.at = None

    def _live(self, name: str, client: int, owner: str, calls: int, tokens: int) -> None:
        nightly = self.key(owner, client, 'nightly run')
        workstation = self.key(owner, client, 'workstation', expires_after_days=90)
        begun, end = self.at or 0, time.time_ns() // 1000 - 240_000_000
        if name == 'genome-annotator':
            self.acknowledge(owner, client, 'hosted-large')
        chosen = ['llama-3.3-70b'] * 4 + (['qwen3-coder-30b', 'hosted-large'] if name == 'genome-annotator' else [])
        for burst in range(BURSTS):
            self.at = begun + (end - begun) * (burst + 1) // BURSTS
            if name == 'genome-annotator' and burst == ROTATED_IN:
                nightly = self._rotate_and_revoke(owner, client, nightly)
            key = workstation if burst % 3 == 2 else nightly
            self.write(self._burst, client, name, key.id, chosen[burst % len(chosen)], max(1, calls // BURSTS), tokens)

    def _rotate_and_revoke(self, owner: str, client: int, nightly: NewKey) -> NewKey:
        """What happens to keys: one is rotated, one was made by mistake, one ended by itself."""
        mistake = self.key(owner, client, 'laptop of a guest')
        self.key(owner, client, 'workshop', expires_after_days=3)
        self._later(minutes=90)
        self.act(owner, keys.revoke_key, mistake.id)
        works_until = (self.at or 0) + 14 * DAY_US
        return self.act(
            owner,
            rotation.rotate_key,
            nightly.id,
            expires_at=None,
            works_until=works_until,
            secret=KEY_SECRET.encode(),
        )

    def key(self, email: str, client: int, name: str, expires_after_days: int = 0) -> NewKey:
        moment = self.at or time.time_ns() // 1000
        expires_at = moment + expires_after_days * DAY_US if expires_after_days else None
        return self.act(email, keys.create_key, client, name, expires_at, secret=KEY_SECRET.encode())

    def revoke(self, client: str, name: str) -> None:
        """The newest key of this name."""
        client_id = self.clients[client]
        rows = self.act(ADMIN, keys.keys_of, client_id)
        self.act(ADMIN, keys.revoke_key, next(row.id for row in rows if row.name == name))

    def acknowledge(self, email: str, client: int, model: str) -> None:
        message = acknowledgements.message_to_accept(self.configuration.current, model)
        self.act(email, acknowledgements.acknowledge, client, model, acknowledgements.digest_of(message))

    def manage(self, client: str, email: str) -> None:
        self.act(ADMIN, managers.add_manager, self.clients[client], email)

    def part(self, client: str, email: str) -> None:
        """Take a manager off a client."""
        self.act(ADMIN, managers.remove_manager, self.clients[client], self._people[email])

    def break_configuration(self) -> None:
        """As somebody does who edits the file while it is in force. Returns when it was noticed."""
        broken = CONFIGURATION.replace('max: 500', 'max: five hundred').replace('research]', 'reserch]')
        self.server.configuration.write_text(broken)
        wait_until(lambda: 'the changed configuration is not used' in self.server.log.read_text())

    def mend_configuration(self) -> None:
        self.server.configuration.write_text(CONFIGURATION)
        wait_until(lambda: 'configuration reloaded' in self.server.log.read_text())

    def lose_audit(self) -> None:
        """Take a table away beneath the running server, without which no client's page can be shown."""
        with closing(sqlite3.connect(self.server.database_url.removeprefix('sqlite:///'))) as database:
            database.execute('alter table audit_event rename to gone')

    def _burst(self, client: int, handle: str, key: int, model: str, calls: int, tokens: int) -> None:
        """Within a write: calls that were made and paid for, until the pool is nearly empty."""
        settings = self.configuration.current
        found = settings.model(model)
        assert found is not None
        for _ in range(calls):
            read = self._random.randint(tokens // 2, tokens * 3 // 2)
            written = read // 12
            ask = holds.Ask(
                request_id=f'req_{uuid4().hex}',
                account_id=client,
                key_id=key,
                kind=models.CLIENT,
                handle=handle,
                model=model,
                price=found.price,
                input_bound=read,
                output_bound=written,
                choices=1,
                expected_input_tokens=read,
                expected_output_tokens=written,
                streamed=True,
            )
            try:
                operations.place(ask, settings=settings, process_id='pictures')
            except InsufficientCoins:
                return
            outcome = settlement.Outcome('success', 200, read, written, False, 'builtin:echo', duration_us=900_000)
            operations.settle(ask.request_id, outcome, settings=settings)

    def _days_ago(self, days: int) -> None:
        self.at = time.time_ns() // 1000 - days * DAY_US

    def _later(self, *, minutes: int) -> None:
        assert self.at is not None
        self.at += minutes * 60_000_000
