"""The address of a database: what can be wrong with it, and the file that an SQLite one names."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

import psycopg
from psycopg.conninfo import conninfo_to_dict

SQLITE = ('sqlite',)
POSTGRESQL = ('postgresql', 'postgres')
MALFORMED = 'is malformed; special characters in its user or password must be percent-encoded (%2F for /)'


def check(url: str) -> None:
    """Raises ValueError with what is wrong, which quotes nothing: there may be a password in it."""
    scheme = url.partition(':')[0]
    if scheme in SQLITE:
        sqlite_path(url)
    elif scheme in POSTGRESQL:
        try:
            conninfo_to_dict(url)
            _ = urlsplit(url).port  # a password with an unescaped slash makes nonsense of it
        except (psycopg.ProgrammingError, ValueError):
            raise ValueError(MALFORMED) from None
    else:
        raise ValueError('must start with sqlite:/// or postgresql://')


def is_sqlite(url: str) -> bool:
    return url.partition(':')[0] in SQLITE


def sqlite_path(url: str) -> Path:
    """The file that `sqlite:///relative.db` or `sqlite:////absolute.db` names. Raises ValueError as `check` does."""
    try:
        parts = urlsplit(url)
    except ValueError:
        raise ValueError(MALFORMED) from None
    name = unquote(parts.path)[1:]
    if name == ':memory:' or '\x00' in name or not (name or parts.netloc) or parts.netloc == ':memory:':
        raise ValueError('an SQLite database needs a file, for example sqlite:///data/lumen.db')
    if parts.netloc:
        raise ValueError(
            'needs three slashes before a relative path, sqlite:///data/lumen.db, or four before an absolute one'
        )
    return Path(name)
