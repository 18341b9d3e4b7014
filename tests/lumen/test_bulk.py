from __future__ import annotations

import models
from lumen import bulk
from lumen.database import Database

COLUMNS = ('at', 'actor', 'actor_account_id', 'via', 'action', 'account_id', 'subject', 'before', 'after')


def event(at: int, subject: str = 'x') -> bulk.Row:
    return (at, 'test', None, 'command', 'tried', None, subject, '{}', '{}')


def found(database: Database) -> list[tuple[int, str]]:
    query = models.AuditEvent.select().order_by(models.AuditEvent.id)
    return database.read_now(lambda: [(row.at, row.subject) for row in query])


def test_rows_are_loaded_in_order_with_whatever_they_say(database: Database):
    odd = ['tab\tand\nline', 'back\\slash', 'Zoë’s "quote"', "it's", '\\N', '']
    rows = [event(number, text) for number, text in enumerate(odd)]
    database.write_now(bulk.load, 'audit_event', COLUMNS, iter(rows))
    assert found(database) == list(enumerate(odd))
    assert database.read_now(lambda: models.AuditEvent.get().account_id) is None


def test_staged_rows_are_inserted_in_the_order_asked_for(database: Database):
    def stage() -> None:
        staged = bulk.Stage('audit_event', COLUMNS, order='at')
        staged.add(event(2 * bulk.STAGE_ROWS - number) for number in range(2 * bulk.STAGE_ROWS))
        staged.add([event(0)])
        staged.pour()

    database.write_now(stage)
    database.write_now(stage)  # nothing of the first is left
    moments = [at for at, _ in found(database)]
    assert moments == 2 * list(range(2 * bulk.STAGE_ROWS + 1))


def test_ids_go_on_after_those_that_were_loaded(database: Database):
    def load() -> int:
        first = bulk.next_id('audit_event')
        bulk.load('audit_event', ('id', *COLUMNS), [(first + number, *event(number)) for number in range(3)])
        bulk.used_up_to('audit_event', first + 2)
        return first

    first = database.write_now(load)
    database.write_now(bulk.load, 'audit_event', COLUMNS, [event(9)])
    assert database.write_now(load) > first + 3
    ids = database.read_now(lambda: [row.id for row in models.AuditEvent.select().order_by(models.AuditEvent.id)])
    assert ids[:4] == [first, first + 1, first + 2, first + 3]


def test_nothing_is_left_of_a_load_that_fails(database: Database):
    def fail() -> None:
        bulk.load('audit_event', COLUMNS, [event(1)])
        raise ValueError

    future = database.submit(fail)
    assert isinstance(future.exception(), ValueError)
    assert found(database) == []
