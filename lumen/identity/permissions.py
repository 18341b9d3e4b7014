"""Who may do what: one table, used by pages, navigation and commands alike.

Roles are never remembered. Every action loads its actor afresh inside its own transaction, so a role that was taken
away a moment ago is already gone.
"""

from __future__ import annotations

import getpass
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from peewee import fn

import models
from lumen.config.settings import Settings
from lumen.database import tuples
from lumen.errors import Forbidden, NotAuthenticated, NotFound


class Role(StrEnum):
    USER = 'user'
    MANAGER = 'manager'
    OWNER = 'owner'
    ADMIN = 'admin'


class Action(StrEnum):
    """What can be done. The value completes the sentence *You may not ...*."""

    OPEN_CLIENTS = 'open the Clients page'
    SEE_CLIENT = 'see this client'
    CREATE_CLIENT = 'create clients'
    RENAME_CLIENT = 'rename this client'
    SET_ACTIVE = 'activate or deactivate this client'
    CHANGE_MANAGERS = 'change the managers of this client'
    MANAGE_KEYS = 'manage the keys of this client'
    ACKNOWLEDGE = 'acknowledge a model for this client'
    LEAVE_CLIENT = 'leave the managers of this client'
    READ_AUDIT = 'read the audit'


ANY_MANAGER = frozenset({Role.MANAGER, Role.OWNER, Role.ADMIN})
OWNER_AND_ADMIN = frozenset({Role.OWNER, Role.ADMIN})
ADMIN_ONLY = frozenset({Role.ADMIN})

RULES: Mapping[Action, frozenset[Role]] = MappingProxyType(
    {
        Action.OPEN_CLIENTS: ANY_MANAGER,
        Action.SEE_CLIENT: ANY_MANAGER,
        Action.CREATE_CLIENT: ADMIN_ONLY,
        Action.RENAME_CLIENT: ADMIN_ONLY,
        Action.SET_ACTIVE: OWNER_AND_ADMIN,
        Action.CHANGE_MANAGERS: OWNER_AND_ADMIN,
        Action.MANAGE_KEYS: ANY_MANAGER,
        Action.ACKNOWLEDGE: ANY_MANAGER,
        Action.LEAVE_CLIENT: ANY_MANAGER,
        Action.READ_AUDIT: ADMIN_ONLY,
    }
)


@dataclass(frozen=True, slots=True)
class Actor:
    """A reference to who acts: a user's account id, or None for whoever runs a command on the machine itself."""

    account_id: int | None
    via: str = 'page'


COMMAND_LINE = Actor(None, 'command')


@dataclass(frozen=True, slots=True)
class Person:
    """An actor as the database and the configuration know them now."""

    account_id: int | None
    name: str
    email: str
    is_admin: bool
    manages: int
    via: str

    @property
    def label(self) -> str:
        """How the audit names them."""
        return self.email or self.name


def load(actor: Actor, settings: Settings) -> Person:
    """The actor as they are now. Raises NotAuthenticated when the user is gone or deactivated."""
    if actor.account_id is None:
        return Person(None, f'command line ({getpass.getuser()})', '', is_admin=True, manages=0, via=actor.via)
    user = models.Account
    manages = models.Manager.select(fn.count(models.Manager.id)).where(models.Manager.user == user.id)
    query = user.select(user.name, user.email, manages).where(
        user.id == actor.account_id, user.kind == models.USER, user.active
    )
    for name, email, count in tuples(query):
        return Person(actor.account_id, name, email, settings.is_admin(email), count, actor.via)
    raise NotAuthenticated('You are not signed in any more.', code='not_signed_in')


def role(person: Person, client_id: int | None = None) -> Role:
    """The role of `person` for one client; without one, the best role that they have for any."""
    if person.is_admin:
        return Role.ADMIN
    if client_id is None:
        return Role.MANAGER if person.manages else Role.USER
    link = models.Manager.get_or_none(models.Manager.client == client_id, models.Manager.user == person.account_id)
    if link is None:
        return Role.USER
    return Role.OWNER if link.is_owner else Role.MANAGER


def may(person: Person, action: Action, client_id: int | None = None) -> bool:
    """Whether the table lets `person` do `action`."""
    return role(person, client_id) in RULES[action]


def allowed_actions(person: Person, client_id: int) -> frozenset[Action]:
    """Everything that `person` may do to one client."""
    held = role(person, client_id)
    return frozenset(action for action, roles in RULES.items() if held in roles)


def require(actor: Actor, action: Action, settings: Settings, client_id: int | None = None) -> Person:
    """Load the actor and let them pass.

    Raises NotAuthenticated, NotFound when the client does not exist or is not revealed to them, or Forbidden.
    """
    person = load(actor, settings)
    held = role(person, client_id)
    if client_id is not None and not (held in RULES[Action.SEE_CLIENT] and _is_client(client_id)):
        raise NotFound('There is no such client.', code='client_not_found')
    if held not in RULES[action]:
        raise Forbidden(f'You may not {action.value}.')
    return person


def _is_client(account_id: int) -> bool:
    return models.Account.select().where(models.Account.id == account_id, models.Account.kind == models.CLIENT).exists()
