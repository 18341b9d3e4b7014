"""Bringing a database to the schema of `models.py`, by the numbered steps in `migrations/`."""

from __future__ import annotations

from pathlib import Path

import peewee
from playhouse.migrations import Runner

from lumen.database import Database
from lumen.errors import MigrationsPending, NewerSchema

DIRECTORY = Path(__file__).parent.parent / 'migrations'


def migrate(database: Database) -> list[str]:
    """Apply the steps that are missing, all or none. Returns their names.

    Of several processes at once, one does it: the others stumble over what it made, and look again. No lock is needed
    for that, which not every engine would have. Raises NewerSchema when a step is applied that this program does not
    know.
    """
    while True:
        missing = pending(database)
        try:
            return database.write_now(_migrate, database)
        except peewee.DatabaseError:
            if pending(database) == missing:
                raise


def pending(database: Database) -> list[str]:
    """The names of the steps that are missing. Raises NewerSchema."""
    return database.read_now(_pending, database)


def require_current(database: Database) -> None:
    """Raises MigrationsPending when a step is missing, NewerSchema when one is unknown."""
    missing = pending(database)
    if missing:
        raise MigrationsPending(f'the database lacks {", ".join(missing)}; run `lumen migrate`')


def _migrate(database: Database) -> list[str]:
    missing = _pending(database)
    Runner(database.engine, directory=str(DIRECTORY)).up()
    return missing


def _pending(database: Database) -> list[str]:
    known = sorted(path.stem for path in DIRECTORY.glob('[0-9]*.py'))
    if not database.engine.table_exists('schema_migration'):
        return known
    applied = {row[0] for row in database.engine.execute_sql('select name from schema_migration').fetchall()}
    if unknown := sorted(applied.difference(known)):
        raise NewerSchema(
            f'the database was made by a newer Lumen (it has {", ".join(unknown)}); run that one, or a later one'
        )
    return [name for name in known if name not in applied]
