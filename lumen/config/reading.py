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

WRITE_VERSION = 'write `version: 2` as its first line'


@dataclass(frozen=True, slots=True)
class Loaded:
    """Good settings, and what to warn of."""

    settings: Settings
    warnings: tuple[str, ...]


def read(path: FilePath, environment: Mapping[str, str], *, needs_version: bool = False) -> Loaded:
    """Read and validate the whole file; what the environment states wins.

    A file without `version` is only warned of, as older ones have none, unless it `needs_version`.
    Raises ConfigurationError whose message names every fault, one a line, as `config.yaml:17: clients.bot.max: ...`.
    """
    try:
        text = path.read_text(encoding='utf-8')
    except OSError as error:
        raise ConfigurationError(f'{path}: cannot be read: {error.strerror}') from None
    except UnicodeDecodeError:
        raise ConfigurationError(f'{path}: is not UTF-8 text') from None
    return read_text(text, environment, name=path.name, needs_version=needs_version)


def read_text(
    text: str, environment: Mapping[str, str], *, name: str = 'config.yaml', needs_version: bool = False
) -> Loaded:
    """`read` for text that is already there."""
    parsed = Parsed(text)
    found = list(parsed.faults)
    if any(not fault.path for fault in found):
        raise _error(name, found)
    warnings, older_faults = older_words.modernise(parsed.data, parsed.lines)
    from_environment = _apply(environment, parsed.data)
    found += older_faults
    if needs_version and parsed.data.get('version') is None:
        found.append(Fault(('version',), f'is missing: {WRITE_VERSION}', 1))
    named = parsed.unread.copy()  # what could not be read has its fault; what the empty text in its place lacks is none
    settings = None
    try:
        settings = Settings.model_validate(parsed.data)
    except ValidationError as error:
        wrong = fault_words.of_validation(error, Settings, parsed.lines)
        found += [_sourced(fault, from_environment) for fault in wrong if fault.path not in named]
        named.update(fault.path for fault in wrong)
    between = [fault for fault in rules.faults(parsed.data) if fault.path not in named]
    found += [_placed(fault, parsed.lines) for fault in between]
    if found or settings is None:
        raise _error(name, found)
    said = [f'{name}: {warning}' for warning in warnings]
    said += [_line(name, _placed(fault, parsed.lines)) for fault in rules.warnings(settings)]
    if parsed.data.get('version') is None:
        said.append(f'{name}: version: is missing, and the file is taken for version 2: {WRITE_VERSION}')
    return Loaded(settings, tuple(said))


def _apply(environment: Mapping[str, str], data: dict[str, Any]) -> dict[Path, str]:
    """Put what the environment states into `data`. Returns which variable is where now."""
    applied = {}
    for variable, path in ENVIRONMENT.items():
        value = environment.get(variable)
        if not value:
            continue
        section = data
        for part in map(str, path[:-1]):
            if section.get(part) is None:
                if part == 'oauth2':
                    break  # a client id alone is no sign-in; without the section it has no meaning
                section[part] = {}
            section = section[part]
            if not isinstance(section, dict):
                break
        else:
            section[str(path[-1])] = value
            applied[path] = variable
    return applied


def _sourced(fault: Fault, from_environment: Mapping[Path, str]) -> Fault:
    variable = from_environment.get(fault.path)
    return Fault(fault.path, f'{fault.message} ({variable} of the environment)') if variable else fault


def _placed(fault: Fault, lines: Mapping[Path, int]) -> Fault:
    return Fault(fault.path, fault.message, nearest_line(fault.path, lines))


def _line(name: str, fault: Fault) -> str:
    place = f'{name}:{fault.line}' if fault.line else name
    return f'{place}: {fault}'


def _error(name: str, found: list[Fault]) -> ConfigurationError:
    ordered = sorted(found, key=lambda fault: (fault.line or 0, str(fault)))
    return ConfigurationError('\n'.join(_line(name, fault) for fault in ordered))
