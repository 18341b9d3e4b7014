"""Faults of a configuration file: where, which key, what is wrong, and what was probably meant."""

from __future__ import annotations

import difflib
import re
import types
import typing
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

Path = tuple[str | int, ...]

SECRET_KEYS = frozenset(
    {'secret_key', 'encryption_key', 'client_id', 'client_secret', 'api_key', 'token', 'storage_url'}
)
GLUED = re.compile(rf'({"|".join(sorted(SECRET_KEYS))}|url)\s*[:=]')
"""A key and its secret that no space divides (`secret_key:abc`) are one key to YAML."""
NO_HEADER_NAME = re.compile(r"[^A-Za-z0-9!#$%&'*+.^_`|~-].*", re.DOTALL)
"""From where on the name of a header is none; where a space is missing, that is the header's value."""
QUOTED = re.compile(r"'([^']*)'")
NUMBER = re.compile(r"'([0-9]+)'")
LONGEST_SHOWN = 80
MOST_COMPARED = 1000


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong. `line` counts from 1; None for what did not come from the file."""

    path: Path
    message: str
    line: int | None = None

    def __str__(self) -> str:
        return f'{dotted(self.path)}: {self.message}' if self.path else self.message


def dotted(path: Path) -> str:
    """`clients.research-bot.groups[0]`. Ends at a secret: what was written below it may be the secret itself."""
    text = ''
    for number, part in enumerate(path):
        if isinstance(part, int):
            text += f'[{part}]'
            continue
        if _is_header(path[: number + 1]):
            name = NO_HEADER_NAME.sub('…', part)
            return f'{text}.{shown(name)}'
        glued = GLUED.match(part)
        name = f'{glued[1]}…' if glued else shown(part)
        text += f'.{name}' if text else name
        if glued or _is_secret(path[: number + 1]):
            break
    return text


def shown(text: str) -> str:
    """A name as it can stand in one line of a message: nothing invisible, and not too much of it."""
    cut = text if len(text) <= LONGEST_SHOWN else f'{text[:LONGEST_SHOWN]}…'
    return cut if cut.isprintable() else repr(cut)[1:-1]


def did_you_mean(word: str, known: Collection[str]) -> str:
    """` (did you mean "max"?)`, or nothing when no known word is near, or too many are known to compare them all."""
    if len(known) > MOST_COMPARED or len(word) > LONGEST_SHOWN:
        return ''
    near = difflib.get_close_matches(word.lower(), list(known), n=1, cutoff=0.55)
    return f' (did you mean "{shown(near[0])}"?)' if near else ''


def _is_secret(path: Path) -> bool:
    if path[0] in ('clients', 'users', 'groups'):
        return False
    return path[-1] in SECRET_KEYS or path == ('app', 'database', 'url')


def _is_header(path: Path) -> bool:
    return len(path) == 6 and path[:1] + path[2:3] + path[4:5] == ('models', 'endpoints', 'headers')


def of_validation(error: ValidationError, model: type[BaseModel], lines: Mapping[Path, int]) -> list[Fault]:
    """Every fault that pydantic found, in our words and with its line."""
    return [
        Fault(path, _words(details, model, path), nearest_line(path, lines))
        for details in error.errors(include_url=False, include_context=True)
        for path in [tuple(part for part in details['loc'] if part != '[key]')]
    ]


def nearest_line(path: Path, lines: Mapping[Path, int]) -> int | None:
    """The line of `path`, or of the nearest thing around it that stands in the file."""
    for length in range(len(path), -1, -1):
        if path[:length] in lines:
            return lines[path[:length]]
    return None


def _words(details: ErrorDetails, model: type[BaseModel], path: Path) -> str:
    context = details.get('ctx', {})
    match details['type']:
        case 'extra_forbidden':
            return f'is not a key of this section{did_you_mean(str(path[-1]), keys_at(model, path[:-1]))}'
        case 'missing':
            return 'is missing'
        case 'model_type' | 'model_attributes_type' | 'dict_type':
            return 'must be a mapping of keys to values'
        case 'list_type' | 'tuple_type' | 'set_type' | 'frozen_set_type':
            return 'must be a list'
        case 'string_type':
            return 'must be text'
        case 'literal_error':
            expected, given = context['expected'], details['input']
            near = did_you_mean(given, QUOTED.findall(expected)) if isinstance(given, str) else ''
            unquoted = NUMBER.sub(r'\1', expected)
            return f'must be {unquoted}{near}'
        case 'bool_parsing' | 'bool_type':
            return 'must be true or false'
        case 'int_parsing' | 'int_type' | 'int_from_float' | 'int_parsing_size':
            return 'must be a whole number'
        case 'float_parsing' | 'float_type' | 'finite_number':
            return 'must be a number'
        case 'greater_than':
            return f'must be more than {context["gt"]:g}'
        case 'greater_than_equal':
            return f'must be {context["ge"]:g} or more'
        case 'less_than_equal':
            return f'must be {context["le"]:,.12g} or less'
        case 'too_short' | 'string_too_short':
            return 'must not be empty'
        case 'too_long' | 'string_too_long':
            return f'must have at most {context["max_length"]} characters'
        case 'value_error':
            return str(context['error'])
        case _:
            return details['msg']


def keys_at(model: type[BaseModel], path: Path) -> list[str]:
    """The keys that the section at `path` may have."""
    found: type[BaseModel] | None = model
    rest = list(path)
    while rest and found is not None:
        field = found.model_fields.get(str(rest.pop(0)))
        if field is None:
            return []
        found, is_collection = _model_in(field.annotation)
        if is_collection and rest:
            rest.pop(0)
    return list(found.model_fields) if found is not None else []


def _model_in(annotation: object) -> tuple[type[BaseModel] | None, bool]:
    """The model that an annotation speaks of, and whether it stands in a list or a mapping."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation, False
    origin = typing.get_origin(annotation)
    for argument in typing.get_args(annotation):
        found, _ = _model_in(argument)
        if found is not None:
            return found, origin not in (typing.Union, types.UnionType)
    return None, False
