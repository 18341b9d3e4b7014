"""The Clients page as questions to the database: one page of rows, and the totals above them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import peewee
from peewee import Ordering, fn

import models
from lumen.config.settings import Settings
from lumen.database import searchable, tuples
from lumen.errors import Invalid
from lumen.identity import permissions
from lumen.identity.permissions import Action, Actor, Person

PAGE_SIZE = 100

TOKENS = models.Account.input_tokens + models.Account.output_tokens
MANAGERS = models.Manager.select(fn.count(models.Manager.id)).where(models.Manager.client == models.Account.id)
SORTS: dict[str, Any] = {
    'name': models.Account.handle,
    'managers': MANAGERS,
    'active': models.Account.active,
    'requests': models.Account.requests,
    'tokens': TOKENS,
    'spent': models.Account.spent,
    'created_at': models.Account.created_at,
}


@dataclass(frozen=True, slots=True)
class ClientRow:
    """One line of the table. `spent` is nanocoins, `created_at` microseconds since the epoch."""

    id: int
    name: str
    managers: int
    active: bool
    requests: int
    tokens: int
    spent: int
    created_at: int


@dataclass(frozen=True, slots=True)
class Totals:
    """Over all clients that the viewer may see, whatever they search for."""

    clients: int
    requests: int
    tokens: int
    spent: int


@dataclass(frozen=True, slots=True)
class ClientPage:
    """`rows` are one page, the number `page` counted from 0; `total` is how many clients match."""

    rows: list[ClientRow]
    page: int
    total: int
    totals: Totals


def rows(
    actor: Actor,
    *,
    settings: Settings,
    search: str = '',
    active: bool | None = None,
    sort: str = 'name',
    descending: bool = False,
    page: int = 0,
    page_size: int = PAGE_SIZE,
) -> ClientPage:
    """One page of the clients that the actor may see. `page` counts from 0; behind the last one comes the last one.

    Raises Forbidden for those who manage none, Invalid for an unknown `sort`.
    """
    person = permissions.require(actor, Action.OPEN_CLIENTS, settings)
    if sort not in SORTS:
        raise Invalid(f'Cannot sort by {sort!r}.', param='sort')
    visible = visible_to(person)
    matching = visible
    text = searchable(search)
    if text:
        matching = matching & models.Account.handle.contains(text.casefold())
    if active is not None:
        matching = matching & (models.Account.active == active)
    total = models.Account.select().where(matching).count()
    page = min(max(0, page), max(0, (total - 1) // page_size))
    direction = 'DESC' if descending else 'ASC'
    query = (
        models.Account.select(
            models.Account.id,
            models.Account.name,
            MANAGERS,
            models.Account.active,
            models.Account.requests,
            TOKENS,
            models.Account.spent,
            models.Account.created_at,
        )
        .where(matching)
        .order_by(Ordering(SORTS[sort], direction), Ordering(models.Account.id, direction))
        .paginate(page + 1, page_size)
    )
    found = [
        ClientRow(client_id, name, managers, bool(is_active), requests, tokens, spent, created_at)
        for client_id, name, managers, is_active, requests, tokens, spent, created_at in tuples(query)
    ]
    return ClientPage(found, page, total, _totals(visible))


def visible_to(person: Person) -> peewee.Expression:
    """What restricts a query on accounts to the clients that `person` may see."""
    clients = models.Account.kind == models.CLIENT
    if person.is_admin:
        return clients
    managed = models.Manager.select(models.Manager.client).where(models.Manager.user == person.account_id)
    return clients & models.Account.id.in_(managed)


def _totals(visible: peewee.Expression) -> Totals:
    query = models.Account.select(
        fn.count(models.Account.id),
        fn.coalesce(fn.sum(models.Account.requests), 0),
        fn.coalesce(fn.sum(TOKENS), 0),
        fn.coalesce(fn.sum(models.Account.spent), 0),
    )
    return Totals(*map(int, tuples(query.where(visible))[0]))
