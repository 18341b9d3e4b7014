"""The audit cannot be replaced either: SQLite calls no delete trigger for the row that `replace into` takes away.

An id that is still to be given is -1 there. PostgreSQL has no such statement; its `on conflict do update` meets the
update trigger.
"""

from typing import Any

from peewee import Database, SqliteDatabase

UP = """
create trigger audit_event_no_replace before insert on audit_event
when new.id <> -1 and exists (select 1 from audit_event where id = new.id)
begin select raise(abort, 'the audit is append-only'); end
"""
DOWN = 'drop trigger audit_event_no_replace'


def up(migrator: Any, db: Database) -> None:
    if isinstance(db, SqliteDatabase):
        db.execute_sql(UP)


def down(migrator: Any, db: Database) -> None:
    if isinstance(db, SqliteDatabase):
        db.execute_sql(DOWN)
