import pytest

import models
from lumen.database import Database
from lumen.errors import Forbidden, NotAuthenticated, NotFound
from lumen.identity import permissions
from lumen.identity.permissions import COMMAND_LINE, RULES, Action, Actor, Role
from tests.lumen import factories

CONFIGURED = factories.settings()

# The table of the product, told a second time and on its own: action -> who may.
EXPECTED = {
    Action.OPEN_CLIENTS: 'manager owner admin',
    Action.SEE_CLIENT: 'manager owner admin',
    Action.CREATE_CLIENT: 'admin',
    Action.RENAME_CLIENT: 'admin',
    Action.SET_ACTIVE: 'owner admin',
    Action.CHANGE_MANAGERS: 'owner admin',
    Action.MANAGE_KEYS: 'manager owner admin',
    Action.ACKNOWLEDGE: 'manager owner admin',
    Action.LEAVE_CLIENT: 'manager owner admin',
    Action.READ_AUDIT: 'admin',
}


@pytest.fixture
def cast(database: Database) -> dict[str, Actor]:
    def make() -> dict[str, Actor]:
        factories.client('bot', CONFIGURED, 'owner@example.org', 'manager@example.org')
        return {
            name: factories.user(f'{name}@example.org', CONFIGURED) for name in ('admin', 'owner', 'manager', 'user')
        }

    return database.write_now(make)


def client_id(database: Database) -> int:
    return database.read_now(lambda: models.Account.get(models.Account.kind == 'client').id)


@pytest.mark.parametrize('action', list(Action))
@pytest.mark.parametrize('who', list(Role))
def test_the_table_decides(database: Database, cast: dict[str, Actor], action: Action, who: Role):
    allowed = who.value in EXPECTED[action].split()
    assert (who in RULES[action]) == allowed
    general = action in (Action.OPEN_CLIENTS, Action.CREATE_CLIENT, Action.READ_AUDIT)
    client = None if general else client_id(database)

    def ask() -> permissions.Person:
        return permissions.require(cast[who.value], action, CONFIGURED, client)

    if allowed:
        assert database.read_now(ask).email == f'{who.value}@example.org'
    else:
        with pytest.raises(NotFound if who is Role.USER and not general else Forbidden):
            database.read_now(ask)


def test_a_client_of_others_is_not_revealed(database: Database, cast: dict[str, Actor]):
    def messages() -> set[str]:
        found = set()
        for client in (client_id_now, 999_999, cast['admin'].account_id):
            with pytest.raises(NotFound) as hidden:
                permissions.require(cast['user'], Action.SEE_CLIENT, CONFIGURED, client)
            found.add(hidden.value.message)
        return found

    client_id_now = client_id(database)
    assert len(database.read_now(messages)) == 1


def test_a_role_that_is_taken_away_is_gone_at_once(database: Database, cast: dict[str, Actor]):
    client = client_id(database)
    database.read_now(permissions.require, cast['manager'], Action.MANAGE_KEYS, CONFIGURED, client)
    database.write_now(
        lambda: models.Manager.delete().where(models.Manager.user == cast['manager'].account_id).execute()
    )
    with pytest.raises(NotFound):
        database.read_now(permissions.require, cast['manager'], Action.MANAGE_KEYS, CONFIGURED, client)
    with pytest.raises(Forbidden):
        database.read_now(permissions.require, cast['manager'], Action.OPEN_CLIENTS, CONFIGURED)
    with pytest.raises(Forbidden):
        database.read_now(
            permissions.require, cast['admin'], Action.CREATE_CLIENT, factories.settings(admins=['x@example.org'])
        )


def test_a_deactivated_user_has_no_role(database: Database, cast: dict[str, Actor]):
    database.write_now(lambda: models.Account.update(active=False).where(models.Account.kind == 'user').execute())
    for who in ('admin', 'owner', 'manager', 'user'):
        with pytest.raises(NotAuthenticated):
            database.read_now(permissions.load, cast[who], CONFIGURED)


def test_a_manager_of_a_deactivated_client_still_opens_the_page(database: Database, cast: dict[str, Actor]):
    database.write_now(lambda: models.Account.update(active=False).where(models.Account.kind == 'client').execute())
    assert database.read_now(permissions.require, cast['manager'], Action.OPEN_CLIENTS, CONFIGURED).manages == 1


def test_a_client_is_nobody_who_could_act(database: Database, cast: dict[str, Actor]):
    with pytest.raises(NotAuthenticated):
        database.read_now(permissions.load, Actor(client_id(database)), CONFIGURED)


def test_the_command_line_acts_as_an_admin_and_says_so(database: Database, cast: dict[str, Actor]):
    person = database.read_now(
        permissions.require, COMMAND_LINE, Action.CHANGE_MANAGERS, CONFIGURED, client_id(database)
    )
    assert person.label.startswith('command line (')
