"""`lumen client`: make, list, show, rename, activate and deactivate clients, and accept models' messages for them."""

from __future__ import annotations

import click

from lumen import coins
from lumen.cli.opened import opened
from lumen.cli.output import answer, json_option, table
from lumen.errors import NotFound
from lumen.identity.permissions import COMMAND_LINE
from lumen.records import acknowledgements, client_figures, clients
from lumen.records.client_figures import ClientFigures


@click.group()
def client() -> None:
    """Clients: the accounts of services and automated processes."""


@client.command()
@click.argument('name')
@json_option
def create(name: str, as_json: bool) -> None:
    """Make a client, with the coin pool that the configuration gives it."""
    with opened() as lumen:
        client_id = lumen.write(clients.create_client, COMMAND_LINE, name, settings=lumen.settings)
        figures = lumen.read(client_figures.figures_of, COMMAND_LINE, client_id, settings=lumen.settings)
    answer(_value(figures), f'Client "{figures.name}" created.', as_json=as_json)


@client.command(name='list')
@json_option
def list_clients(as_json: bool) -> None:
    """All clients, by name."""
    with opened() as lumen:
        every = lumen.read(client_figures.figures, COMMAND_LINE, settings=lumen.settings)
    text = table(
        ['Name', 'State', 'Requests', 'Tokens', 'Coins spent', 'Balance'],
        [
            [
                figures.name,
                _state(figures),
                f'{figures.requests:,}',
                f'{figures.input_tokens + figures.output_tokens:,}',
                coins.short(figures.spent),
                'unlimited' if figures.balance is None else coins.short(figures.balance),
            ]
            for figures in every
        ],
        left=2,
    )
    answer([_value(figures) for figures in every], text if every else 'There are no clients yet.', as_json=as_json)


@client.command()
@click.argument('name')
@json_option
def show(name: str, as_json: bool) -> None:
    """One client: what it used and what it has."""
    with opened() as lumen:
        client_id = lumen.read(find, name)
        figures = lumen.read(client_figures.figures_of, COMMAND_LINE, client_id, settings=lumen.settings)
    lines = [
        f'Name           {figures.name}',
        f'State          {_state(figures)}',
        f'Requests       {figures.requests:,}',
        f'Input tokens   {figures.input_tokens:,}',
        f'Output tokens  {figures.output_tokens:,}',
        f'Coins spent    {coins.exact(figures.spent)}',
        f'Balance        {"unlimited" if figures.balance is None else coins.exact(figures.balance)}',
    ]
    answer(_value(figures), '\n'.join(lines), as_json=as_json)


@client.command()
@click.argument('name')
@json_option
def activate(name: str, as_json: bool) -> None:
    """Let the keys of a client work again."""
    _set_active(name, True, as_json=as_json)


@client.command()
@click.argument('name')
@json_option
def deactivate(name: str, as_json: bool) -> None:
    """Stop every key of a client. Calls in flight finish, nothing is deleted."""
    _set_active(name, False, as_json=as_json)


@client.command()
@click.argument('name')
@click.argument('new_name')
@json_option
def rename(name: str, new_name: str, as_json: bool) -> None:
    """Give a client another name. Its keys and history stay; config.yaml is matched with the new name from then on."""
    with opened() as lumen:
        client_id = lumen.read(find, name)
        lumen.write(clients.rename_client, COMMAND_LINE, client_id, new_name, settings=lumen.settings)
        figures = lumen.read(client_figures.figures_of, COMMAND_LINE, client_id, settings=lumen.settings)
    answer(_value(figures), f'Client "{name}" is now "{figures.name}".', as_json=as_json)


@client.command()
@click.argument('name')
@click.argument('model')
@click.option('--yes', is_flag=True, help='Accept without being asked, having read the message elsewhere.')
@json_option
def acknowledge(name: str, model: str, yes: bool, as_json: bool) -> None:
    """Accept, for a client, the message of a model that asks for it."""
    with opened() as lumen:
        client_id = lumen.read(find, name)
        message = acknowledgements.message_to_accept(lumen.settings, model)
        if not yes:
            click.echo(message or 'This model has no message of its own.', err=True)
            click.confirm(f'Accept this for all keys of "{name}"?', abort=True, err=True)
        digest = acknowledgements.digest_of(message)
        lumen.write(acknowledgements.acknowledge, COMMAND_LINE, client_id, model, digest, settings=lumen.settings)
    answer({'client_id': client_id, 'model': model}, f'Model "{model}" acknowledged for "{name}".', as_json=as_json)


def find(name: str) -> int:
    """Within a read: the id of the client with this name, regardless of case. Raises NotFound."""
    client_id = clients.find_by_name(name)
    if client_id is None:
        raise NotFound(f'There is no client named "{name}".', code='client_not_found', param='name')
    return client_id


def _set_active(name: str, active: bool, *, as_json: bool) -> None:
    with opened() as lumen:
        client_id = lumen.read(find, name)
        lumen.write(clients.set_active, COMMAND_LINE, client_id, active, settings=lumen.settings)
        figures = lumen.read(client_figures.figures_of, COMMAND_LINE, client_id, settings=lumen.settings)
    answer(_value(figures), f'Client "{figures.name}" {_state(figures)}.', as_json=as_json)


def _state(figures: ClientFigures) -> str:
    return 'active' if figures.active else 'deactivated'


def _value(figures: ClientFigures) -> dict[str, object]:
    """For programs: coins are decimal strings with nine decimals."""
    return {
        'id': figures.id,
        'name': figures.name,
        'active': figures.active,
        'requests': figures.requests,
        'input_tokens': figures.input_tokens,
        'output_tokens': figures.output_tokens,
        'coins_spent': coins.exact(figures.spent),
        'balance': None if figures.balance is None else coins.exact(figures.balance),
    }
