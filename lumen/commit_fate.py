"""Whether a transaction was carried out whose COMMIT got no answer: PostgreSQL knows its fate by its number.

After https://www.postgresql.org/docs/current/functions-info.html, "Transaction ID and Snapshot Information"
(PostgreSQL 13 and newer). An SQLite file always answers: there is nothing to ask. Distributed engines that speak the
language of PostgreSQL do not number their transactions so: of them it is never known.
"""

from __future__ import annotations

from lumen.engine import Engine, SqliteEngine

VERSION = 'select version()'
UNTOLD = ''
NUMBER = 'select pg_current_xact_id_if_assigned()::text'
STATUS = 'select pg_xact_status(%s::xid8)'
END_SESSION = 'select pg_terminate_backend(pid) from pg_stat_activity where backend_xid = %s::xid8::xid'


def number(engine: Engine) -> str | None:
    """Within a transaction, as its last statement: its number, None when it changed nothing or is SQLite's, and
    `UNTOLD` where transactions have none.
    """
    if isinstance(engine, SqliteEngine):
        return None
    if engine.tells_fates is None:
        version: str = engine.execute_sql(VERSION).fetchone()[0]
        engine.tells_fates = version.startswith('PostgreSQL ') and '-YB-' not in version
    if not engine.tells_fates:
        return UNTOLD
    found: str | None = engine.execute_sql(NUMBER).fetchone()[0]
    return found


def was_carried_out(engine: Engine, number: str) -> bool | None:
    """Within another transaction: what became of transaction `number`. None while that is open, or untold.

    A session that lost its client in the middle of a transaction can stay for hours: it is ended, so that it decides.
    """
    if number == UNTOLD:
        return None
    (status,) = engine.execute_sql(STATUS, (number,)).fetchone()
    if status == 'in progress':
        engine.execute_sql(END_SESSION, (number,))
    return {'committed': True, 'aborted': False}.get(status)
