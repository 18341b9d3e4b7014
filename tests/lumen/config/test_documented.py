"""Every key of the configuration is documented, and nothing else is."""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel

from lumen.config.reading import ENVIRONMENT
from lumen.config.settings import Settings

PAGE = (Path(__file__).parents[3] / 'docs' / 'configuration.md').read_text()


def keys(model: type[BaseModel], prefix: str = '') -> Iterator[tuple[str, bool]]:
    """Every key as it is documented, and whether it has keys below."""
    for name, field in model.model_fields.items():
        path = f'{prefix}{name}'
        inner, mark = inner_model(field.annotation)
        yield path, inner is not None
        if inner is not None:
            yield from keys(inner, f'{path}{mark}.')


def inner_model(annotation: object) -> tuple[type[BaseModel] | None, str]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation, ''
    origin = typing.get_origin(annotation)
    for argument in typing.get_args(annotation):
        found, mark = inner_model(argument)
        if found is not None:
            if origin in (typing.Union, types.UnionType):
                return found, mark
            return found, '.*' if origin is dict else '[]'
    return None, ''


def documented() -> set[str]:
    return set(re.findall(r'^\| `([a-z0-9_.*\[\]]+)` \|', PAGE, re.MULTILINE))


def test_every_key_is_documented():
    missing = [path for path, has_inner in keys(Settings) if not has_inner and path not in documented()]
    assert missing == []
    assert len(documented()) > 80


def test_every_documented_key_exists():
    known = {path for path, _ in keys(Settings)}
    assert documented() - known == set()


def test_every_variable_of_the_environment_is_documented():
    for variable in [*ENVIRONMENT, 'LUMEN_CONFIG']:
        assert f'`{variable}`' in PAGE
