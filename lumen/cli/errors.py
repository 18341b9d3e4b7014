"""How a command fails: one plain message on standard error and exit code 1; 2 when it was called wrongly."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

import click
import peewee

from lumen.errors import LumenError
from lumen.visible import visible


class PlainErrors(click.Group):
    """A group that turns refusals and failures into messages: text, or JSON when `--json` was given."""

    def main(self, args: Sequence[str] | None = None, *_: Any, **extra: Any) -> Any:
        arguments = list(sys.argv[1:] if args is None else args)
        as_json = '--json' in arguments
        extra |= {'prog_name': 'lumen', 'standalone_mode': False}
        try:
            code = super().main(arguments, **extra)
        except LumenError as error:
            _fail(error.message, error.code, error.param, as_json=as_json)
        except peewee.DatabaseError as error:
            reason = str(error).strip().partition('\n')[0]
            _fail(f'the database cannot be used: {reason}', 'database_unavailable', None, as_json=as_json)
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


def _fail(message: str, code: str, param: str | None, *, as_json: bool, exit_code: int = 1) -> None:
    if as_json:
        message = json.dumps({'error': {'message': message, 'code': code, 'param': param}}, ensure_ascii=False)
    click.echo(visible(message, lines=True), err=True)
    sys.exit(exit_code)
