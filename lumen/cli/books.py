"""`lumen migrate` and `lumen check`: the database brought up to date, and its books proved."""

from __future__ import annotations

import click

from lumen import schema
from lumen.cli.opened import opened
from lumen.cli.output import answer, json_option
from lumen.ledger.check import differences


@click.command()
@json_option
def migrate(as_json: bool) -> None:
    """Bring the database to the present schema."""
    with opened(current=False) as lumen:
        steps = schema.migrate(lumen.database)
    text = '\n'.join(f'Applied {step}.' for step in steps) or 'The database is up to date.'
    answer({'applied': steps}, text, as_json=as_json)


@click.command()
@json_option
@click.pass_context
def check(context: click.Context, as_json: bool) -> None:
    """Prove that every counter adds up, to the nanocoin. Exit code 1 and every difference when one does not."""
    with opened(current=False, existing=True) as lumen:
        schema.require_current(lumen.database)
        found = lumen.read(differences)
    answer({'clean': not found, 'differences': found}, '\n'.join(found) or 'The books add up.', as_json=as_json)
    context.exit(1 if found else 0)
