"""Holds are few, those of calls in flight, and each costs every index twice: when it is placed and when it is settled.

Nothing looks holds up by account or key, and what looks for those of dead processes reads them all in their order.
"""

from typing import Any

from peewee import Database

COLUMNS = ('account_id', 'key_id', 'process_id')


def up(migrator: Any, db: Database) -> None:
    for column in COLUMNS:
        db.execute_sql(f'drop index hold_{column}')


def down(migrator: Any, db: Database) -> None:
    for column in COLUMNS:
        db.execute_sql(f'create index hold_{column} on hold ({column})')
