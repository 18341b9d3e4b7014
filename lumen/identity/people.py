"""The people who sign in: found by e-mail, created at their first sign-in or when somebody makes them a manager."""

from __future__ import annotations

import re
from dataclasses import dataclass

from peewee import fn

import models
from lumen.config.settings import Settings
from lumen.database import searchable
from lumen.errors import Forbidden, Invalid
from lumen.identity import permissions, revisions
from lumen.identity.permissions import Actor
from lumen.ledger import pools
from lumen.records import audit

ADDRESS = re.compile(r'[^@\s\x00-\x1f<>()\[\],;:\\\"]+@[^@\s\x00-\x1f<>()\[\],;:\\\"]+\Z')
MAX_ADDRESS = 254


@dataclass(frozen=True, slots=True)
class PersonRow:
    account_id: int
    name: str
    email: str


def check_email(email: str) -> str:
    """The address, trimmed. Raises Invalid (`email`) when it cannot be one."""
    email = email.strip()
    if not email:
        raise Invalid('Enter an e-mail address.', param='email')
    # Not printable: an override that makes it read as another one, half a character, a joiner that nobody sees.
    if len(email) > MAX_ADDRESS or not email.isprintable() or not ADDRESS.match(email):
        raise Invalid('This is not an e-mail address.', param='email')
    return email


def find_by_email(email: str) -> models.Account | None:
    """The user account of an address, regardless of case."""
    return models.Account.get_or_none(
        models.Account.kind == models.USER, models.Account.handle == email.strip().casefold()
    )


def ensure_user(email: str, name: str, settings: Settings, created_by: str) -> int:
    """The id of the user with this address, who is created with their starting grant when new.

    For actions that write the audit.
    """
    email = check_email(email)
    found = find_by_email(email)
    if found is not None:
        return int(found.id)
    user_id = pools.new_account(models.USER, email.casefold(), name, email, created_by, settings=settings)
    revisions.bump(revisions.ACCOUNTS)
    return user_id


def sign_in_dev(email: str, settings: Settings) -> int:
    """The id of the dev user's account, created at the first sign-in. Raises Forbidden for anybody else.

    A name that was guessed when somebody else entered the address gives way to the one that signs in. Both are audited
    as done by the person themself.
    """
    handle = email.strip().casefold()
    dev_user = next((user for user in settings.login.dev_users if user.email.casefold() == handle), None)
    if dev_user is None:
        raise Forbidden('This address may not sign in here.')
    is_new = find_by_email(dev_user.email) is None
    user_id = ensure_user(dev_user.email, dev_user.name, settings, dev_user.email)
    user = models.Account.get_by_id(user_id)
    if not user.active:
        raise Forbidden('This account is deactivated.', code='account_deactivated')
    person = permissions.load(Actor(user_id), settings)
    if is_new:
        audit.record(person, 'user.created', account_id=user_id, subject=user.email, after={'email': user.email})
    if user.name != dev_user.name:
        models.Account.update(name=dev_user.name).where(models.Account.id == user_id).execute()
        before, after = {'name': user.name}, {'name': dev_user.name}
        audit.record(person, 'user.renamed', account_id=user_id, subject=user.email, before=before, after=after)
    return user_id


def search(text: str, limit: int = 10, exclude_client: int | None = None) -> list[PersonRow]:
    """Users whose name or e-mail contains `text`, without those who manage `exclude_client` already.

    Only for those who may change managers: check that before.
    """
    text = searchable(text)
    users = models.Account.select(models.Account.id, models.Account.name, models.Account.email).where(
        models.Account.kind == models.USER, models.Account.active
    )
    if text:
        by_name = fn.lower(models.Account.name).contains(text.lower())
        users = users.where(models.Account.handle.contains(text.casefold()) | by_name)
    if exclude_client is not None:
        managing = models.Manager.select(models.Manager.user).where(models.Manager.client == exclude_client)
        users = users.where(models.Account.id.not_in(managing))
    users = users.order_by(models.Account.name, models.Account.id).limit(limit)
    return [PersonRow(user.id, user.name, user.email) for user in users]
