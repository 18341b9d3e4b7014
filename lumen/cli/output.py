"""How a command answers: a few words for people, or with `--json` one JSON value for programs."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from lumen.visible import visible

Function = TypeVar('Function', bound=Callable[..., Any])


def json_option(function: Function) -> Function:
    """Gives a command its `--json`."""
    return click.option('--json', 'as_json', is_flag=True, help='Answer in JSON.')(function)


def answer(value: object, text: str, *, as_json: bool) -> None:
    """Print `value` as JSON or `text`, whichever was asked for. What others wrote does not steer the terminal."""
    click.echo(visible(json.dumps(value, ensure_ascii=False, indent=2) if as_json else text, lines=True))


def table(headings: Sequence[str], rows: Sequence[Sequence[str]], *, left: int = 1) -> str:
    """Rows under headings, the first `left` columns on the left, the others (figures) on the right."""
    lines = [headings, *([visible(text) for text in row] for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(headings))]
    return '\n'.join(
        '  '.join(
            text.ljust(width) if column < left else text.rjust(width)
            for column, (text, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )
