"""What the audit says of a client of a demo: the events that the pages would have recorded when it happened."""

from __future__ import annotations

import getpass
from collections.abc import Sequence
from dataclasses import replace
from random import Random

from lumen.bulk import Row
from lumen.demo.keys import PlannedKey
from lumen.demo.people import COMMAND_LINE, Staff
from lumen.demo.plan import Planned
from lumen.demo.wish import Wish
from lumen.ledger.past import PastAccount
from lumen.records import audit


def events(
    random: Random, account: PastAccount, planned: Planned, staff: Staff, keys: Sequence[PlannedKey]
) -> list[Row]:
    """The rows of one client's history, as the actions of `lumen/records` and `lumen/identity` would have left them."""
    of_client = account.id
    found = [
        audit.row(
            staff.maker,
            'client.created',
            account.created_at,
            account_id=of_client,
            subject=account.name,
            after={'name': account.name, 'active': True},
        )
    ]
    for number, (person, since, added_by) in enumerate(staff.managers):
        found.append(
            audit.row(
                added_by,
                'manager.added',
                since,
                account_id=of_client,
                subject=person.email,
                after={'email': person.email, 'owner': number == 0},
            )
        )
    for planned_key in keys:
        found += _of_key(random, account, staff, planned_key)
    if planned.deactivated_at is not None:
        found.append(
            audit.row(
                random.choice((staff.owner_at(planned.deactivated_at), staff.maker)),
                'client.deactivated',
                planned.deactivated_at,
                account_id=of_client,
                subject=account.name,
                before={'active': True},
                after={'active': False},
            )
        )
    return found


def own_event(wish: Wish) -> Row:
    """That all of this is made up, so that the audit says so too."""
    after = {'clients': wish.clients, 'days': wish.days, 'requests': wish.requests, 'seed': wish.seed}
    who = replace(COMMAND_LINE, name=f'command line ({getpass.getuser()})')
    return audit.row(who, 'demo.made', wish.end, account_id=None, subject='demo', after=after)


def _of_key(random: Random, account: PastAccount, staff: Staff, planned_key: PlannedKey) -> list[Row]:
    key = planned_key.key
    after = {'name': key.name, 'hint': key.hint, 'expires_at': key.expires_at}
    found = [
        audit.row(
            planned_key.maker, 'key.created', key.created_at, account_id=account.id, subject=key.hint, after=after
        )
    ]
    if key.revoked_at is not None:
        found.append(
            audit.row(
                staff.any_at(random, key.revoked_at),
                'key.revoked',
                key.revoked_at,
                account_id=account.id,
                subject=key.hint,
                before={'name': key.name, 'state': 'active'},
                after={'name': key.name, 'state': 'revoked'},
            )
        )
    return found
