"""What a batch of holds and settlements reads, changes in memory, and writes back: all in one transaction.

Calls of one account in a batch become one update of its row, and so do those of one key and hour.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from typing import Any

from lumen.coins import MAX_NANOCOINS
from lumen.config.settings import Pool
from lumen.ledger import statements
from lumen.ledger.known import AccountState, First, HoldState, Known
from lumen.ledger.outcome import Outcome
from lumen.ledger.pools import HOUR_US

Hour = tuple[int, int, str, str]
"""Account, key, model and outcome."""


class Books:
    """The rows that a batch is about, by account, key and request, at one moment."""

    def __init__(
        self,
        known: Known,
        moment: int,
        *,
        accounts: Collection[int],
        keys: Collection[int],
        requests: Collection[str],
        limited: Collection[int] = (),
    ):
        """Read of them what is not known. `accounts` need not name those of holds that are there; of the keys that are
        `limited` the calls in flight are counted.
        """
        self.moment = moment
        self.accounts = known.accounts
        self.holds = known.holds
        self.keys = known.keys
        self._known = known
        if statements.is_locking():
            # Whoever changes a hold has its account locked: only then is what the hold says certain.
            held = {row[0] for row in statements.read(statements.ACCOUNTS_OF_HOLDS, requests)}
            known.read_accounts(held.union(accounts))
            known.read_holds(requests)
        else:
            known.read_holds(requests)
            holds = known.holds
            known.read_accounts({holds[each].account_id for each in requests if each in holds}.union(accounts))
        known.read_keys(keys)
        self.in_flight = defaultdict(int, {row[0]: row[1] for row in statements.read(statements.IN_FLIGHT, limited)})
        self.settled: dict[str, tuple[int, int, str]] = {}
        self._changed: dict[int, AccountState] = {}
        self._placed: dict[str, HoldState] = {}
        self._extended: dict[str, HoldState] = {}
        self._freed: list[str] = []
        self._lines: dict[tuple[int, str], First | None] = {}
        self._requests: list[Any] = []
        self._used_keys: dict[int, list[int]] = {}
        self._used_hours: dict[Hour, list[int]] = {}

    def refill(self, account: AccountState, pool: Pool) -> None:
        """Take in what time brought to the account."""
        if self.moment > account.touched_at:
            account.refill(pool, self.moment)
            self._changed[account.id] = account

    def add_hold(self, hold: HoldState) -> None:
        """Set coins aside for a call."""
        account = self.accounts[hold.account_id]
        account.held += hold.amount
        self._changed[account.id] = account
        self.in_flight[hold.key_id] += 1
        self.holds[hold.request_id] = self._placed[hold.request_id] = hold

    def stand_first(self, account: AccountState, process_id: str, waited_us: int) -> None:
        """Say that a call stands first for the account's coins in this process, since so many microseconds."""
        if statements.is_locking():
            self._leave(account, process_id)
            account.lines.append(First(process_id, self.moment - waited_us, self.moment))
            self._lines[account.id, process_id] = account.lines[-1]

    def leave_line(self, account: AccountState, process_id: str) -> None:
        """Say that none does any more."""
        if self._leave(account, process_id):
            self._lines[account.id, process_id] = None

    def _leave(self, account: AccountState, process_id: str) -> bool:
        before = len(account.lines)
        account.lines = [first for first in account.lines if first.process_id != process_id]
        return len(account.lines) != before

    def extend_hold(self, hold: HoldState, more: int) -> None:
        """Set aside more for a call."""
        hold.amount += more
        account = self.accounts[hold.account_id]
        account.held += more
        self._changed[account.id] = account
        if hold.request_id not in self._placed:
            self._extended[hold.request_id] = hold

    def settle(
        self,
        hold: HoldState,
        outcome: Outcome,
        model: str,
        *,
        cost: int,
        shortfall: int,
        input_tokens: int,
        output_tokens: int,
    ) -> None:
        """Free the hold, charge the account, and write the call down."""
        request_id, account = hold.request_id, self.accounts[hold.account_id]
        account.held -= hold.amount
        account.charge(cost, input_tokens, output_tokens, unlimited=bool(hold.unlimited))
        self._changed[account.id] = account
        self.in_flight[hold.key_id] -= 1
        del self.holds[request_id]
        if self._placed.pop(request_id, None) is None:
            self._extended.pop(request_id, None)
            self._freed.append(request_id)
        self.settled[request_id] = cost, shortfall, outcome.outcome
        _count(self._used_keys, hold.key_id, input_tokens, output_tokens, cost)
        used = hold.account_id, hold.key_id, model, outcome.outcome
        _count(self._used_hours, used, input_tokens, output_tokens, cost)
        self._requests += (
            request_id,
            hold.account_id,
            hold.key_id,
            model,
            outcome.endpoint,
            outcome.outcome,
            outcome.status,
            bool(hold.streamed),
            input_tokens,
            output_tokens,
            min(outcome.audio_us, MAX_NANOCOINS),
            outcome.estimated,
            cost,
            shortfall,
            hold.created_at,
            self.moment,
            outcome.duration_us,
            outcome.time_to_first_byte_us,
        )

    def find_overlooked(self, request_id: str) -> bool:
        """Whether the call has a hold after all, which was not looked for because it is not among those known."""
        if not self._known.is_remembered or request_id in self.holds:
            return False
        self._known.read_holds((request_id,))
        if (hold := self.holds.get(request_id)) is None:
            return False
        self._known.read_accounts((hold.account_id,))
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
        amounts: list[Any] = []
        accounts: list[Any] = []
        holds: list[Any] = []
        keys: list[Any] = []
        hours: list[Any] = []
        left: list[Any] = []
        lines: list[Any] = []
        for hold in self._extended.values():
            amounts += hold.request_id, hold.amount
        for _, account in sorted(self._changed.items()):
            accounts += account.row
            account.saved()
        for hold in self._placed.values():
            holds += hold.row
        for key, totals in sorted(self._used_keys.items()):
            keys += (key, *totals, moment)
        for used, totals in sorted(self._used_hours.items()):
            hours += (*used, hour, *totals, moment)
        for (account_id, process_id), first in self._lines.items():
            if first is None:
                left += account_id, process_id
            else:
                lines += account_id, *first
        statements.leave_line(left)
        statements.stand_first(lines)
        statements.free(self._freed)
        statements.save_amounts(amounts)
        statements.save_accounts(accounts)
        statements.add_holds(holds)
        statements.count_keys(keys)
        statements.count_hours(hours)
        statements.add_requests(self._requests)


def _count(used: dict[Any, list[int]], what: Any, input_tokens: int, output_tokens: int, cost: int) -> None:
    if (counted := used.get(what)) is None:
        used[what] = [1, input_tokens, output_tokens, cost]
        return
    counted[0] += 1
    counted[1] += input_tokens
    counted[2] += output_tokens
    counted[3] += cost
