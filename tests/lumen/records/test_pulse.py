from lumen.database import Database
from lumen.identity.keys import create_key, revoke_key
from lumen.identity.permissions import COMMAND_LINE
from lumen.ledger.operations import place, settle
from lumen.records import health
from lumen.records.clients import set_active
from lumen.records.managers import add_manager, remove_manager
from lumen.records.pulse import pulse_of_client
from tests.lumen import factories
from tests.lumen.ledger.accounts import ask, outcome

CONFIGURED = factories.settings()


def test_the_pulse_tells_every_change_and_nothing_else(database: Database):
    client_id = database.write_now(factories.client, 'bot', CONFIGURED, 'max@example.org')
    other_id = database.write_now(factories.client, 'other', CONFIGURED, 'max@example.org')
    manager = database.write_now(factories.user, 'max@example.org', CONFIGURED)
    second = database.write_now(factories.user, 'amy@example.org', CONFIGURED)

    def act(call, *arguments, **named):
        return database.write_now(call, COMMAND_LINE, *arguments, settings=CONFIGURED, **named)

    def felt():
        return database.read_now(pulse_of_client, manager, client_id)

    def call():
        database.write_now(place, asked, settings=CONFIGURED, process_id='test')

    def settled():
        database.write_now(settle, asked.request_id, outcome(1, 1), settings=CONFIGURED)

    key = act(create_key, client_id, 'first', None, secret=factories.SECRET)
    asked = database.read_now(ask, client_id, key.id)
    changes = [
        lambda: act(create_key, client_id, 'second', None, secret=factories.SECRET),
        call,
        settled,
        lambda: act(revoke_key, key.id),
        lambda: act(set_active, client_id, False),
        lambda: act(add_manager, client_id, 'amy@example.org'),
        lambda: act(remove_manager, client_id, manager.account_id),
        lambda: act(add_manager, client_id, 'max@example.org'),
        lambda: act(remove_manager, client_id, second.account_id),
        lambda: database.write_now(health.note, 'm', 'http://one.example.org/v1', False, 'timeout 504'),
    ]
    before = felt()
    for change in changes:
        assert felt() == before
        change()
        after = felt()
        assert after != before
        before = after
    act(set_active, other_id, False)
    assert felt() == before
