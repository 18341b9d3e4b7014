from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

import models
from lumen.database import Database
from lumen.errors import Conflict, Forbidden, Invalid, NotFound
from lumen.identity import revisions
from lumen.identity.permissions import COMMAND_LINE, Action
from lumen.records import clients
from tests.lumen import factories

CONFIGURED = factories.settings()
COIN = 10**9


@pytest.mark.parametrize('name', ['research-bot', 'a', '7', 'A.b_c-d e', 'x' * 64])
def test_good_names_are_kept_as_typed(name: str):
    assert clients.check_name(name) == name


@pytest.mark.parametrize(
    ('name', 'reason'),
    [
        ('', 'Enter a name'),
        ('   ', 'Enter a name'),
        (' a', 'starts with a letter'),
        ('-a', 'starts with a letter'),
        ('é', 'starts with a letter'),
        ('a ', 'does not end with a space'),
        ('a/b', '"/" is none'),
        ('a\tb', 'cannot be shown'),
        ('naïve', '"ï" is none'),
        ('x' * 65, 'has 65'),
        ('default', 'configuration'),
        ('DeFault', 'configuration'),
        ('a٣', '"٣" is none'),
    ],
)
def test_a_bad_name_says_why(name: str, reason: str):
    with pytest.raises(Invalid, match=reason) as refused:
        clients.check_name(name)
    assert refused.value.param == 'name'


@given(st.text(max_size=70))
def test_any_text_is_either_a_name_or_told_why_not(name: str):
    with suppress(Invalid):
        assert clients.check_name(name).isascii()


def test_a_new_client_starts_as_configured(database: Database):
    admin = database.write_now(factories.user, factories.ADMIN, CONFIGURED)
    client_id = database.write_now(clients.create_client, admin, 'Research-Bot', settings=CONFIGURED)
    client = database.read_now(clients.get, admin, client_id, settings=CONFIGURED)
    assert (client.name, client.handle, client.active, client.created_by) == (
        'Research-Bot',
        'research-bot',
        True,
        factories.ADMIN,
    )
    assert (client.pool.balance, client.pool.maximum, client.pool.refresh) == (10 * COIN, 10 * COIN, COIN)
    assert client.may == frozenset(Action)
    assert (factories.ADMIN, 'client.created', 'Research-Bot') in database.read_now(factories.audited)
    assert database.read_now(clients.find_by_name, 'RESEARCH-bot') == client_id


def test_a_name_is_taken_regardless_of_case(database: Database):
    database.write_now(clients.create_client, COMMAND_LINE, 'bot', settings=CONFIGURED)
    other = database.write_now(clients.create_client, COMMAND_LINE, 'other', settings=CONFIGURED)
    for call in (
        lambda: database.write_now(clients.create_client, COMMAND_LINE, 'BOT', settings=CONFIGURED),
        lambda: database.write_now(clients.rename_client, COMMAND_LINE, other, 'BOT', settings=CONFIGURED),
    ):
        with pytest.raises(Conflict, match='already a client named "bot"') as refused:
            call()
        assert refused.value.param == 'name'


def test_of_many_at_once_one_gets_the_name(database: Database):
    futures = [database.submit(clients.create_client, COMMAND_LINE, 'bot', settings=CONFIGURED) for _ in range(20)]
    errors = [future.exception() for future in futures]
    assert errors.count(None) == 1
    assert all(isinstance(error, Conflict) for error in errors if error is not None)


def test_only_admins_create_and_only_owners_deactivate(database: Database):
    client_id = database.write_now(factories.client, 'bot', CONFIGURED, 'owner@example.org', 'manager@example.org')
    owner = database.write_now(factories.user, 'owner@example.org', CONFIGURED)
    manager = database.write_now(factories.user, 'manager@example.org', CONFIGURED)
    with pytest.raises(Forbidden):
        database.write_now(clients.create_client, owner, 'other', settings=CONFIGURED)
    with pytest.raises(Forbidden):
        database.write_now(clients.set_active, manager, client_id, False, settings=CONFIGURED)
    database.write_now(clients.set_active, owner, client_id, False, settings=CONFIGURED)
    assert not database.read_now(clients.get, manager, client_id, settings=CONFIGURED).active


def test_activating_what_is_active_changes_and_audits_nothing(database: Database):
    client_id = database.write_now(factories.client, 'bot', CONFIGURED)
    before = database.read_now(factories.audited), database.read_now(revisions.numbers)
    database.write_now(clients.set_active, COMMAND_LINE, client_id, True, settings=CONFIGURED)
    assert (database.read_now(factories.audited), database.read_now(revisions.numbers)) == before
    database.write_now(clients.set_active, COMMAND_LINE, client_id, False, settings=CONFIGURED)
    assert database.read_now(factories.audited)[-1][1] == 'client.deactivated'
    assert database.read_now(revisions.numbers)['accounts'] == before[1]['accounts'] + 1


def test_what_is_refused_leaves_no_trace(database: Database):
    user = database.write_now(factories.user, 'user@example.org', CONFIGURED)
    with pytest.raises(Forbidden):
        database.write_now(clients.create_client, user, 'bot', settings=CONFIGURED)
    assert database.read_now(factories.audited) == []
    assert database.read_now(lambda: models.Account.select().where(models.Account.kind == 'client').count()) == 0


def test_a_users_account_is_no_client(database: Database):
    user = database.write_now(factories.user, 'user@example.org', CONFIGURED)
    assert user.account_id is not None
    with pytest.raises(NotFound):
        database.read_now(clients.get, COMMAND_LINE, user.account_id, settings=CONFIGURED)


def test_a_renamed_client_keeps_its_id_and_follows_the_configuration_of_its_new_name(database: Database):
    configured = factories.settings(
        clients={'default': {'max': '10', 'starting': '10'}, 'robot': {'max': '99', 'starting': '99'}}
    )
    client_id = database.write_now(factories.client, 'bot', configured)
    database.write_now(clients.rename_client, COMMAND_LINE, client_id, 'Robot', settings=configured)
    detail = database.read_now(clients.get, COMMAND_LINE, client_id, settings=configured)
    assert (detail.id, detail.name, detail.handle) == (client_id, 'Robot', 'robot')
    assert detail.pool.maximum == 99 * 10**9
    assert detail.pool.balance == 10 * 10**9  # the starting grant is given once
    assert database.read_now(factories.audited)[-1][1:] == ('client.renamed', 'Robot')


def test_a_rename_to_a_name_that_is_taken_or_cannot_be_is_refused(database: Database):
    first = database.write_now(factories.client, 'first', CONFIGURED)
    database.write_now(factories.client, 'second', CONFIGURED)
    for name, problem in (('SECOND', Conflict), ('default', Invalid), ('', Invalid), ('ärger', Invalid)):
        with pytest.raises(problem) as refused:
            database.write_now(clients.rename_client, COMMAND_LINE, first, name, settings=CONFIGURED)
        assert refused.value.param == 'name'
    database.write_now(clients.rename_client, COMMAND_LINE, first, 'FIRST', settings=CONFIGURED)  # its own, in capitals
    assert database.read_now(clients.find_by_name, 'first') == first
    owner = database.write_now(factories.user, 'owner@example.org', CONFIGURED)
    with pytest.raises(NotFound):
        database.write_now(clients.rename_client, owner, first, 'mine', settings=CONFIGURED)
