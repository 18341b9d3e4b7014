"""What a single value of `config.yaml` may be: a line of text, prose, a secret, an address, coins.

Whatever ends up in a header, on a page or in the database is free of control characters from here on.
"""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from typing import Annotated, Any
from urllib.parse import urlsplit

from limits import parse_many
from pydantic import AfterValidator, BeforeValidator, Field, SecretStr

from lumen import coins, database_address

UNLIMITED = -2 * coins.NANOCOINS_PER_COIN
BUILTIN = 'builtin:echo'
CLIENT_NAME = re.compile(r'[A-Za-z0-9](?:[A-Za-z0-9._ -]{0,62}[A-Za-z0-9._-])?\Z')
STORAGE = re.compile(r'(async\+)?(memory|(redis|valkey)(s|\+unix|\+cluster|\+sentinel)?)://')
"""What the library *limits* keeps counts in."""

BREAKS = '\n\r\x85\u2028\u2029'
UNSEEN = frozenset({'Cc', 'Cs', 'Zl', 'Zp'})
"""Control characters, halves of surrogate pairs, and what else breaks a line."""


def _line(value: str) -> str:
    if not value.isprintable():
        _refuse_unseen(value, but_for='')
    return value


def _prose(value: str) -> str:
    if not value.isprintable():
        _refuse_unseen(value, but_for='\n\t')
    return value


def _secret(value: SecretStr) -> SecretStr:
    _line(value.get_secret_value())
    return value


def _database_address(value: SecretStr) -> SecretStr:
    database_address.check(_secret(value).get_secret_value())
    return value


def _storage_address(value: SecretStr) -> SecretStr:
    # Not quoted: there may be a password in it.
    if not STORAGE.match(_secret(value).get_secret_value()):
        raise ValueError('must be an address such as memory:// or redis://host:6379')
    return value


def _rate_or_none(value: str) -> str:
    if _line(value) and not _is_rate(value):
        raise ValueError(f'must be a rate of one or more, for example 30 per minute, got {value[:80]!r}')
    return value


def _is_rate(text: str) -> bool:
    try:
        return all(limit.amount > 0 for limit in parse_many(text))
    except ValueError:
        return False


def _refuse_unseen(value: str, *, but_for: str) -> None:
    for character in value:
        if unicodedata.category(character) in UNSEEN and character not in but_for:
            if character in BREAKS:
                raise ValueError('must be a single line; `|` and `>` add a line break, so write it without them')
            raise ValueError(f'must not contain the control character U+{ord(character):04X}')


def _email(value: str) -> str:
    value = value.strip()
    local, at, domain = value.partition('@')
    if not (local and at and domain) or any(character.isspace() for character in value):
        raise ValueError(f'must be an e-mail address, got {value[:80]!r}')
    return _line(value)


def _email_or_none(value: str) -> str:
    return _email(value) if value else value


def _handle(value: str) -> str:
    if value != value.strip() or value != _email(value):
        raise ValueError('must be an e-mail address, without spaces around it')
    return value


def _client_name(value: str) -> str:
    if value != 'default' and not CLIENT_NAME.match(value):
        raise ValueError(
            'is not the name of a client: 1-64 letters, digits, dots, underscores, hyphens and spaces, '
            'starting with a letter or digit, not ending with a space'
        )
    return value


def _web_address(value: str) -> str:
    if not _is_web_address(_line(value)):
        raise ValueError('must be an http or https address')
    return value


def _web_address_or_none(value: str) -> str:
    return _web_address(value) if value else value


def _server_address(value: str) -> str:
    if value.startswith('builtin:') and value != BUILTIN:
        raise ValueError(f'no such built-in server; there is {BUILTIN}')
    if value != BUILTIN and not _is_web_address(_line(value)):
        raise ValueError(f'must be an http or https address, or {BUILTIN}')
    return value


def _network(value: str) -> str:
    try:
        ipaddress.ip_network(value, strict=False)
    except ValueError:
        raise ValueError('must be an IP address or a network, for example 10.0.0.0/8') from None
    return value


def _is_web_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
        _ = parts.port  # raises when it is none
        return parts.scheme in ('http', 'https') and bool(parts.hostname) and text.isprintable() and ' ' not in text
    except ValueError:
        return False


def _coins(value: Any) -> int:
    if not isinstance(value, str):
        raise ValueError('must be a number of coins')
    nanocoins = coins.from_text(value)
    if nanocoins < 0:
        raise ValueError(f'must be 0 or more, got {value}')
    return nanocoins


def _maximum(value: Any) -> int | None:
    try:
        if isinstance(value, str) and coins.from_text(value) == UNLIMITED:
            return None
        return _coins(value)
    except ValueError as error:
        raise ValueError(str(error).replace('0 or more', '0 or more, or -2 for unlimited')) from None


Line = Annotated[str, AfterValidator(_line)]
Prose = Annotated[str, AfterValidator(_prose)]
Secret = Annotated[SecretStr, AfterValidator(_secret)]
DatabaseAddress = Annotated[SecretStr, AfterValidator(_database_address)]
StorageAddress = Annotated[SecretStr, AfterValidator(_storage_address)]
ModelName = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_line)]
Email = Annotated[str, AfterValidator(_email)]
OptionalEmail = Annotated[str, AfterValidator(_email_or_none)]
OptionalRate = Annotated[str, AfterValidator(_rate_or_none)]
UserHandle = Annotated[str, AfterValidator(_handle)]
ClientName = Annotated[str, AfterValidator(_client_name)]
WebAddress = Annotated[str, AfterValidator(_web_address)]
OptionalWebAddress = Annotated[str, AfterValidator(_web_address_or_none)]
Network = Annotated[str, AfterValidator(_network)]
ServerAddress = Annotated[str, AfterValidator(_server_address)]
Nanocoins = Annotated[int, BeforeValidator(_coins)]
Maximum = Annotated[int | None, BeforeValidator(_maximum)]
