"""The audit can be added to and read, never changed or emptied, whoever asks."""

from typing import Any

from peewee import Database, SqliteDatabase

REASON = 'the audit is append-only'

SQLITE = [
    f"""
    create trigger audit_event_no_{verb} before {verb} on audit_event
    begin select raise(abort, '{REASON}'); end
    """
    for verb in ('update', 'delete')
]
POSTGRESQL = [
    f"""
    create function audit_event_refuse() returns trigger language plpgsql as
    $$ begin raise exception '{REASON}'; end $$
    """,
    """
    create trigger audit_event_append_only before update or delete on audit_event
    for each row execute function audit_event_refuse()
    """,
    """
    create trigger audit_event_no_truncate before truncate on audit_event
    for each statement execute function audit_event_refuse()
    """,
]
SQLITE_DOWN = ['drop trigger audit_event_no_update', 'drop trigger audit_event_no_delete']
POSTGRESQL_DOWN = [
    'drop trigger audit_event_append_only on audit_event',
    'drop trigger audit_event_no_truncate on audit_event',
    'drop function audit_event_refuse()',
]


def up(migrator: Any, db: Database) -> None:
    for statement in SQLITE if isinstance(db, SqliteDatabase) else POSTGRESQL:
        db.execute_sql(statement)


def down(migrator: Any, db: Database) -> None:
    for statement in SQLITE_DOWN if isinstance(db, SqliteDatabase) else POSTGRESQL_DOWN:
        db.execute_sql(statement)
