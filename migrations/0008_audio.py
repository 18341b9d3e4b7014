"""What audio costs and how long it was. A frozen copy of the columns as they were."""

from typing import Any

from peewee import Database, SqliteDatabase

COLUMNS = (('hold', 'audio_price'), ('hold', 'expected_audio_us'), ('request', 'audio_us'))


def up(migrator: Any, db: Database) -> None:
    kind = 'INTEGER' if isinstance(db, SqliteDatabase) else 'BIGINT'
    for table, column in COLUMNS:  # the default is the database's, so that no row is written anew
        db.execute_sql(f'alter table "{table}" add column "{column}" {kind} not null DEFAULT 0')


def down(migrator: Any, db: Database) -> None:
    for table, column in COLUMNS:
        db.execute_sql(f'alter table "{table}" drop column "{column}"')
