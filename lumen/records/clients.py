"""What is done to clients, and one client as its page and its command show it. Nothing is ever deleted."""

from __future__ import annotations

import string
from dataclasses import dataclass

from peewee import IntegrityError

import models
from lumen.config.settings import Settings
from lumen.database import now
from lumen.errors import Conflict, Invalid
from lumen.identity import permissions, revisions
from lumen.identity.permissions import Action, Actor
from lumen.ledger import pools
from lumen.ledger.pools import PoolState
from lumen.records import audit

MAX_NAME = 64
FIRST = frozenset(string.ascii_letters + string.digits)
CHARACTERS = FIRST | set('._- ')
RESERVED = 'default'


@dataclass(frozen=True, slots=True)
class ClientDetail:
    """One client. Times are microseconds since the epoch, `spent` is nanocoins; `may` is what the viewer may do."""

    id: int
    name: str
    handle: str
    active: bool
    created_at: int
    created_by: str
    requests: int
    input_tokens: int
    output_tokens: int
    spent: int
    pool: PoolState
    may: frozenset[Action]


def check_name(name: str) -> str:
    """The name as it is kept. Raises Invalid (`name`) that says what is wrong with it."""
    if not name.strip():
        raise Invalid('Enter a name.', param='name')
    if name[0] not in FIRST:
        raise Invalid('A name starts with a letter (a-z) or a digit.', param='name')
    wrong = next((character for character in name if character not in CHARACTERS), None)
    if wrong is not None:
        shown = f'"{wrong}"' if wrong.isprintable() else 'a character that cannot be shown'
        raise Invalid(
            f'A name consists of letters (a-z), digits, dots, underscores, hyphens and spaces; {shown} is none.',
            param='name',
        )
    if name.endswith(' '):
        raise Invalid('A name does not end with a space.', param='name')
    if len(name) > MAX_NAME:
        raise Invalid(f'A name has at most {MAX_NAME} characters; this one has {len(name)}.', param='name')
    if name.casefold() == RESERVED:
        raise Invalid(
            '"default" is what the configuration calls all clients without an entry of their own.', param='name'
        )
    return name


def find_by_name(name: str) -> int | None:
    """The id of the client with this name, regardless of case."""
    row = models.Account.get_or_none(models.Account.kind == models.CLIENT, models.Account.handle == name.casefold())
    return None if row is None else int(row.id)


def create_client(actor: Actor, name: str, *, settings: Settings) -> int:
    """Make a client with its starting grant and return its id.

    Raises Invalid or Conflict (`name`), or what `permissions.require` does.
    """
    person = permissions.require(actor, Action.CREATE_CLIENT, settings)
    name = check_name(name)
    try:
        with models.database.atomic():
            client_id = pools.new_account(models.CLIENT, name.casefold(), name, '', person.label, settings=settings)
    except IntegrityError:
        raise _taken(name) from None
    revisions.bump(revisions.ACCOUNTS)
    audit.record(person, 'client.created', account_id=client_id, subject=name, after={'name': name, 'active': True})
    return client_id


def rename_client(actor: Actor, client_id: int, name: str, *, settings: Settings) -> None:
    """Give a client another name; from then on it is the new one that `config.yaml` is matched with.

    Raises Invalid or Conflict (`name`), or what `permissions.require` does.
    """
    person = permissions.require(actor, Action.RENAME_CLIENT, settings, client_id)
    name = check_name(name)
    before = models.Account.get_by_id(client_id).name
    if name == before:
        return
    try:
        with models.database.atomic():
            models.Account.update(name=name, handle=name.casefold()).where(models.Account.id == client_id).execute()
    except IntegrityError:
        raise _taken(name) from None
    revisions.bump(revisions.ACCOUNTS)
    audit.record(
        person, 'client.renamed', account_id=client_id, subject=name, before={'name': before}, after={'name': name}
    )


def set_active(actor: Actor, client_id: int, active: bool, *, settings: Settings) -> None:
    """Activate or deactivate a client: a deactivated one's keys stop working, calls in flight finish."""
    person = permissions.require(actor, Action.SET_ACTIVE, settings, client_id)
    changed = (
        models.Account.update(active=active)
        .where(models.Account.id == client_id, models.Account.active != active)
        .execute()
    )
    if changed:
        revisions.bump(revisions.ACCOUNTS)
        audit.record(
            person,
            'client.activated' if active else 'client.deactivated',
            account_id=client_id,
            subject=models.Account.get_by_id(client_id).name,
            before={'active': not active},
            after={'active': active},
        )


def get(actor: Actor, client_id: int, *, settings: Settings) -> ClientDetail:
    """One client as it is now. Raises what `permissions.require` does."""
    person = permissions.require(actor, Action.SEE_CLIENT, settings, client_id)
    account = models.Account.get_by_id(client_id)
    return ClientDetail(
        id=account.id,
        name=account.name,
        handle=account.handle,
        active=account.active,
        created_at=account.created_at,
        created_by=account.created_by,
        requests=account.requests,
        input_tokens=account.input_tokens,
        output_tokens=account.output_tokens,
        spent=account.spent,
        pool=pools.state(account, settings.pool(models.CLIENT, account.handle), now()),
        may=permissions.allowed_actions(person, client_id),
    )


def _taken(name: str) -> Conflict:
    """Names the one that is there, which may be written otherwise."""
    there = models.Account.get_or_none(models.Account.kind == models.CLIENT, models.Account.handle == name.casefold())
    named = there.name if there else name
    return Conflict(f'There is already a client named "{named}".', code='name_taken', param='name')
