"""What is wrong with a database that cannot be used, in one line, and what to do about it."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from urllib.parse import urlsplit

import peewee

from lumen.database_address import is_sqlite, sqlite_path
from lumen.errors import DatabaseUnavailable

LEAST_FREE_BYTES = 100_000
READ_ONLY = ('readonly', 'read-only')
FULL = ('disk is full', 'no space left', 'could not extend', 'disk quota')
NO_DATABASE = ('not a database', 'malformed', 'file is encrypted')
BUSY = ('database is locked', 'too many connections', 'too many clients', 'could not serialize', 'deadlock detected')
OUR_MISTAKES = ('no such column', 'no such function', 'syntax error')
"""SQLite calls these failures of the database."""

TAKEN_BACK = ('cannot rollback', 'no such savepoint')
VAGUE = ('disk i/o error', 'unable to open')
"""What SQLite says of a disk that is full as well as of one that can only be read."""

NO_FILES = 'check that the folder exists and holds files, or correct the path of the database'

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
    said = _said(error, url)
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


def lasts(error: BaseException, url: str) -> bool:
    """Whether it is no use to try again: what is full, read-only or no database stays so for longer than one waits."""
    said = _said(error, url).lower()
    return any(sign in said for sign in (*READ_ONLY, *FULL, *NO_DATABASE))


def cannot_write(error: OSError) -> DatabaseUnavailable:
    """The refusal for a folder of the database in which no file can be made."""
    said = (error.strerror or str(error)).lower()
    if error.errno == errno.ENOENT:  # it is gone, or no folder of a disk: /proc
        folder = Path(os.fsdecode(error.filename)).parent
        return DatabaseUnavailable(f'the database cannot be opened: no file can be made in {folder}: {said}', NO_FILES)
    _, state, remedy = REMEDIES[1] if error.errno == errno.ENOSPC else REMEDIES[0]
    return DatabaseUnavailable(f'the database {state}: {said}', remedy)


def _state_of_disk(folder: Path) -> str:
    try:
        state = os.statvfs(folder)
    except OSError:
        return ''
    if state.f_flag & os.ST_RDONLY or not os.access(folder, os.W_OK):
        return 'the folder is read-only'
    # What is no disk, /proc for instance, has no blocks at all.
    is_full = state.f_blocks and state.f_bavail * state.f_frsize < LEAST_FREE_BYTES
    return 'disk is full' if is_full else ''


def _said(error: BaseException, url: str) -> str:
    said = _first_line(error, url)
    if is_sqlite(url) and any(sign in said.lower() for sign in VAGUE):
        return f'{said} ({found})' if (found := _state_of_disk(sqlite_path(url).parent)) else said
    return said


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
