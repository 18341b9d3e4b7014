"""What the ledger is asked to do, many things at once: one reading, one writing, and each thing its own result."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import peewee

from lumen.config.settings import Settings
from lumen.database import now
from lumen.errors import LumenError
from lumen.ledger import holds, settlement
from lumen.ledger.books import Books
from lumen.ledger.holds import Ask, Held
from lumen.ledger.known import Known, recalled
from lumen.ledger.outcome import Outcome
from lumen.ledger.settlement import Settled
from lumen.writer import TryAgain


class Place(NamedTuple):
    """Hold what a call could cost; gives Held. See `holds.place` for what it raises."""

    ask: Ask
    process_id: str
    settings: Settings
    others_wait: bool = False
    waited_us: int | None = None


class Settle(NamedTuple):
    """Charge what a call did cost; gives Settled. Without an `outcome`, what was expected of it."""

    request_id: str
    outcome: Outcome | None
    settings: Settings


class Extend(NamedTuple):
    """Hold more for a call; gives what is held for it now. See `holds.extend`."""

    request_id: str
    amount: int
    settings: Settings


Operation = Place | Settle | Extend
Result = tuple[Any, LumenError | None]


def carry_out(operations: Sequence[Operation]) -> list[Result]:
    """Within a write: all of them, in their order. One that is refused changes nothing and does not stop the others."""
    known = recalled()
    try:
        results = _carried_out(known, operations)
    except peewee.IntegrityError as error:
        if known.is_remembered:
            raise TryAgain from error
        raise
    known.keep()
    return results


def _carried_out(known: Known, operations: Sequence[Operation]) -> list[Result]:
    accounts: set[int] = set()
    keys: set[int] = set()
    limited: set[int] = set()
    requests: set[str] = set()
    for operation in operations:
        if isinstance(operation, Place):
            accounts.add(operation.ask.account_id)
            keys.add(operation.ask.key_id)
            if operation.ask.most_at_once is not None:
                limited.add(operation.ask.key_id)
            if not known.is_remembered:  # else a hold that is there already is found when it is refused or written
                requests.add(operation.ask.request_id)
        else:
            requests.add(operation.request_id)
    books = Books(known, now(), accounts=accounts, keys=keys, requests=requests, limited=limited)
    results = [_one(books, operation) for operation in operations]
    books.save()
    return results


def place(ask: Ask, *, settings: Settings, process_id: str) -> Held:
    """Within a write: hold for one call."""
    held: Held = _alone(Place(ask, process_id, settings))
    return held


def settle(request_id: str, outcome: Outcome | None, *, settings: Settings) -> Settled:
    """Within a write: charge one call."""
    settled: Settled = _alone(Settle(request_id, outcome, settings))
    return settled


def _alone(operation: Operation) -> Any:
    [(value, refusal)] = carry_out([operation])
    if refusal is not None:
        raise refusal
    return value


def _one(books: Books, operation: Operation) -> Result:
    try:
        if isinstance(operation, Place):
            return holds.place(books, *operation), None
        settings = operation.settings
        if isinstance(operation, Extend):
            return holds.extend(books, operation.request_id, operation.amount, settings=settings), None
        if operation.outcome is None:
            return settlement.interrupted(books, operation.request_id, settings=settings), None
        return settlement.settle(books, operation.request_id, operation.outcome, settings=settings), None
    except LumenError as refusal:
        if isinstance(operation, Place) and books.find_overlooked(operation.ask.request_id):
            return _one(books, operation)
        return None, refusal
