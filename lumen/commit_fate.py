"""Whether a transaction was carried out whose COMMIT got no answer: PostgreSQL knows its fate by its number.

After https://www.postgresql.org/docs/current/functions-info.html, "Transaction ID and Snapshot Information"
(PostgreSQL 13 and newer). An SQLite file always answers: there is nothing to ask.
"""

from __future__ import annotations

from lumen.engine import Engine, SqliteEngine

NUMBER = 'select pg_current_xact_id_if_assigned()::text'
STATUS = 'select pg_xact_status(%s::xid8)'
END_SESSION = 'select pg_terminate_backend(pid) from pg_stat_activity where backend_xid = %s::xid8::xid'


def number(engine: Engine) -> str | None:
    """Within a transaction, as its last statement: its number, None when it changed nothing or is SQLite's."""
    if isinstance(engine, SqliteEngine):
        return None
    found: str | None = engine.execute_sql(NUMBER).fetchone()[0]
    return found


def was_carried_out(engine: Engine, number: str) -> bool | None:
    """Within another transaction: what became of transaction `number`. None while that is open.

    A session that lost its client in the middle of a transaction can stay for hours: it is ended, so that it decides.
    """
    (status,) = engine.execute_sql(STATUS, (number,)).fetchone()
    if status == 'in progress':
        engine.execute_sql(END_SESSION, (number,))
    return {'committed': True, 'aborted': False}.get(status)
