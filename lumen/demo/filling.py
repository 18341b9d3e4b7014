"""Filling a database with a demo, client by client, in one transaction: all of it is there, or nothing."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

import models
from lumen import bulk
from lumen.bulk import Row
from lumen.config.settings import Settings
from lumen.demo.calls import Calls
from lumen.demo.history import events, own_event
from lumen.demo.keys import moments, plan_keys
from lumen.demo.people import People, assign, gather
from lumen.demo.plan import Planned, plan
from lumen.demo.rhythm import OFFICE, STEADY, Rhythm
from lumen.demo.wish import Wish
from lumen.errors import Conflict
from lumen.identity import revisions
from lumen.ledger.imported import Import
from lumen.ledger.past import PastAccount, PastKey
from lumen.records import audit

CHUNK = 2_000
MANAGER = ('client_id', 'user_id', 'is_owner', 'added_at', 'added_by')
AROUND_THE_CLOCK = 0.25
"""The share of clients whose programs run day and night."""


@dataclass(frozen=True, slots=True)
class Made:
    """What a demo brought. `spent` is nanocoins."""

    clients: int
    users: int
    keys: int
    requests: int
    spent: int


def fill(wish: Wish, *, settings: Settings) -> Made:
    """Within a write: make what is wished for.

    Raises Conflict when there are clients already, or what `plan` does.
    """
    there = models.Account.select().where(models.Account.kind == models.CLIENT).count()
    if there:
        raise Conflict(
            f'This database has {there:,} clients already. A demo needs one without clients: name a new one with '
            'DATABASE_URL or app.database.url.',
            code='has_clients',
        )
    bulk.make_room()
    return _Filling(wish, settings).run()


class _Filling:
    """The streams of rows of one demo. A few thousand clients and requests at a time are in memory."""

    def __init__(self, wish: Wish, settings: Settings):
        self._wish = wish
        self._settings = settings
        self._random = Random(wish.seed)  # noqa: S311 - made-up data must be the same again; no secret comes from it
        self._office = Rhythm(wish.beginning, wish.end, OFFICE, wish.utc_offset_us)
        self._steady = Rhythm(wish.beginning, wish.end, STEADY, wish.utc_offset_us)
        self._calls = Calls(self._random, settings, wish)
        self._import = Import()
        self._audit = bulk.Stage('audit_event', audit.COLUMNS, order='at, account_id, action, subject')
        self._accounts: list[PastAccount] = []
        self._keys: list[tuple[PastAccount, PastKey]] = []
        self._managers: list[Row] = []

    def run(self) -> Made:
        people = gather(self._random, self._wish, self._settings)
        clients = plan(self._random, self._wish, self._settings)
        keys = spent = 0
        if clients:
            self._accounts += people.new
            first_id = people.next_id
            first_key_id = bulk.next_id('api_key')
            for account_id, planned in enumerate(clients, first_id):
                account, count = self._client(account_id, first_key_id + keys, planned, people)
                keys += count
                spent += account.spent
                if len(self._accounts) >= CHUNK:
                    self._write()
            self._write()
            bulk.used_up_to('account', first_id + len(clients) - 1)
            if keys:
                bulk.used_up_to('api_key', first_key_id + keys - 1)
        self._audit.add([own_event(self._wish)])
        self._import.finish()
        self._audit.pour()
        revisions.bump(revisions.ACCOUNTS)
        revisions.bump(revisions.KEYS)
        return Made(len(clients), len(people.new), keys, self._wish.requests, spent)

    def _client(self, account_id: int, key_id: int, planned: Planned, people: People) -> tuple[PastAccount, int]:
        """Make one client, whose keys have the ids from `key_id` on; return it with the number of its keys."""
        random, wish = self._random, self._wish
        staff = assign(random, people, self._office, planned.created_at, planned.end(wish))
        account = PastAccount(
            id=account_id,
            kind=models.CLIENT,
            handle=planned.name.casefold(),
            name=planned.name,
            email='',
            created_at=planned.created_at,
            created_by=staff.maker.label,
            pool=planned.pool,
            active=planned.deactivated_at is None,
        )
        keys = plan_keys(random, planned, staff, self._office, wish)
        for number, planned_key in enumerate(keys, key_id):
            planned_key.key.id = number
        if planned.calls:
            rhythm = self._steady if random.random() < AROUND_THE_CLOCK else self._office
            called = moments(random, planned, keys, rhythm)
            self._import.requests(self._calls.of(random, planned, account, called))
        self._accounts.append(account)
        self._keys += [(account, planned_key.key) for planned_key in keys]
        self._managers += [
            (account_id, person.account_id, number == 0, since, added_by.label)
            for number, (person, since, added_by) in enumerate(staff.managers)
        ]
        self._audit.add(events(random, account, planned, staff, keys))
        return account, len(keys)

    def _write(self) -> None:
        self._import.accounts(self._accounts)
        self._import.keys(self._keys)
        bulk.load('manager', MANAGER, self._managers)
        self._accounts.clear()
        self._keys.clear()
        self._managers.clear()
