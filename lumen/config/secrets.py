"""The two secrets of an installation: made when first used if left out, refused when others may know them."""

from __future__ import annotations

import ipaddress
import os
import re
import secrets
from itertools import pairwise
from pathlib import Path

import structlog
from pydantic import SecretStr

from lumen.config.settings import Settings
from lumen.database_address import is_sqlite, sqlite_path
from lumen.errors import ConfigurationError

log = structlog.get_logger()

FOLDER = Path('data')
NAMES = ('secret_key', 'encryption_key')
SHORTEST = 32
PUBLISHED = frozenset(
    {
        'dev-key-not-for-production-use-abcdefgh',
        'abcdefghijklmnopqrstuvwxyzabcdefghij',
        'kx9vq2mz7rt4pl8wn3sb6yh1cf5dj0gu',
        'django-insecure-key-for-development-only',
        'thisisthesecretforsigningcookies',
    }
)
"""Case-folded values that anybody can look up."""
WORDS = re.compile(
    r'change[-_ ]?(?:me|this)|example|secret|password|passphrase|production|development|replace|insecure|placeholder'
    r'|character|generate|qwerty|asdfgh|your[-_ ]?(?:own|key|random|super|long|very)'
)
"""Six letters or more each: one random secret of 64 characters in five million has one of them by chance."""
FEWEST_CHARACTERS = 8


def secret_key(settings: Settings) -> bytes:
    """What signs the browser's storage. Made and kept when there is none yet."""
    return _value(settings, 'secret_key')


def encryption_key(settings: Settings) -> bytes:
    """What API keys are hashed under. Made and kept when there is none yet."""
    return _value(settings, 'encryption_key')


def make_missing(settings: Settings) -> None:
    """Make and keep those of the two that were left out and are not there yet."""
    for name in NAMES:
        _value(settings, name)


def origin(settings: Settings, name: str) -> str:
    """Where a secret comes from, for people: a variable of the environment, the configuration, or the file it is in."""
    variable = f'LUMEN_{name.upper()}'
    if os.environ.get(variable):
        return f'{variable} of the environment'
    return str(_path(settings, name)) if getattr(settings.app, name) is None else 'the configuration'


def require_safe(settings: Settings, host: str) -> None:
    """Raises ConfigurationError when others can reach `host` and a secret is short, easily guessed or used twice.

    One that is yet to be made will be safe.
    """
    if is_loopback(host):
        return
    values = {name: value for name in NAMES if (value := _found(settings, name)) is not None}
    for name, value in values.items():
        if len(value) < SHORTEST:
            raise ConfigurationError(
                f'app.{name}: must have {SHORTEST} characters or more where others can reach Lumen'
            )
        if is_guessable(value):
            raise ConfigurationError(
                f'app.{name}: looks like an example; make one of your own (openssl rand -base64 48)'
            )
    if len(values) == 2 and len(set(values.values())) == 1:
        raise ConfigurationError('app.encryption_key: must not be the same as app.secret_key; make one for each')


def is_guessable(secret: str) -> bool:
    """Whether a secret was published, has words of examples in it, or follows a pattern, unlike any random one."""
    folded = secret.casefold()
    if folded in PUBLISHED or WORDS.search(folded) or len(set(secret)) < FEWEST_CHARACTERS:
        return True
    steps = sum(abs(ord(one) - ord(next_one)) <= 1 for one, next_one in pairwise(folded))
    triples = {folded[start : start + 3] for start in range(len(folded) - 2)}
    # Of 32 random hexadecimal digits, 18 % of the steps are by one or none, and one triple in 70 comes again.
    return steps * 3 > (len(folded) - 1) * 2 or len(triples) * 3 < (len(folded) - 2) * 2


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address that is listened on."""
    if host == 'localhost':
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _value(settings: Settings, name: str) -> bytes:
    value = _found(settings, name)
    return (_made(name, _path(settings, name)) if value is None else value).encode()


def _found(settings: Settings, name: str) -> str | None:
    """The secret that was configured, else the one that is kept, else None."""
    configured: SecretStr | None = getattr(settings.app, name)
    if configured is not None:
        return configured.get_secret_value()
    try:
        return _read(_path(settings, name))
    except FileNotFoundError:
        return None


def _path(settings: Settings, name: str) -> Path:
    """Where a secret that was left out is kept: beside an SQLite file, so that all who use that find the same one."""
    url = settings.app.database.url.get_secret_value()
    return (sqlite_path(url).parent if is_sqlite(url) else FOLDER) / name


def _read(path: Path) -> str:
    try:
        value = path.read_text(encoding='ascii').strip()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise ConfigurationError(f'{path}: cannot be read: {error.strerror}') from None
    except UnicodeDecodeError:
        raise ConfigurationError(f'{path}: is not a secret: it has characters other than ASCII') from None
    if not value:
        raise ConfigurationError(f'{path}: is empty; delete it to have one made, or put the secret back')
    return value


def _made(name: str, path: Path) -> str:
    value = secrets.token_urlsafe(48)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = path.with_name(f'.{name}.{os.getpid()}')
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, 'w', encoding='ascii') as file:
            file.write(value)
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)  # of two processes that start at once, one makes the secret and both use it
        except FileExistsError:
            return _read(path)
        finally:
            draft.unlink()
    except OSError as error:
        raise ConfigurationError(f'{path}: cannot be written: {error.strerror}') from None
    log.warning(f'app.{name} was not configured: one was made and is kept', file=str(path))
    return value
