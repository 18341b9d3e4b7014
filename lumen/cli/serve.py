"""`lumen serve`."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import click

from lumen.cli.opened import load_configuration
from lumen.cli.output import json_option
from lumen.server.roles import ROLES, Role

if TYPE_CHECKING:
    from lumen.server.parts import MakePages


@click.command()
@click.option('--host', default='127.0.0.1', show_default=True, help='The address to listen on.')
@click.option('--port', default=8080, show_default=True, type=click.IntRange(0, 65535), help='0 takes a free one.')
@click.option('--role', default='all', show_default=True, type=click.Choice(ROLES), help='What this process serves.')
@click.option(
    '--workers', default=1, show_default=True, type=click.IntRange(1, 256), help='Processes of a gateway on PostgreSQL.'
)
@json_option
@click.pass_obj
def serve(make_pages: MakePages, host: str, port: int, role: Role, workers: int, as_json: bool) -> None:
    """Serve the pages and the API until SIGTERM or Ctrl+C.

    With --json, the line that says that it is ready is an object with its address, its role and how many serve.
    """
    # Only now: the other commands start faster without the server's libraries.
    from lumen.server.serve import serve as serve_until_stopped

    configuration = load_configuration(log_level=logging.INFO)
    serve_until_stopped(configuration, host, port, role, make_pages=make_pages, workers=workers, as_json=as_json)
