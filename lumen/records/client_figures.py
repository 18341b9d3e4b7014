"""Every client that the viewer may see with its figures, for commands and programs. One query, however many."""

from __future__ import annotations

from dataclasses import dataclass

import models
from lumen.config.settings import Settings
from lumen.database import now
from lumen.identity import permissions
from lumen.identity.permissions import Action, Actor
from lumen.ledger import pools
from lumen.records.client_list import visible_to


@dataclass(frozen=True, slots=True)
class ClientFigures:
    """What a client used and has, in nanocoins. `balance` includes held coins and is None when unlimited."""

    id: int
    name: str
    active: bool
    requests: int
    input_tokens: int
    output_tokens: int
    spent: int
    balance: int | None


def figures(actor: Actor, *, settings: Settings) -> list[ClientFigures]:
    """All clients that the actor may see, by name. Raises Forbidden for those who manage none."""
    person = permissions.require(actor, Action.OPEN_CLIENTS, settings)
    moment = now()
    query = models.Account.select().where(visible_to(person)).order_by(models.Account.handle)
    return [_figures(account, settings, moment) for account in query]


def figures_of(actor: Actor, client_id: int, *, settings: Settings) -> ClientFigures:
    """Those of one client. Raises what `permissions.require` does."""
    permissions.require(actor, Action.SEE_CLIENT, settings, client_id)
    return _figures(models.Account.get_by_id(client_id), settings, now())


def _figures(account: models.Account, settings: Settings, moment: int) -> ClientFigures:
    pool = pools.state(account, settings.pool(models.CLIENT, account.handle), moment)
    return ClientFigures(
        id=account.id,
        name=account.name,
        active=account.active,
        requests=account.requests,
        input_tokens=account.input_tokens,
        output_tokens=account.output_tokens,
        spent=account.spent,
        balance=pool.balance,
    )
