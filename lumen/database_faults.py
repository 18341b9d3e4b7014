"""What is wrong with a database that cannot be used, in one line, and what to do about it."""

from __future__ import annotations

from urllib.parse import urlsplit

import peewee

from lumen.errors import DatabaseUnavailable

READ_ONLY = ('readonly', 'read-only')
FULL = ('disk is full', 'no space left', 'could not extend', 'disk quota')
NO_DATABASE = ('not a database', 'malformed', 'file is encrypted')
BUSY = ('database is locked', 'too many connections', 'too many clients')
OUR_MISTAKES = ('no such column', 'no such function', 'syntax error')
"""SQLite calls these failures of the database."""

TAKEN_BACK = ('cannot rollback', 'no such savepoint')
REMEDIES: tuple[tuple[tuple[str, ...], str, str], ...] = (
    (READ_ONLY, 'can only be read', 'let this user write to it, and to the folder that an SQLite file is in'),
    (FULL, 'has no room left', 'free some space on its disk'),
    (NO_DATABASE, 'is no database of Lumen, or is damaged', 'name another one, or restore a backup'),
    (BUSY, 'is busy', 'end what holds it, or try again'),
    (('password', 'authentication', 'no pg_hba'), 'refuses this user', 'check user and password in the address'),
    (('does not exist',), 'does not exist', 'create it, or correct the address'),
    (('unable to open',), 'cannot be opened', 'check that the folder exists and that this user may use it'),
)


def unavailable(error: Exception, url: str) -> DatabaseUnavailable:
    """The refusal that stands for a failure of the database itself. Its text never holds the password in `url`."""
    said = _first_line(error, url)
    for signs, state, remedy in REMEDIES:
        if any(sign in said.lower() for sign in signs):
            return DatabaseUnavailable(f'the database {state}: {said}', remedy)
    return DatabaseUnavailable(f'the database cannot be used: {said}', 'check that it runs, and its address')


def is_of_the_database(error: BaseException) -> bool:
    """Whether the database failed, and not a statement of ours on what it holds."""
    if isinstance(error, peewee.IntegrityError | peewee.DataError | peewee.ProgrammingError | peewee.NotSupportedError):
        return False
    if isinstance(error, peewee.InternalError):
        return any(sign in str(error).lower() for sign in READ_ONLY)
    if isinstance(error, peewee.OperationalError) and any(sign in str(error).lower() for sign in OUR_MISTAKES):
        return False
    return isinstance(error, peewee.DatabaseError | peewee.InterfaceError)


def _first_line(error: BaseException, url: str) -> str:
    # SQLite takes a transaction back by itself when the disk is full; then taking it back is what fails last.
    while error.__context__ is not None and any(sign in str(error).lower() for sign in TAKEN_BACK):
        error = error.__context__
    line = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    try:
        password = urlsplit(url).password
    except ValueError:
        password = None
    return line.replace(password, '…') if password else line
