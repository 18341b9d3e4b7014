"""What a batch of holds and settlements reads, changes in memory, and writes back: all in one transaction.

Calls of one account in a batch become one update of its row, and so do those of one key and hour.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass

from lumen.config.settings import Pool
from lumen.ledger import statements
from lumen.ledger.pools import refill
from lumen.ledger.statements import Row

Totals = tuple[int, int, int, int]
"""Requests, input tokens, output tokens, nanocoins."""


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
    is_changed: bool = False
    accrued: int = 0
    charged: int = 0
    charged_unlimited: int = 0
    requests: int = 0
    read: int = 0
    written: int = 0

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
        self.is_changed = True
        self.balance, self.touched_at, self.remainder = found.balance, found.touched_at, found.remainder
        self.accrued += found.accrued
        self.brought_in += found.accrued

    def charge(self, cost: int, input_tokens: int, output_tokens: int, *, unlimited: bool) -> None:
        """Count a call, and take what it did cost out of the pool unless that is unlimited."""
        self.is_changed = True
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


@dataclass(slots=True)
class HoldState:
    """A hold that is open."""

    request_id: str
    account_id: int
    key_id: int
    model: str
    amount: int
    unlimited: bool
    input_price: int
    output_price: int
    expected_input_tokens: int
    expected_output_tokens: int
    streamed: bool
    created_at: int
    is_new: bool = False


class Books:
    """The rows that a batch is about, by account, key and request."""

    def __init__(self, accounts: Collection[int], keys: Collection[int], requests: Collection[str]):
        """Read them. `accounts` need not name those of holds that are there."""
        ids = set(accounts)
        if statements.is_locking():
            # Whoever changes a hold has its account locked: only then is what the hold says certain.
            ids.update(row[0] for row in statements.read(statements.ACCOUNTS_OF_HOLDS, requests))
            self.accounts = _accounts(ids)
            self.holds = _holds(requests)
        else:
            self.holds = _holds(requests)
            self.accounts = _accounts(ids | {hold.account_id for hold in self.holds.values()})
        self.keys = {row[0]: row for row in statements.read(statements.KEYS, keys)}
        self.settled: dict[str, tuple[int, int, str]] = {}
        self._new_holds: dict[str, Row] = {}
        self._amounts: dict[str, int] = {}
        self._freed: list[str] = []
        self._requests: list[Row] = []
        self._key_totals: defaultdict[tuple[int, int], Totals] = defaultdict(lambda: (0, 0, 0, 0))
        self._hour_totals: defaultdict[tuple[int, int, str, str, int, int], Totals] = defaultdict(lambda: (0, 0, 0, 0))

    def add_hold(self, hold: HoldState, row: Row) -> None:
        """Keep a new hold; `row` has the columns of `statements.HOLD`."""
        hold.is_new = True
        self.holds[hold.request_id] = hold
        self._new_holds[hold.request_id] = row

    def extend_hold(self, hold: HoldState, more: int) -> None:
        """Set aside more for a call."""
        hold.amount += more
        account = self.accounts[hold.account_id]
        account.held += more
        account.is_changed = True
        if not hold.is_new:
            self._amounts[hold.request_id] = hold.amount

    def free_hold(self, hold: HoldState) -> None:
        """Set nothing aside for the call any more."""
        del self.holds[hold.request_id]
        self._amounts.pop(hold.request_id, None)
        account = self.accounts[hold.account_id]
        account.held -= hold.amount
        account.is_changed = True
        if self._new_holds.pop(hold.request_id, None) is None:
            self._freed.append(hold.request_id)

    def record(self, hold: HoldState, outcome: str, hour: int, moment: int, totals: Totals, row: Row) -> None:
        """Write a call down and count it for its key and hour; `row` has the columns of `statements.REQUEST`."""
        self._requests.append(row)
        key = hold.key_id, moment
        self._key_totals[key] = _sum(self._key_totals[key], totals)
        place = hold.account_id, hold.key_id, hold.model, outcome, hour, moment
        self._hour_totals[place] = _sum(self._hour_totals[place], totals)

    def recorded(self, request_id: str) -> tuple[int, int, str] | None:
        """Cost, shortfall and outcome of a call that is settled; None for one that never was."""
        if request_id in self.settled:
            return self.settled[request_id]
        found = statements.read(statements.RECORDED, (request_id,))
        return (found[0][0], found[0][1], found[0][2]) if found else None

    def save(self) -> None:
        """Write everything that changed."""
        statements.free(self._freed)
        statements.write(statements.SAVE_AMOUNT, statements.AMOUNT, list(self._amounts.items()))
        changed = [account.row for _, account in sorted(self.accounts.items()) if account.is_changed]
        statements.write(statements.SAVE_ACCOUNTS, statements.ACCOUNT, changed)
        statements.write(statements.ADD_HOLDS, statements.HOLD, list(self._new_holds.values()))
        statements.write(
            statements.COUNT_KEYS,
            statements.KEY,
            [(key, *totals, moment) for (key, moment), totals in sorted(self._key_totals.items())],
        )
        statements.write(
            statements.COUNT_HOURS,
            statements.HOUR,
            [(*place, *totals, moment) for (*place, moment), totals in sorted(self._hour_totals.items())],
        )
        statements.write(statements.ADD_REQUESTS, statements.REQUEST, self._requests)


def _accounts(ids: Collection[int]) -> dict[int, AccountState]:
    return {row[0]: AccountState(*row) for row in statements.read(statements.ACCOUNTS, ids)}


def _holds(request_ids: Collection[str]) -> dict[str, HoldState]:
    return {row[0]: HoldState(*row) for row in statements.read(statements.HOLDS, request_ids)}


def _sum(one: Totals, other: Totals) -> Totals:
    return one[0] + other[0], one[1] + other[1], one[2] + other[2], one[3] + other[3]
