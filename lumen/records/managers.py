"""The users who look after a client. The first one added becomes its owner, unless said otherwise; it may have none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import models
from lumen.config.settings import Settings
from lumen.database import now, tuples
from lumen.errors import Conflict, NotFound
from lumen.identity import people, permissions, revisions
from lumen.identity.people import PersonRow
from lumen.identity.permissions import Action, Actor
from lumen.records import audit

Ownership = Literal['owned', 'without owner', 'unmanaged']


@dataclass(frozen=True, slots=True)
class ManagerRow:
    user_id: int
    name: str
    email: str
    is_owner: bool
    added_at: int


def managers_of(actor: Actor, client_id: int, *, settings: Settings) -> list[ManagerRow]:
    """The managers of a client, its owner first, then by name."""
    permissions.require(actor, Action.SEE_CLIENT, settings, client_id)
    query = (
        models.Manager.select(
            models.Account.id,
            models.Account.name,
            models.Account.email,
            models.Manager.is_owner,
            models.Manager.added_at,
        )
        .join(models.Account, on=(models.Account.id == models.Manager.user))
        .where(models.Manager.client == client_id)
        .order_by(models.Manager.is_owner.desc(), models.Account.name, models.Account.id)
    )
    return [ManagerRow(user_id, name, email, bool(owner), at) for user_id, name, email, owner, at in tuples(query)]


def ownership(managers: Sequence[ManagerRow]) -> Ownership:
    """What makes the next manager the owner or not."""
    if any(manager.is_owner for manager in managers):
        return 'owned'
    return 'without owner' if managers else 'unmanaged'


def candidates(actor: Actor, client_id: int, text: str, *, settings: Settings) -> list[PersonRow]:
    """Users who could become managers, found by name or e-mail. Only for those who may change managers."""
    permissions.require(actor, Action.CHANGE_MANAGERS, settings, client_id)
    return people.search(text, exclude_client=client_id)


def add_manager(
    actor: Actor,
    client_id: int,
    email: str,
    *,
    settings: Settings,
    as_owner: bool | None = None,
    seen: Ownership | None = None,
) -> ManagerRow:
    """Make the user with this address a manager; a new address becomes a user who has yet to sign in.

    The first manager becomes the owner unless `as_owner` says otherwise. A later one becomes it when `as_owner` says
    so; who was it until then stays a manager. `seen` is how it stood when the actor chose between the two.

    Raises Invalid (`email`), Conflict when they are one already or it stands otherwise by now, or what
    `permissions.require` does.
    """
    person = permissions.require(actor, Action.CHANGE_MANAGERS, settings, client_id)
    email = people.check_email(email)
    if seen is not None:
        _require_as_seen(managers_of(actor, client_id, settings=settings), seen)
    known = people.find_by_email(email)
    if known is not None and not known.active:
        raise Conflict(f'{known.name} is deactivated and cannot manage clients.', param='email')
    email = known.email if known else email
    user_id = people.ensure_user(email, email.partition('@')[0], settings, person.label)
    user = models.Account.get_by_id(user_id)
    if known is None:
        audit.record(person, 'user.created', account_id=user_id, subject=email, after={'email': email})
    of_client = models.Manager.client == client_id
    if models.Manager.get_or_none(of_client, models.Manager.user == user_id) is not None:
        raise Conflict(f'{user.name} manages this client already.', code='already_manager', param='email')
    if as_owner is None:
        as_owner = not models.Manager.select().where(of_client).exists()
    former = models.Manager.get_or_none(of_client, models.Manager.is_owner) if as_owner else None
    if former is not None:
        models.Manager.update(is_owner=False).where(models.Manager.id == former.id).execute()
    link = models.Manager.create(
        client=client_id, user=user_id, is_owner=as_owner, added_at=now(), added_by=person.label
    )
    revisions.bump(revisions.ACCOUNTS)
    audit.record(
        person,
        'manager.added',
        account_id=client_id,
        subject=user.email,
        before={'owner': _email(former.user_id)} if former else None,
        after={'email': user.email, 'owner': as_owner},
    )
    return ManagerRow(user_id, user.name, email, as_owner, link.added_at)


def hand_over(actor: Actor, client_id: int, user_id: int, *, settings: Settings) -> None:
    """Make a manager the owner; who was it until now stays a manager.

    Doing it again changes nothing. Raises NotFound when they do not manage it, or what `permissions.require` does.
    """
    person = permissions.require(actor, Action.CHANGE_MANAGERS, settings, client_id)
    link = _link(client_id, user_id)
    if link.is_owner:
        return
    of_client = models.Manager.client == client_id
    before = models.Manager.get_or_none(of_client, models.Manager.is_owner)
    models.Manager.update(is_owner=False).where(of_client, models.Manager.is_owner).execute()
    models.Manager.update(is_owner=True).where(models.Manager.id == link.id).execute()
    revisions.bump(revisions.ACCOUNTS)
    audit.record(
        person,
        'owner.changed',
        account_id=client_id,
        subject=_email(user_id),
        before={'owner': _email(before.user_id) if before else None},
        after={'owner': _email(user_id)},
    )


def leave(actor: Actor, client_id: int, *, settings: Settings) -> None:
    """Take oneself off a client. An owner who leaves leaves it without one.

    Raises NotFound when the actor does not manage it, or what `permissions.require` does.
    """
    person = permissions.require(actor, Action.LEAVE_CLIENT, settings, client_id)
    link = _link(client_id, person.account_id)
    models.Manager.delete().where(models.Manager.id == link.id).execute()
    revisions.bump(revisions.ACCOUNTS)
    audit.record(
        person,
        'manager.left',
        account_id=client_id,
        subject=person.email,
        before={'email': person.email, 'owner': link.is_owner},
    )


def remove_manager(actor: Actor, client_id: int, user_id: int, *, settings: Settings) -> None:
    """Take a manager off a client. Without its owner a client has none until an admin names one.

    Raises NotFound when they do not manage it, or what `permissions.require` does.
    """
    person = permissions.require(actor, Action.CHANGE_MANAGERS, settings, client_id)
    link = _link(client_id, user_id)
    email = _email(user_id)
    models.Manager.delete().where(models.Manager.id == link.id).execute()
    revisions.bump(revisions.ACCOUNTS)
    audit.record(
        person,
        'manager.removed',
        account_id=client_id,
        subject=email,
        before={'email': email, 'owner': link.is_owner},
    )


def _require_as_seen(managers: Sequence[ManagerRow], seen: Ownership) -> None:
    stands = ownership(managers)
    if stands == seen:
        return
    if stands == 'owned':
        how = f'{managers[0].name} owns this client by now.'
    elif stands == 'unmanaged':
        how = 'Nobody manages this client any more.'
    else:
        how = 'Somebody manages this client by now, without owning it.'
    raise Conflict(f'{how} Look again, then press "Add" once more.', code='managers_changed', param='email')


def _link(client_id: int, user_id: int | None) -> models.Manager:
    link = models.Manager.get_or_none(models.Manager.client == client_id, models.Manager.user == user_id)
    if link is None:
        raise NotFound('This user does not manage this client.', code='manager_not_found')
    return link


def _email(user_id: int) -> str:
    return str(models.Account.get_by_id(user_id).email)
