"""Who is at the institution of a demo: admins who make clients, users who manage them."""

from __future__ import annotations

from random import Random
from typing import NamedTuple

import models
from lumen import bulk
from lumen.config.settings import Settings
from lumen.database import tuples
from lumen.demo import names
from lumen.demo.rhythm import Rhythm
from lumen.demo.wish import DAY_US, MINUTE_US, Wish
from lumen.identity.permissions import Person
from lumen.ledger.past import PastAccount

COMMAND_LINE = Person(None, 'command line (demo)', '', is_admin=True, manages=0, via='command')
CLIENTS_PER_USER = 6
MOST_USERS = 20_000
MANAGERS = (0, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 4)
"""How many managers clients have, by how often."""


class People(NamedTuple):
    """`new` are the accounts to write; some of the others may have signed in before. The next one has `next_id`."""

    admins: list[Person]
    managers: list[Person]
    new: list[PastAccount]
    next_id: int


def gather(random: Random, wish: Wish, settings: Settings) -> People:
    """Within a write: the people of a demo.

    Dev users take part, so that one can sign in and look: those who are admins make clients, and the first of the
    others manages some. Nobody else's address is taken from the configuration.
    """
    if not wish.clients:
        return People([COMMAND_LINE], [], [], 0)
    query = models.Account.select(models.Account.handle, models.Account.id).where(models.Account.kind == models.USER)
    known: dict[str, int] = dict(tuples(query))
    count = min(MOST_USERS, 3 + wish.clients // CLIENTS_PER_USER)
    dev_users = [(user.name, user.email) for user in settings.login.dev_users]
    taken = {email.casefold() for _, email in dev_users} | set(known)
    made_up = [names.person(random, taken) for _ in range(count)]
    first_id = bulk.next_id('account')
    new: list[PastAccount] = []
    persons = []
    for name, email in dev_users + made_up:
        account_id = known.get(email.casefold())
        if account_id is None:
            account_id = first_id + len(new)
            since = wish.beginning - random.randrange(DAY_US, 300 * DAY_US)
            new.append(_account(account_id, name, email, since, settings))
            known[email.casefold()] = account_id
        person = Person(account_id, name, email, settings.is_admin(email), manages=0, via='page')
        persons.append(person)
    admins = [person for person in persons if person.is_admin]
    others = [person for person in persons[: len(dev_users)] if not person.is_admin]
    managers = others[:1] + persons[len(dev_users) :]
    return People(admins or [COMMAND_LINE], managers, new, first_id + len(new))


class Staff(NamedTuple):
    """Who looks after one client: whoever made it, and its managers as (person, since when, added by), owner first."""

    maker: Person
    managers: list[tuple[Person, int, Person]]

    def owner_at(self, moment: int) -> Person:
        """Who may change everything about the client at `moment`."""
        return next((person for person, since, _ in self.managers[:1] if since <= moment), self.maker)

    def any_at(self, random: Random, moment: int) -> Person:
        """Somebody who may manage its keys at `moment`."""
        return random.choice([person for person, since, _ in self.managers if since <= moment] or [self.maker])


def assign(random: Random, people: People, office: Rhythm, created_at: int, end: int) -> Staff:
    """The staff of a client that was made at `created_at`. Some users manage far more clients than others."""
    maker = COMMAND_LINE if random.random() < 0.1 else random.choice(people.admins)
    count = min(random.choice(MANAGERS), len(people.managers))
    chosen: dict[int, Person] = {}
    while len(chosen) < count:
        place = int(len(people.managers) * random.random() ** 2)
        chosen[place] = people.managers[place]
    handed_over = office.one(random, created_at + MINUTE_US, created_at + min(2 * DAY_US, (end - created_at) // 2))
    moments = [handed_over, *sorted(office.one(random, handed_over, end) for _ in range(count - 1))]
    managers: list[tuple[Person, int, Person]] = []
    for person, moment in zip(chosen.values(), moments, strict=False):
        by = managers[0][0] if managers and random.random() < 0.5 else maker
        managers.append((person, moment, by))
    return Staff(maker, managers)


def _account(account_id: int, name: str, email: str, since: int, settings: Settings) -> PastAccount:
    """A user as the first sign-in would have made them."""
    handle = email.casefold()
    pool = settings.pool(models.USER, handle)
    return PastAccount(account_id, models.USER, handle, name, email, since, email, pool)
