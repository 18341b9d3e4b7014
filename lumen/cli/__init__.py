"""The `lumen` command: the actions of the pages, and the work of those who run the machine. One file a noun."""

from __future__ import annotations

import click

from lumen.cli.audit import audit
from lumen.cli.books import check, migrate
from lumen.cli.client import client
from lumen.cli.demo import demo
from lumen.cli.echo import echo
from lumen.cli.errors import PlainErrors
from lumen.cli.key import key
from lumen.cli.manager import manager
from lumen.cli.serve import serve


@click.group(cls=PlainErrors, context_settings={'help_option_names': ['-h', '--help']})
@click.version_option(package_name='lumen', message='Lumen %(version)s')
def command_line() -> None:
    """Lumen, an AI gateway: one address, one kind of key, one budget.

    LUMEN_CONFIG names the configuration (config.yaml here, unless it says otherwise), DATABASE_URL the database.
    Everything works beside a running server, which obeys within a second.
    """


for command in (serve, migrate, check, demo, echo, client, manager, key, audit):
    command_line.add_command(command)
