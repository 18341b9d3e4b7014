"""How a command fails: one plain message on standard error and exit code 1.

The code is 2 when it was called wrongly, or when configuration or database do not let it begin.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

import click

from lumen.cli.times import NoTime
from lumen.errors import ConfigurationError, DatabaseUnavailable, LumenError, MigrationsPending, NewerSchema
from lumen.visible import visible


class PlainErrors(click.Group):
    """A group that turns refusals and failures into messages: text, or JSON when `--json` was given."""

    def main(self, args: Sequence[str] | None = None, *_: Any, **extra: Any) -> Any:
        arguments = list(sys.argv[1:] if args is None else args)
        as_json = '--json' in arguments
        if not _is_text(arguments):
            _fail('The arguments must be UTF-8 text.', 'usage', None, as_json=as_json, exit_code=2)
        extra |= {'prog_name': 'lumen', 'standalone_mode': False}
        try:
            code = super().main(arguments, **extra)
        except (NoTime, ConfigurationError, DatabaseUnavailable, MigrationsPending, NewerSchema) as error:
            _fail(str(error), error.code, error.param, as_json=as_json, exit_code=2)
        except LumenError as error:
            _fail(error.message, error.code, error.param, as_json=as_json)
        except click.UsageError as error:
            if as_json:
                _fail(error.format_message(), 'usage', None, as_json=True, exit_code=error.exit_code)
            error.show()
            sys.exit(error.exit_code)
        except click.ClickException as error:
            _fail(error.format_message(), 'failed', None, as_json=as_json, exit_code=error.exit_code)
        except (click.Abort, KeyboardInterrupt):
            sys.exit(130)
        except BrokenPipeError:
            sys.stderr.close()
            sys.exit(1)
        # Without the standalone mode click returns the code of `context.exit(code)` instead of leaving with it.
        sys.exit(code if isinstance(code, int) else 0)


def _is_text(arguments: Sequence[str]) -> bool:
    """Python smuggles bytes that are no UTF-8 through arguments as half surrogate pairs."""
    return not any('\ud800' <= character <= '\udfff' for argument in arguments for character in argument)


def _fail(message: str, code: str, param: str | None, *, as_json: bool, exit_code: int = 1) -> None:
    if as_json:
        message = json.dumps({'error': {'message': message, 'code': code, 'param': param}}, ensure_ascii=False)
    click.echo(visible(message, lines=True), err=True)
    sys.exit(exit_code)
