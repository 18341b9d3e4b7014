from __future__ import annotations

import re
from random import Random

import models
from lumen.database import Database
from lumen.demo import names
from lumen.identity import people
from lumen.records import clients
from tests.lumen.demo.conftest import make


def test_names_of_clients_follow_the_rules_and_are_unique():
    random, taken = Random(1), {'default'}
    found = [names.client_name(random, taken) for _ in range(20_000)]
    assert [clients.check_name(name) for name in found] == found
    assert len({name.casefold() for name in found}) == len(found) == len(taken) - 1


def test_addresses_are_unique_and_nobody_s():
    random, taken = Random(1), set()
    found = [names.person(random, taken) for _ in range(20_000)]
    for _, email in found:
        assert people.check_email(email) == email
        assert re.fullmatch(r'[a-z]+\.[a-z]+\d*@example\.(org|edu)', email), email
    assert len(taken) == len(found)


def test_what_is_in_the_database_follows_the_rules_too(database: Database):
    make(database)
    for account in database.read_now(lambda: list(models.Account.select())):
        if account.kind == 'client':
            assert clients.check_name(account.name) == account.name
            assert account.handle == account.name.casefold()
        else:
            assert account.email.endswith(('@example.org', '@example.edu'))
