"""What a batch of holds and settlements reads, changes in memory, and writes back: all in one transaction.

Calls of one account in a batch become one update of its row, and so do those of one key and hour.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from lumen.ledger import statements
from lumen.ledger.known import HoldState, Known
from lumen.ledger.pools import HOUR_US

Hour = tuple[int, int, str, str]
"""Account, key, model and outcome."""


class Books:
    """The rows that a batch is about, by account, key and request, at one moment."""

    def __init__(
        self, known: Known, moment: int, *, accounts: Collection[int], keys: Collection[int], requests: Collection[str]
    ):
        """Read of them what is not known. `accounts` need not name those of holds that are there."""
        self.moment = moment
        self._known = known
        self.holds = known.holds
        self.keys = known.keys
        ids = set(accounts)
        if statements.is_locking():
            # Whoever changes a hold has its account locked: only then is what the hold says certain.
            ids.update(row[0] for row in statements.read(statements.ACCOUNTS_OF_HOLDS, requests))
            known.read_accounts(ids)
            known.read_holds(requests)
        else:
            known.read_holds(requests)
            ids.update(self.holds[each].account_id for each in requests if each in self.holds)
            known.read_accounts(ids)
        known.read_keys(keys)
        self.accounts = {each: known.accounts[each] for each in sorted(ids) if each in known.accounts}
        self.settled: dict[str, tuple[int, int, str]] = {}
        self._placed: dict[str, HoldState] = {}
        self._extended: dict[str, HoldState] = {}
        self._freed: list[str] = []
        self._requests: list[Any] = []
        self._used_keys: dict[int, list[int]] = {}
        self._used_hours: dict[Hour, list[int]] = {}

    def add_hold(self, hold: HoldState) -> None:
        """Set coins aside for a call."""
        account = self.accounts[hold.account_id]
        account.held += hold.amount
        account.is_changed = True
        self.holds[hold.request_id] = self._placed[hold.request_id] = hold

    def extend_hold(self, hold: HoldState, more: int) -> None:
        """Set aside more for a call."""
        hold.amount += more
        account = self.accounts[hold.account_id]
        account.held += more
        account.is_changed = True
        if hold.request_id not in self._placed:
            self._extended[hold.request_id] = hold

    def free_hold(self, hold: HoldState) -> None:
        """Set nothing aside for the call any more."""
        del self.holds[hold.request_id]
        self._extended.pop(hold.request_id, None)
        account = self.accounts[hold.account_id]
        account.held -= hold.amount
        account.is_changed = True
        if self._placed.pop(hold.request_id, None) is None:
            self._freed.append(hold.request_id)

    def record(self, hold: HoldState, outcome: str, totals: tuple[int, int, int], row: tuple[Any, ...]) -> None:
        """Write a call down, and count its input tokens, output tokens and nanocoins for its key and hour.

        `row` has the columns of `statements.REQUEST`.
        """
        self._requests += row
        _count(self._used_keys, hold.key_id, totals)
        _count(self._used_hours, (hold.account_id, hold.key_id, hold.model, outcome), totals)

    def find_overlooked(self, request_id: str) -> bool:
        """Whether the call has a hold after all, which was not looked for because it is not among those known."""
        if not self._known.is_remembered or request_id in self.holds:
            return False
        self._known.read_holds((request_id,))
        if (hold := self.holds.get(request_id)) is None:
            return False
        self._known.read_accounts((hold.account_id,))
        self.accounts[hold.account_id] = self._known.accounts[hold.account_id]
        return True

    def recorded(self, request_id: str) -> tuple[int, int, str] | None:
        """Cost, shortfall and outcome of a call that is settled; None for one that never was."""
        if request_id in self.settled:
            return self.settled[request_id]
        found = statements.read(statements.RECORDED, (request_id,))
        return (found[0][0], found[0][1], found[0][2]) if found else None

    def save(self) -> None:
        """Write everything that changed."""
        moment, hour = self.moment, self.moment // HOUR_US
        changed = [account for account in self.accounts.values() if account.is_changed]
        statements.free(self._freed)
        statements.save_amounts([value for each in self._extended.values() for value in (each.request_id, each.amount)])
        statements.save_accounts([value for account in changed for value in account.row])
        statements.add_holds([value for hold in self._placed.values() for value in hold.row])
        statements.count_keys(
            [value for key, totals in sorted(self._used_keys.items()) for value in (key, *totals, moment)]
        )
        statements.count_hours(
            [value for used, totals in sorted(self._used_hours.items()) for value in (*used, hour, *totals, moment)]
        )
        statements.add_requests(self._requests)
        for account in changed:
            account.saved()


def _count(used: dict[Any, list[int]], what: Any, totals: tuple[int, int, int]) -> None:
    if (counted := used.get(what)) is None:
        used[what] = [1, *totals]
        return
    counted[0] += 1
    counted[1] += totals[0]
    counted[2] += totals[1]
    counted[3] += totals[2]
