"""`lumen manager`: hand a client to the people who answer for it."""

from __future__ import annotations

import click

from lumen.cli.client import find
from lumen.cli.opened import opened
from lumen.cli.output import answer, json_option
from lumen.errors import NotFound
from lumen.identity import people
from lumen.identity.permissions import COMMAND_LINE
from lumen.records import managers
from lumen.visible import visible


@click.group()
def manager() -> None:
    """The users who look after a client."""


@manager.command()
@click.argument('client')
@click.argument('email')
@click.option('--owner/--no-owner', default=None, help='Make them the owner, or not. The first one is, otherwise.')
@json_option
def add(client: str, email: str, owner: bool | None, as_json: bool) -> None:
    """Make the user with this e-mail address a manager; the first one becomes the owner, unless told otherwise."""
    with opened() as lumen:
        client_id = lumen.read(find, client)
        row = lumen.write(managers.add_manager, COMMAND_LINE, client_id, email, settings=lumen.settings, as_owner=owner)
    value = {'client_id': client_id, 'user_id': row.user_id, 'email': row.email, 'owner': row.is_owner}
    answer(value, f'{row.email} is now {"owner" if row.is_owner else "manager"} of "{client}".', as_json=as_json)


@manager.command()
@click.argument('client')
@click.argument('email')
@json_option
def remove(client: str, email: str, as_json: bool) -> None:
    """Take a manager off a client."""
    with opened() as lumen:
        client_id = lumen.read(find, client)
        user_id, email = lumen.read(_find_user, email)
        lumen.write(managers.remove_manager, COMMAND_LINE, client_id, user_id, settings=lumen.settings)
    value = {'client_id': client_id, 'user_id': user_id, 'email': email}
    answer(value, f'{email} no longer manages "{client}".', as_json=as_json)


@manager.command()
@click.argument('client')
@click.argument('email')
@json_option
def owner(client: str, email: str, as_json: bool) -> None:
    """Hand a client over: make one of its managers the owner. Who was it until now stays a manager."""
    with opened() as lumen:
        client_id = lumen.read(find, client)
        user_id, email = lumen.read(_find_user, email)
        lumen.write(managers.hand_over, COMMAND_LINE, client_id, user_id, settings=lumen.settings)
    value = {'client_id': client_id, 'user_id': user_id, 'email': email}
    answer(value, f'{email} now owns "{client}".', as_json=as_json)


@manager.command(name='list')
@click.argument('client')
@json_option
def list_managers(client: str, as_json: bool) -> None:
    """Who looks after a client, its owner first."""
    with opened() as lumen:
        rows = lumen.read(managers.managers_of, COMMAND_LINE, lumen.read(find, client), settings=lumen.settings)
    value = [{'user_id': row.user_id, 'name': row.name, 'email': row.email, 'owner': row.is_owner} for row in rows]
    text = '\n'.join(visible(f'{row.email}  {row.name}{" (owner)" if row.is_owner else ""}') for row in rows)
    answer(value, text or f'Nobody manages "{client}".', as_json=as_json)


def _find_user(email: str) -> tuple[int, str]:
    """Within a read: the id of the user with this address, and the address as they have it. Raises NotFound."""
    user = people.find_by_email(email)
    if user is None:
        raise NotFound(f'There is no user {email}.', code='user_not_found', param='email')
    return int(user.id), str(user.email)
