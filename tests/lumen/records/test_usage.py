import pytest

from lumen.database import Database
from lumen.errors import NotFound
from lumen.identity import keys
from lumen.identity.permissions import COMMAND_LINE
from lumen.ledger.operations import place, settle
from lumen.records import usage
from lumen.records.usage import ModelUsage
from tests.conftest import Clock
from tests.lumen import factories
from tests.lumen.ledger.accounts import ask, outcome

CONFIGURED = factories.settings()


def test_use_is_summed_by_model_over_hours_and_outcomes(database: Database, clock: Clock):
    client_id = database.write_now(factories.client, 'bot', CONFIGURED)
    key = database.write_now(
        keys.create_key, COMMAND_LINE, client_id, 'key', None, settings=CONFIGURED, secret=factories.SECRET
    )
    for model, how in (('echo', 'success'), ('echo', 'disconnected'), ('other', 'success')):
        clock.advance(hours=1)
        held = database.write_now(
            lambda model=model: place(ask(client_id, key.id, model=model), settings=CONFIGURED, process_id='here')
        )
        database.write_now(settle, held.request_id, outcome(10, 20, outcome=how), settings=CONFIGURED)
    cost = 100_000_000
    assert database.read_now(usage.model_usage, COMMAND_LINE, client_id, settings=CONFIGURED) == {
        'echo': ModelUsage(2, 20, 40, 2 * cost, clock() - 3_600_000_000),
        'other': ModelUsage(1, 10, 20, cost, clock()),
    }


def test_use_of_others_is_not_revealed(database: Database):
    client_id = database.write_now(factories.client, 'bot', CONFIGURED)
    user = database.write_now(factories.user, 'user@example.org', CONFIGURED)
    with pytest.raises(NotFound):
        database.read_now(usage.model_usage, user, client_id, settings=CONFIGURED)
