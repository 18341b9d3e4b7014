"""What the last batches read and wrote, so that the next one need not ask the database for it again.

On SQLite one process serves, and its batches go through one connection: what they know of accounts, keys and open holds
stays with that connection. It is believed as long as nobody else wrote. Three numbers say so, looked at within the
transaction, where nobody else can write any more:

- `pragma data_version`: it changes when another connection or process has committed;
- `total_changes` of this connection: it grows with every row that other writes of this process changed;
- `undone` of this connection: it grows whenever a transaction or a savepoint is taken back. A lost connection is
  followed by another one, which knows nothing.

Should all three be wrong, the law of the pools, a constraint of the database, does not let what is not so be written.
PostgreSQL has many writers: there nothing is kept, every batch locks and reads its rows.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import peewee

import models
from lumen.config.settings import Pool, Settings
from lumen.engine import SqliteEngine
from lumen.ledger import statements
from lumen.ledger.pools import refill
from lumen.ledger.statements import Row

MOST = 100_000
"""So many accounts, keys or holds are kept; then those are forgotten and read anew as they are needed."""

FORGOTTEN_US = 2_000_000
"""Whoever stands first and has not said so for so long is gone."""

Stamp = tuple[int, int, int]
Key = tuple[Any, ...]
"""Its id, whose it is, when it was revoked (or None), when it expires (or None)."""


class First(NamedTuple):
    """A call that stands first for an account's coins in its process: since when, and when that was said last."""

    process_id: str
    since: int
    seen_at: int


@dataclass(slots=True)
class AccountState:
    """An account's row as it is by now. From `accrued` on: what this batch added."""

    id: int
    active: bool
    kind: str
    handle: str
    balance: int
    held: int
    touched_at: int
    remainder: int
    brought_in: int
    spent: int
    input_tokens: int
    output_tokens: int
    accrued: int = 0
    charged: int = 0
    charged_unlimited: int = 0
    requests: int = 0
    read: int = 0
    written: int = 0
    lines: list[First] = field(default_factory=list)
    """Of all processes, where several serve."""

    _settings: Settings | None = None
    _pool: Pool | None = None

    def pool(self, settings: Settings) -> Pool:
        """What `settings` give to it."""
        if self._pool is None or self._settings is not settings:
            self._settings, self._pool = settings, settings.pool(self.kind, self.handle)
        return self._pool

    @property
    def row(self) -> Row:
        return (
            self.id,
            self.balance,
            self.held,
            self.touched_at,
            self.remainder,
            self.accrued,
            self.charged,
            self.charged_unlimited,
            self.requests,
            self.read,
            self.written,
        )

    def stands_behind(self, process_id: str, waited_us: int | None, moment: int) -> bool:
        """Whether a call in another process came before one that `waited_us`, or not at all yet, and still waits."""
        for first in self.lines:
            is_there = first.process_id != process_id and moment - first.seen_at < FORGOTTEN_US
            if is_there and (waited_us is None or first.since < moment - waited_us):
                return True
        return False

    def refill(self, pool: Pool, moment: int) -> None:
        """Take in what time brought."""
        found = refill(
            balance=self.balance,
            touched_at=self.touched_at,
            remainder=self.remainder,
            pool=pool,
            moment=moment,
            brought_in=self.brought_in,
        )
        self.balance, accrued, self.remainder, self.touched_at = found
        self.accrued += accrued
        self.brought_in += accrued

    def charge(self, cost: int, input_tokens: int, output_tokens: int, *, unlimited: bool) -> None:
        """Count a call, and take what it did cost out of the pool unless that is unlimited."""
        self.requests += 1
        self.spent += cost
        self.charged += cost
        if unlimited:
            self.charged_unlimited += cost
        else:
            self.balance -= cost
        self.input_tokens += input_tokens
        self.read += input_tokens
        self.output_tokens += output_tokens
        self.written += output_tokens

    def saved(self) -> None:
        """Its row says all of this now."""
        self.accrued = self.charged = self.charged_unlimited = self.requests = self.read = self.written = 0


@dataclass(slots=True)
class HoldState:
    """A hold that is open."""

    request_id: str
    account_id: int
    key_id: int
    process_id: str
    model: str
    amount: int
    unlimited: bool
    input_price: int
    output_price: int
    audio_price: int
    expected_input_tokens: int
    expected_output_tokens: int
    expected_audio_us: int
    streamed: bool
    created_at: int

    @property
    def row(self) -> Row:
        return (
            self.request_id,
            self.account_id,
            self.key_id,
            self.process_id,
            self.model,
            self.amount,
            self.unlimited,
            self.input_price,
            self.output_price,
            self.audio_price,
            self.expected_input_tokens,
            self.expected_output_tokens,
            self.expected_audio_us,
            self.streamed,
            self.created_at,
        )


@dataclass(slots=True)
class Known:
    """Accounts and keys by id, open holds by request. `is_remembered` when earlier batches left some of it."""

    accounts: dict[int, AccountState] = field(default_factory=dict)
    keys: dict[int, Key] = field(default_factory=dict)
    holds: dict[str, HoldState] = field(default_factory=dict)
    is_remembered: bool = False
    data_version: int = 0
    stamp: Stamp | None = None

    def read_accounts(self, ids: Collection[int]) -> None:
        """Those of `ids` that are not known yet."""
        missing = [each for each in ids if each not in self.accounts]
        if missing and statements.is_locking():
            for *row, lines in statements.read(statements.ACCOUNTS_AND_LINES, missing):
                self.accounts[row[0]] = account = AccountState(*row)
                account.lines = [First(*line) for line in lines or ()]
        elif missing:
            self.accounts.update((row[0], AccountState(*row)) for row in statements.read(statements.ACCOUNTS, missing))

    def read_keys(self, ids: Collection[int]) -> None:
        """Those of `ids` that are not known yet."""
        if missing := [each for each in ids if each not in self.keys]:
            self.keys.update((row[0], tuple(row)) for row in statements.read(statements.KEYS, missing))

    def read_holds(self, request_ids: Collection[str]) -> None:
        """Those of `request_ids` that are not known yet."""
        if missing := [each for each in request_ids if each not in self.holds]:
            self.holds.update((row[0], HoldState(*row)) for row in statements.read(statements.HOLDS, missing))

    def forget(self) -> None:
        for known in (self.accounts, self.keys, self.holds):
            known.clear()

    def keep(self) -> None:
        """Believe all of this in the next batch, unless somebody else writes or this transaction is taken back."""
        engine = models.database.obj
        if isinstance(engine, SqliteEngine):
            for known in (self.accounts, self.keys, self.holds):
                if len(known) > MOST:
                    known.clear()
            self.stamp = _stamp(engine, self.data_version)


def recalled() -> Known:
    """What may be believed within this transaction. Whoever does not come as far as `keep` leaves nothing of it."""
    engine = models.database.obj
    if not isinstance(engine, SqliteEngine):
        return Known()
    known = _of(engine)
    known.data_version = engine.run('pragma data_version').fetchone()[0]
    known.is_remembered = known.stamp == _stamp(engine, known.data_version)
    known.stamp = None
    if not known.is_remembered:
        known.forget()
    return known


@contextmanager
def untouched() -> Iterator[None]:
    """Within a write: what is written within concerns no account, key or hold, and is no reason to forget any."""
    engine = models.database.obj
    if not isinstance(engine, SqliteEngine):
        yield
        return
    known = _of(engine)
    is_kept = known.stamp == _stamp(engine, known.data_version)
    yield
    if is_kept:
        known.stamp = _stamp(engine, known.data_version)


def _of(engine: SqliteEngine) -> Known:
    connection = engine.connection()
    if connection.known is None:
        connection.known = Known()
        # A statement of many rows notes how pages were before, in case it fails in the middle: beyond 64 KB in a file,
        # which would be made anew for every commit. Tables that are temporary already keep it from being changed.
        with suppress(peewee.OperationalError):
            engine.run('pragma temp_store = memory')
    known: Known = connection.known
    return known


def _stamp(engine: SqliteEngine, data_version: int) -> Stamp:
    connection = engine.connection()
    return data_version, connection.total_changes, connection.undone
