"""Reading `config.yaml`: the file and the environment in, typed settings out, or every fault with its line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Any

from pydantic import ValidationError

from lumen.config import faults as fault_words
from lumen.config import older_words, rules
from lumen.config.faults import Fault, Path, nearest_line
from lumen.config.nodes import Parsed
from lumen.config.settings import Settings
from lumen.errors import ConfigurationError

ENVIRONMENT: dict[str, Path] = {
    'LUMEN_SECRET_KEY': ('app', 'secret_key'),
    'LUMEN_ENCRYPTION_KEY': ('app', 'encryption_key'),
    'DATABASE_URL': ('app', 'database', 'url'),
    'OAUTH2_CLIENT_ID': ('login', 'oauth2', 'client_id'),
    'OAUTH2_CLIENT_SECRET': ('login', 'oauth2', 'client_secret'),
}


@dataclass(frozen=True, slots=True)
class Loaded:
    """Good settings, and what to warn of."""

    settings: Settings
    warnings: tuple[str, ...]


def read(path: FilePath, environment: Mapping[str, str]) -> Loaded:
    """Read and validate the whole file; what the environment states wins.

    Raises ConfigurationError whose message names every fault, one a line, as `config.yaml:17: clients.bot.max: ...`.
    """
    try:
        text = path.read_text(encoding='utf-8')
    except OSError as error:
        raise ConfigurationError(f'{path}: cannot be read: {error.strerror}') from None
    except UnicodeDecodeError:
        raise ConfigurationError(f'{path}: is not UTF-8 text') from None
    return read_text(text, environment, name=path.name)


def read_text(text: str, environment: Mapping[str, str], *, name: str = 'config.yaml') -> Loaded:
    """`read` for text that is already there."""
    parsed = Parsed(text)
    found = list(parsed.faults)
    if any(not fault.path for fault in found):
        raise _error(name, found)
    warnings, older_faults = older_words.modernise(parsed.data, parsed.lines)
    found += older_faults
    _apply(environment, parsed.data)
    try:
        settings = Settings.model_validate(parsed.data)
    except ValidationError as error:
        found += fault_words.of_validation(error, Settings, parsed.lines)
        settings = _sound_part(parsed.data, found)
    found += [_placed(fault, parsed.lines) for fault in rules.faults(settings)]
    if found:
        raise _error(name, found)
    said = [f'{name}: {warning}' for warning in warnings]
    said += [_line(name, _placed(fault, parsed.lines)) for fault in rules.warnings(settings)]
    return Loaded(settings, tuple(said))


def _sound_part(data: dict[str, Any], found: list[Fault]) -> Settings:
    """The sections without a fault of their own, so that what is wrong between those is named as well."""
    faulty = {str(fault.path[0]) for fault in found if fault.path}
    if 'groups' in faulty:
        faulty |= {'clients', 'users'}  # whether the groups they name exist cannot be told
    return Settings.model_validate({name: value for name, value in data.items() if name not in faulty})


def _apply(environment: Mapping[str, str], data: dict[str, Any]) -> None:
    for variable, path in ENVIRONMENT.items():
        value = environment.get(variable)
        if not value:
            continue
        section = data
        for part in path[:-1]:
            inner = section.get(str(part))
            if inner is None and part == 'oauth2':
                break  # a client id alone is no sign-in; without the section it has no meaning
            section = section.setdefault(str(part), {})
            if not isinstance(section, dict):
                break
        else:
            section[str(path[-1])] = value


def _placed(fault: Fault, lines: Mapping[Path, int]) -> Fault:
    return Fault(fault.path, fault.message, nearest_line(fault.path, lines))


def _line(name: str, fault: Fault) -> str:
    place = f'{name}:{fault.line}' if fault.line else name
    return f'{place}: {fault}'


def _error(name: str, found: list[Fault]) -> ConfigurationError:
    ordered = sorted(found, key=lambda fault: (fault.line or 0, str(fault)))
    return ConfigurationError('\n'.join(_line(name, fault) for fault in ordered))
