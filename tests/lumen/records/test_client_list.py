from typing import Any

import pytest

import models
from lumen.database import Database, now
from lumen.errors import Forbidden, Invalid
from lumen.identity.permissions import COMMAND_LINE, Actor
from lumen.records import client_list
from lumen.records.client_list import ClientPage, Totals
from tests.lumen import factories

CONFIGURED = factories.settings()


def page(database: Database, actor: Actor = COMMAND_LINE, **wanted: Any) -> ClientPage:
    return database.read_now(client_list.rows, actor, settings=CONFIGURED, **wanted)


def names(found: ClientPage) -> list[str]:
    return [row.name for row in found.rows]


def test_admins_see_all_and_managers_only_theirs(database: Database):
    database.write_now(factories.client, 'one', CONFIGURED, 'max@example.org')
    database.write_now(factories.client, 'two', CONFIGURED, 'amy@example.org')
    manager = database.write_now(factories.user, 'max@example.org', CONFIGURED)
    admin = database.write_now(factories.user, factories.ADMIN, CONFIGURED)
    assert names(page(database, admin)) == ['one', 'two']
    theirs = page(database, manager)
    assert (names(theirs), theirs.total, theirs.totals.clients) == (['one'], 1, 1)
    assert theirs.rows[0].managers == 1


def test_who_manages_none_is_refused(database: Database):
    user = database.write_now(factories.user, 'user@example.org', CONFIGURED)
    with pytest.raises(Forbidden):
        page(database, user)


def test_pages_of_a_hundred(database: Database):
    def many() -> None:
        moment = now()
        models.Account.insert_many(
            [
                {
                    'kind': 'client',
                    'handle': f'bot-{number:04}',
                    'name': f'bot-{number:04}',
                    'created_at': moment + number,
                    'created_by': 'test',
                    'touched_at': moment,
                    'requests': number % 7,
                    'input_tokens': number,
                    'output_tokens': 2 * number,
                    'spent': number,
                    'granted': number,
                }
                for number in range(250)
            ]
        ).execute()

    database.write_now(many)
    first, last = page(database), page(database, page=2)
    assert (len(first.rows), len(last.rows), first.total) == (100, 50, 250)
    assert names(first)[0] == 'bot-0000'
    assert names(last)[-1] == 'bot-0249'
    assert first.totals == Totals(250, sum(number % 7 for number in range(250)), 3 * 31125, 31125)
    assert page(database, page=9) == last
    assert last.page == 2
    for sort in client_list.SORTS:
        everything = [row.id for number in range(3) for row in page(database, sort=sort, page=number).rows]
        backwards = [
            row.id for number in range(3) for row in page(database, sort=sort, descending=True, page=number).rows
        ]
        assert len(set(everything)) == 250, sort
        assert everything == backwards[::-1], sort
    spent = [row.spent for row in page(database, sort='spent', descending=True).rows]
    assert spent == sorted(spent, reverse=True)
    assert page(database, sort='requests', descending=True).rows[0].requests == 6


def test_search_finds_part_of_a_name_and_wildcards_are_letters(database: Database):
    for name in ('Research-Bot', 'data_pipeline', 'datapipeline'):
        database.write_now(factories.client, name, CONFIGURED)
    assert names(page(database, search='SEARCH')) == ['Research-Bot']
    assert names(page(database, search='a_p')) == ['data_pipeline']
    assert names(page(database, search=' pipe ')) == ['data_pipeline', 'datapipeline']
    for text in ('%', '\\', "'", '"', '[', '*', '?'):
        assert names(page(database, search=text)) == [], text
    assert len(page(database, search='\x00').rows) == 3
    assert page(database, search='nothing').totals.clients == 3


def test_the_filter_shows_active_deactivated_or_all(database: Database):
    database.write_now(factories.client, 'on', CONFIGURED)
    off = database.write_now(factories.client, 'off', CONFIGURED)
    database.write_now(lambda: models.Account.update(active=False).where(models.Account.id == off).execute())
    assert names(page(database, active=True)) == ['on']
    assert names(page(database, active=False)) == ['off']
    assert names(page(database)) == ['off', 'on']


def test_what_no_database_takes_is_not_looked_for(database: Database):
    database.write_now(factories.client, 'bot', CONFIGURED)
    for search in ('\x00', 'b\x00o', '\ud83dbot', ' BOT\x00 '):
        assert names(page(database, search=search)) == ['bot']


def test_an_unknown_order_is_refused(database: Database):
    with pytest.raises(Invalid):
        page(database, sort='name; drop table account')


def test_the_number_of_queries_does_not_grow_with_the_rows(database: Database, monkeypatch: pytest.MonkeyPatch):
    admin = database.write_now(factories.user, factories.ADMIN, CONFIGURED)
    counted = []
    original = database.engine.execute_sql

    def count(sql: str, params: Any = None) -> Any:
        counted.append(sql)
        return original(sql, params)

    for number in range(3):
        database.write_now(factories.client, f'bot-{number}', CONFIGURED, 'max@example.org')
        monkeypatch.setattr(database.engine, 'execute_sql', count)
        counted.clear()
        page(database, admin)
        monkeypatch.undo()
        selects = [sql for sql in counted if sql.lower().startswith('select') and 'clock_timestamp' not in sql]
        assert len(selects) == 4
