"""`lumen echo`: the built-in model server in a process of its own, to try and to test with."""

from __future__ import annotations

import click


@click.command()
@click.option('--host', default='127.0.0.1', show_default=True, help='The address to listen on.')
@click.option('--port', default=8081, show_default=True, type=click.IntRange(0, 65535), help='0 takes a free one.')
def echo(host: str, port: int) -> None:
    """Serve a model that answers with what it was sent, until SIGTERM or Ctrl+C."""
    from lumen.gateway.echo import echo_app
    from lumen.server.serve import serve_app

    serve_app(echo_app, host, port, 'The echo model is ready on {address}/v1')
