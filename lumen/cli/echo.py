"""`lumen echo`: the built-in model server in a process of its own, to try and to test with."""

from __future__ import annotations

import json

import click

from lumen.cli.output import json_option


@click.command()
@click.option('--host', default='127.0.0.1', show_default=True, help='The address to listen on.')
@click.option('--port', default=8081, show_default=True, type=click.IntRange(0, 65535), help='0 takes a free one.')
@click.option('--delay', default=0.0, type=click.FloatRange(0), help='Seconds before each answer.')
@click.option('--chunk-delay', default=0.0, type=click.FloatRange(0), help='Seconds between the chunks of a stream.')
@click.option('--status', default=200, type=click.IntRange(200, 599), help='Fail every call with this status.')
@click.option('--stop-after', type=click.IntRange(0), help='Break streams off after so many chunks.')
@click.option('--omit-usage', is_flag=True, help='Report no usage.')
@json_option
def echo(
    host: str,
    port: int,
    delay: float,
    chunk_delay: float,
    status: int,
    stop_after: int | None,
    omit_usage: bool,
    as_json: bool,
) -> None:
    """Serve a model that answers with what it was sent, until SIGTERM or Ctrl+C.

    With --json, the line that says that it is ready is an object with its address.
    """
    from lumen.gateway.echo import EchoOptions, echo_app
    from lumen.server.listening import address_of, listen, run, say

    options = EchoOptions(
        delay_seconds=delay,
        chunk_delay_seconds=chunk_delay,
        status=status,
        stop_after_chunks=stop_after,
        omit_usage=omit_usage,
    )
    with listen(host, port) as listener:
        address = f'{address_of(listener)}/v1'
        ready = json.dumps({'address': address}) if as_json else f'The echo model is ready on {address}'
        run(echo_app(options), listener, on_listening=lambda: say(ready), lifespan=False)
