"""`lumen serve`."""

from __future__ import annotations

import logging

import click

from lumen.cli.opened import load_configuration
from lumen.server.roles import ROLES, Role


@click.command()
@click.option('--host', default='127.0.0.1', show_default=True, help='The address to listen on.')
@click.option('--port', default=8080, show_default=True, type=click.IntRange(0, 65535), help='0 takes a free one.')
@click.option('--role', default='all', show_default=True, type=click.Choice(ROLES), help='What this process serves.')
def serve(host: str, port: int, role: Role) -> None:
    """Serve the pages and the API until SIGTERM or Ctrl+C."""
    # Only now: the other commands start faster without the server's libraries.
    from lumen.server.serve import serve as serve_until_stopped

    serve_until_stopped(load_configuration(log_level=logging.INFO), host, port, role)
