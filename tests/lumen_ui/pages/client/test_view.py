from typing import Any

import pytest

from lumen.database import Database
from lumen.errors import NotFound
from lumen.identity.keys import create_key
from lumen.identity.permissions import COMMAND_LINE
from lumen.ledger.operations import place, settle
from lumen_ui.pages.client.view import load
from tests.lumen import factories
from tests.lumen.ledger.accounts import ask, outcome

CONFIGURED = factories.settings()


def test_the_number_of_queries_does_not_grow_with_what_is_shown(database: Database, monkeypatch: pytest.MonkeyPatch):
    client_id = database.write_now(factories.client, 'bot', CONFIGURED, 'max@example.org')
    manager = database.write_now(factories.user, 'max@example.org', CONFIGURED)
    counted: list[str] = []
    original = database.engine.execute_sql

    def count(sql: str, params: Any = None) -> Any:
        counted.append(sql)
        return original(sql, params)

    numbers = []
    for number in range(3):
        database.write_now(
            create_key, COMMAND_LINE, client_id, f'key {number}', None, settings=CONFIGURED, secret=b'secret'
        )
        monkeypatch.setattr(database.engine, 'execute_sql', count)
        counted.clear()
        view = database.read_now(load, manager, client_id, settings=CONFIGURED)
        monkeypatch.undo()
        assert len(view.keys) == number + 1
        numbers.append(len([sql for sql in counted if sql.lower().startswith('select') and 'clock_' not in sql]))
    assert numbers[0] == numbers[1] == numbers[2] <= 25


def test_a_model_that_left_the_configuration_stays_listed_when_it_was_used(database: Database):
    client_id = database.write_now(factories.client, 'bot', CONFIGURED)
    key = database.write_now(create_key, COMMAND_LINE, client_id, 'key', None, settings=CONFIGURED, secret=b'secret')
    asked = database.read_now(ask, client_id, key.id, model='retired')
    database.write_now(place, asked, settings=CONFIGURED, process_id='test')
    database.write_now(settle, asked.request_id, outcome(10, 20), settings=CONFIGURED)
    view = database.read_now(load, COMMAND_LINE, client_id, settings=CONFIGURED)
    assert [(row.name, row.access) for row in view.models] == [('retired', 'removed')]
    assert view.models[0].usage is not None
    assert view.models[0].usage.input_tokens == 10


@pytest.mark.parametrize('consent', ['true', 'false'])
def test_where_calls_need_no_consent_nobody_is_asked_for_it(database: Database, consent: str):
    model = {'name': 'm', 'access': 'allowed', 'needs_ack': 'true', 'ack_message': 'Data leaves the house.'}
    model |= {'input_cost_per_million': '0', 'output_cost_per_million': '0', 'endpoints': [{'url': 'builtin:echo'}]}
    configured = factories.settings(models=[model], api={'consent': consent})
    client_id = database.write_now(factories.client, 'bot', configured)
    (row,) = database.read_now(load, COMMAND_LINE, client_id, settings=configured).models
    assert row.access == ('needs acknowledgement' if consent == 'true' else 'allowed')
    assert (row.message is None) is (consent == 'false')


def test_a_client_of_others_is_not_found(database: Database):
    client_id = database.write_now(factories.client, 'bot', CONFIGURED, 'max@example.org')
    stranger = database.write_now(factories.user, 'amy@example.org', CONFIGURED)
    with pytest.raises(NotFound):
        database.read_now(load, stranger, client_id, settings=CONFIGURED)
