"""What the ledger is asked to do, many things at once: one reading, one writing, and each thing its own result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lumen.config.settings import Settings
from lumen.database import now
from lumen.errors import LumenError
from lumen.ledger import holds, settlement
from lumen.ledger.books import Books
from lumen.ledger.holds import Ask, Held
from lumen.ledger.settlement import Outcome, Settled


@dataclass(frozen=True, slots=True)
class Place:
    """Hold what a call could cost; gives Held. See `holds.place` for what it raises."""

    ask: Ask
    process_id: str
    settings: Settings
    others_wait: bool = False


@dataclass(frozen=True, slots=True)
class Settle:
    """Charge what a call did cost; gives Settled. Without an `outcome`, what was expected of it."""

    request_id: str
    outcome: Outcome | None
    settings: Settings


@dataclass(frozen=True, slots=True)
class Extend:
    """Hold more for a call; gives what is held for it now. See `holds.extend`."""

    request_id: str
    amount: int
    settings: Settings


Operation = Place | Settle | Extend
Result = tuple[Any, LumenError | None]


def carry_out(operations: Sequence[Operation]) -> list[Result]:
    """Within a write: all of them, in their order. One that is refused changes nothing and does not stop the others."""
    places = [operation for operation in operations if isinstance(operation, Place)]
    books = Books(
        accounts={place.ask.account_id for place in places},
        keys={place.ask.key_id for place in places},
        requests={_request_id(operation) for operation in operations},
    )
    moment = now()
    results = [_one(books, operation, moment) for operation in operations]
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


def _one(books: Books, operation: Operation, moment: int) -> Result:
    try:
        return _done(books, operation, moment), None
    except LumenError as refusal:
        return None, refusal


def _done(books: Books, operation: Operation, moment: int) -> Any:
    settings = operation.settings
    if isinstance(operation, Place):
        return holds.place(
            books,
            operation.ask,
            settings=settings,
            process_id=operation.process_id,
            moment=moment,
            others_wait=operation.others_wait,
        )
    if isinstance(operation, Extend):
        return holds.extend(books, operation.request_id, operation.amount, settings=settings, moment=moment)
    if operation.outcome is None:
        return settlement.interrupted(books, operation.request_id, settings=settings, moment=moment)
    return settlement.settle(books, operation.request_id, operation.outcome, settings=settings, moment=moment)


def _request_id(operation: Operation) -> str:
    return operation.ask.request_id if isinstance(operation, Place) else operation.request_id
