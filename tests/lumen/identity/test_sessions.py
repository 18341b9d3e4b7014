import models
from lumen.database import Database
from lumen.identity import sessions
from tests.conftest import Clock
from tests.lumen import factories

CONFIGURED = factories.settings()


def sign_in(database: Database) -> tuple[int, str]:
    def start() -> tuple[int, str]:
        user = factories.user('max@example.org', CONFIGURED).account_id
        assert user is not None
        return user, sessions.start(user)

    return database.write_now(start)


def test_a_session_is_found_by_its_cookie_which_is_not_stored(database: Database):
    user, cookie = sign_in(database)
    assert database.read_now(sessions.find, cookie) == user
    assert database.read_now(sessions.find, cookie + 'x') is None
    assert cookie not in database.read_now(lambda: repr(list(models.Session.select().dicts())))


def test_a_session_that_ended_is_over(database: Database):
    user, cookie = sign_in(database)
    _, other = sign_in(database)
    database.write_now(sessions.end, cookie)
    assert database.read_now(sessions.find, cookie) is None
    assert database.read_now(sessions.find, other) == user


def test_a_session_lasts_twelve_hours(database: Database, clock: Clock):
    user, cookie = sign_in(database)
    clock.advance(hours=12, microseconds=-1)
    assert database.read_now(sessions.find, cookie) == user
    clock.advance(microseconds=1)
    assert database.read_now(sessions.find, cookie) is None


def test_expired_sessions_are_removed_when_the_next_one_starts(database: Database, clock: Clock):
    sign_in(database)
    clock.advance(hours=13)
    sign_in(database)
    assert database.read_now(lambda: models.Session.select().count()) == 1


def test_a_deactivated_user_is_nobody(database: Database):
    _, cookie = sign_in(database)
    database.write_now(lambda: models.Account.update(active=False).execute())
    assert database.read_now(sessions.find, cookie) is None


def test_odd_cookies_are_nobody(database: Database):
    for cookie in ('', '\x00', '\udcff', 'ä' * 5000):
        assert database.read_now(sessions.find, cookie) is None
