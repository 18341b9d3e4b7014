"""Faults of a configuration file: where, which key, what is wrong, and what was probably meant."""

from __future__ import annotations

import difflib
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong. `line` counts from 1; None for what did not come from the file."""

    path: Path
    message: str
    line: int | None = None

    def __str__(self) -> str:
        return f'{dotted(self.path)}: {self.message}' if self.path else self.message


def dotted(path: Path) -> str:
    """`clients.research-bot.groups[0]`"""
    text = ''
    for part in path:
        text += f'[{part}]' if isinstance(part, int) else (f'.{part}' if text else part)
    return text


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """` (did you mean "max"?)`, or nothing when no known word is near."""
    near = difflib.get_close_matches(word.lower(), list(known), n=1, cutoff=0.55)
    return f' (did you mean "{near[0]}"?)' if near else ''


def of_validation(error: ValidationError, model: type[BaseModel], lines: Mapping[Path, int]) -> list[Fault]:
    """Every fault that pydantic found, in our words and with its line."""
    found = []
    for details in error.errors(include_url=False, include_context=True):
        path = tuple(part for part in details['loc'] if part != '[key]')
        found.append(Fault(path, _words(details, model, path), nearest_line(path, lines)))
    return found


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
            return f'must be {context["expected"]}'
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
        case 'too_short' | 'string_too_short':
            return 'must not be empty'
        case 'string_too_long':
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
