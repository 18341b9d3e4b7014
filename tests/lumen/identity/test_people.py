import pytest

import models
from lumen.database import Database
from lumen.errors import Forbidden, Invalid
from lumen.identity import people
from tests.lumen import factories

CONFIGURED = factories.settings(
    defaults={'tokens': {'max': '5', 'starting': '3', 'refresh': '1'}},
)


def test_a_dev_user_is_created_at_the_first_sign_in_and_found_at_the_next(database: Database):
    first = database.write_now(people.sign_in_dev, 'Max@Example.org', CONFIGURED)
    assert database.write_now(people.sign_in_dev, 'max@example.org', CONFIGURED) == first
    user = database.read_now(lambda: models.Account.get_by_id(first))
    assert (user.kind, user.name, user.email, user.balance) == ('user', 'Max', 'max@example.org', 3 * 10**9)


def test_nobody_else_signs_in_as_a_dev_user(database: Database):
    with pytest.raises(Forbidden):
        database.write_now(people.sign_in_dev, 'eve@example.org', CONFIGURED)


def test_a_guessed_name_gives_way_to_the_one_who_signs_in(database: Database):
    user_id = database.write_now(people.ensure_user, 'max@example.org', 'max', CONFIGURED, 'test')
    database.write_now(people.sign_in_dev, 'max@example.org', CONFIGURED)
    assert database.read_now(lambda: models.Account.get_by_id(user_id).name) == 'Max'


def test_signing_in_is_audited_where_it_changes_something(database: Database):
    def events() -> list[tuple[object, ...]]:
        row = models.AuditEvent
        query = row.select(row.actor, row.actor_account, row.via, row.action, row.account, row.before, row.after)
        return list(query.where(row.subject == 'max@example.org').order_by(row.id).tuples())

    user_id = database.write_now(people.sign_in_dev, 'MAX@example.org', CONFIGURED)
    by_max = ('max@example.org', user_id, 'page')
    created = (*by_max, 'user.created', user_id, '{}', '{"email": "max@example.org"}')
    assert database.read_now(events) == [created]
    database.write_now(people.sign_in_dev, 'max@example.org', CONFIGURED)
    assert database.read_now(events) == [created]
    other_name = factories.settings(login={'dev_users': [{'email': 'max@example.org', 'name': 'Max Power'}]})
    database.write_now(people.sign_in_dev, 'max@example.org', other_name)
    renamed = (*by_max, 'user.renamed', user_id, '{"name": "Max"}', '{"name": "Max Power"}')
    assert database.read_now(events) == [created, renamed]


def test_a_deactivated_user_does_not_sign_in(database: Database):
    database.write_now(people.sign_in_dev, 'max@example.org', CONFIGURED)
    database.write_now(lambda: models.Account.update(active=False).execute())
    with pytest.raises(Forbidden, match='deactivated'):
        database.write_now(people.sign_in_dev, 'max@example.org', CONFIGURED)


@pytest.mark.parametrize('email', ['', 'x', '@x', 'x@', 'a b@c', 'a@b@c', '<a@b>', 'x\n@y', 'a' * 250 + '@b.org'])
def test_what_is_no_address_is_refused(email: str):
    with pytest.raises(Invalid) as refused:
        people.check_email(email)
    assert refused.value.param == 'email'


@pytest.mark.parametrize('hidden', ['\x00', '\u202e', '\u2066', '\u200b', '\u200d', '\ud83d', '\x1b', '\u2028'])
def test_an_address_that_hides_something_is_refused(hidden: str):
    with pytest.raises(Invalid):
        people.check_email(f'ada{hidden}x@example.org')


def test_users_are_found_by_name_and_by_address_in_any_case_and_wildcards_are_letters(database: Database):
    zoe, emile, under_score, underscore = 'Zoë Quill', '100% Émile \\ Söhne', 'Under_score', 'Underscore'
    users = {'ann@example.org': zoe, 'bob_b@example.org': emile, 'bobxb@example.org': under_score, 'x@y.z': underscore}
    for email, name in users.items():
        database.write_now(people.ensure_user, email, name, CONFIGURED, 'test')
    expected = {
        'ANN@': {zoe},
        'quill': {zoe},
        'ZOË Q': {zoe},
        'émile': {emile},
        'b_b@': {emile},
        '%': {emile},
        '\\': {emile},
        '\\ s': {emile},
        'R_S': {under_score},
        'r%s': set(),
        'q\\uill': set(),
        ' under ': {under_score, underscore},
        'nobody': set(),
        '\ud83dann\x00': {zoe},
        '\x00': {*users.values()},
    }
    found = {text: {row.name for row in database.read_now(people.search, text)} for text in expected}
    assert found == expected
