import pytest

from lumen.database import Database
from lumen.errors import Conflict, Forbidden, Invalid, NotFound
from lumen.identity.permissions import COMMAND_LINE
from lumen.records import managers
from tests.lumen import factories

CONFIGURED = factories.settings()


def names(database: Database, client_id: int) -> list[tuple[str, bool]]:
    rows = database.read_now(managers.managers_of, COMMAND_LINE, client_id, settings=CONFIGURED)
    return [(row.email, row.is_owner) for row in rows]


def test_the_first_manager_becomes_the_owner_and_others_do_not(database: Database):
    client_id = database.write_now(factories.client, 'bot', CONFIGURED, 'zoe@example.org', 'amy@example.org')
    assert names(database, client_id) == [('zoe@example.org', True), ('amy@example.org', False)]


def test_a_new_address_becomes_a_user_and_a_known_one_is_found_regardless_of_case(database: Database):
    client_id = database.write_now(factories.client, 'bot', CONFIGURED)
    known = database.write_now(factories.user, 'amy@example.org', CONFIGURED)
    row = database.write_now(managers.add_manager, COMMAND_LINE, client_id, ' AMY@example.org ', settings=CONFIGURED)
    assert (row.user_id, row.name, row.email) == (known.account_id, 'Amy', 'amy@example.org')
    new = database.write_now(managers.add_manager, COMMAND_LINE, client_id, 'new@example.org', settings=CONFIGURED)
    assert (new.name, new.is_owner) == ('new', False)
    actions = [(action, subject) for _, action, subject in database.read_now(factories.audited)]
    assert actions[-3:] == [
        ('manager.added', 'amy@example.org'),
        ('user.created', 'new@example.org'),
        ('manager.added', 'new@example.org'),
    ]


def test_adding_twice_is_refused_by_name(database: Database):
    client_id = database.write_now(factories.client, 'bot', CONFIGURED, 'amy@example.org')
    with pytest.raises(Conflict, match='amy manages this client already'):
        database.write_now(managers.add_manager, COMMAND_LINE, client_id, 'AMY@example.org', settings=CONFIGURED)
    with pytest.raises(Invalid):
        database.write_now(managers.add_manager, COMMAND_LINE, client_id, 'nonsense', settings=CONFIGURED)


def test_a_removed_manager_sees_the_client_no_more(database: Database):
    client_id = database.write_now(factories.client, 'bot', CONFIGURED, 'owner@example.org', 'amy@example.org')
    amy = database.write_now(factories.user, 'amy@example.org', CONFIGURED)
    assert amy.account_id is not None
    database.write_now(managers.remove_manager, COMMAND_LINE, client_id, amy.account_id, settings=CONFIGURED)
    assert names(database, client_id) == [('owner@example.org', True)]
    with pytest.raises(NotFound):
        database.read_now(managers.managers_of, amy, client_id, settings=CONFIGURED)
    with pytest.raises(NotFound):
        database.write_now(managers.remove_manager, COMMAND_LINE, client_id, amy.account_id, settings=CONFIGURED)


def test_a_client_may_have_no_owner_and_no_manager(database: Database):
    client_id = database.write_now(factories.client, 'bot', CONFIGURED, 'owner@example.org', 'amy@example.org')
    owner = database.write_now(factories.user, 'owner@example.org', CONFIGURED)
    assert owner.account_id is not None
    database.write_now(managers.remove_manager, owner, client_id, owner.account_id, settings=CONFIGURED)
    assert names(database, client_id) == [('amy@example.org', False)]


def test_managers_look_but_do_not_change(database: Database):
    client_id = database.write_now(factories.client, 'bot', CONFIGURED, 'owner@example.org', 'amy@example.org')
    amy = database.write_now(factories.user, 'amy@example.org', CONFIGURED)
    assert amy.account_id is not None
    assert len(database.read_now(managers.managers_of, amy, client_id, settings=CONFIGURED)) == 2
    with pytest.raises(Forbidden):
        database.write_now(managers.add_manager, amy, client_id, 'new@example.org', settings=CONFIGURED)
    with pytest.raises(Forbidden):
        database.write_now(managers.remove_manager, amy, client_id, amy.account_id, settings=CONFIGURED)
    with pytest.raises(Forbidden):
        database.read_now(managers.candidates, amy, client_id, '', settings=CONFIGURED)


def test_candidates_are_those_who_do_not_manage_yet(database: Database):
    client_id = database.write_now(factories.client, 'bot', CONFIGURED, 'owner@example.org')
    database.write_now(factories.user, 'amy@example.org', CONFIGURED)
    found = database.read_now(managers.candidates, COMMAND_LINE, client_id, 'example', settings=CONFIGURED)
    assert [row.email for row in found] == ['amy@example.org']


def account_of(database: Database, email: str) -> int:
    account_id = database.write_now(factories.user, email, CONFIGURED).account_id
    assert account_id is not None
    return account_id


def test_ownership_is_handed_over_and_who_had_it_stays_a_manager(database: Database):
    client_id = database.write_now(factories.client, 'bot', CONFIGURED, 'owner@example.org', 'amy@example.org')
    owner = database.write_now(factories.user, 'owner@example.org', CONFIGURED)
    amy = account_of(database, 'amy@example.org')
    for _ in range(2):  # the second time changes nothing
        database.write_now(managers.hand_over, COMMAND_LINE, client_id, amy, settings=CONFIGURED)
    assert names(database, client_id) == [('amy@example.org', True), ('owner@example.org', False)]
    events = database.read_now(factories.audited)
    assert [action for _, action, _ in events].count('owner.changed') == 1
    with pytest.raises(Forbidden):
        database.write_now(managers.hand_over, owner, client_id, amy, settings=CONFIGURED)


def test_ownership_goes_to_a_manager_only(database: Database):
    client_id = database.write_now(factories.client, 'bot', CONFIGURED, 'owner@example.org')
    stranger = account_of(database, 'amy@example.org')
    for user_id in (stranger, 999_999):
        with pytest.raises(NotFound):
            database.write_now(managers.hand_over, COMMAND_LINE, client_id, user_id, settings=CONFIGURED)
    assert names(database, client_id) == [('owner@example.org', True)]


def test_the_first_manager_is_not_the_owner_when_it_is_said_so(database: Database):
    client_id = database.write_now(factories.client, 'bot', CONFIGURED)

    def add(email: str, as_owner: bool | None) -> None:
        database.write_now(managers.add_manager, COMMAND_LINE, client_id, email, settings=CONFIGURED, as_owner=as_owner)

    add('max@example.org', False)
    add('amy@example.org', None)
    assert [owner for _, owner in names(database, client_id)] == [False, False]
    add('zoe@example.org', True)
    add('eve@example.org', True)
    assert names(database, client_id)[0] == ('eve@example.org', True)
    assert [owner for _, owner in names(database, client_id)].count(True) == 1


def test_who_is_added_becomes_what_was_seen_or_nobody_is_added(database: Database):
    client_id = database.write_now(factories.client, 'bot', CONFIGURED)

    def add(email: str, seen: managers.Ownership, *, as_owner: bool | None = None) -> None:
        database.write_now(
            managers.add_manager, COMMAND_LINE, client_id, email, settings=CONFIGURED, as_owner=as_owner, seen=seen
        )

    add('amy@example.org', 'unmanaged', as_owner=False)
    with pytest.raises(Conflict, match='without owning it'):
        add('eve@example.org', 'unmanaged')
    add('max@example.org', 'without owner', as_owner=True)
    with pytest.raises(Conflict, match='max owns this client by now'):
        add('eve@example.org', 'without owner', as_owner=True)
    with pytest.raises(Conflict):
        add('eve@example.org', 'unmanaged')
    assert names(database, client_id) == [('max@example.org', True), ('amy@example.org', False)]
    for email in ('max@example.org', 'amy@example.org'):
        user_id = account_of(database, email)
        database.write_now(managers.remove_manager, COMMAND_LINE, client_id, user_id, settings=CONFIGURED)
    with pytest.raises(Conflict, match='Nobody manages this client any more'):
        add('eve@example.org', 'without owner', as_owner=False)


def test_a_manager_leaves_by_themselves_and_others_cannot_make_them(database: Database):
    client_id = database.write_now(factories.client, 'bot', CONFIGURED, 'owner@example.org', 'amy@example.org')
    amy = database.write_now(factories.user, 'amy@example.org', CONFIGURED)
    owner_id = account_of(database, 'owner@example.org')
    with pytest.raises(Forbidden):
        database.write_now(managers.remove_manager, amy, client_id, owner_id, settings=CONFIGURED)
    database.write_now(managers.leave, amy, client_id, settings=CONFIGURED)
    assert names(database, client_id) == [('owner@example.org', True)]
    assert database.read_now(factories.audited)[-1] == ('amy@example.org', 'manager.left', 'amy@example.org')
    with pytest.raises(NotFound):
        database.write_now(managers.leave, amy, client_id, settings=CONFIGURED)
    admin = database.write_now(factories.user, factories.ADMIN, CONFIGURED)
    with pytest.raises(NotFound, match='does not manage'):
        database.write_now(managers.leave, admin, client_id, settings=CONFIGURED)
