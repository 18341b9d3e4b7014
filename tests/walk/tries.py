"""Everything that an event of a page can do, as somebody does who speaks to the socket instead of pressing buttons."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from uuid import uuid4

from lumen.identity.permissions import Action
from tests.walk.cast import PERSON
from tests.walk.tab import Tab

Do = Callable[[Tab], Awaitable[None]]
PERSON_NAME = 'Person'


@dataclass(frozen=True)
class Try:
    """`audited` is the event that the audit has when it worked, or '' when it only shows something: `shows` then."""

    name: str
    action: Action
    do: Do
    audited: str = ''
    shows: str = ''
    place: str = '/clients/{client}'
    active: bool = True
    """Whether the client is."""


async def create_client(tab: Tab) -> None:
    await tab.fire('click', '+ New Client')
    await tab.fire('update:value', 'Name', f'made {uuid4().hex}')
    await tab.fire('submit', tag='form')


async def rename(tab: Tab) -> None:
    await tab.fire('click', 'Rename')
    await tab.fire('update:value', 'Name', f'renamed {uuid4().hex}')
    await tab.fire('submit', tag='form')


async def deactivate(tab: Tab) -> None:
    await tab.fire('click', 'Deactivate')
    await tab.fire('submit', tag='form')


async def activate(tab: Tab) -> None:
    await tab.fire('click', 'Activate')
    await tab.fire('submit', tag='form')


async def add_manager(tab: Tab) -> None:
    await tab.fire('click', 'Add manager')
    await tab.fire('update:value', 'Name or e-mail address', f'{uuid4().hex}@walk.example.org')
    await tab.fire('submit', tag='form')


async def search_people(tab: Tab) -> None:
    await tab.fire('click', 'Add manager')
    await tab.fire('update:value', 'Name or e-mail address', 'user@walk')


async def remove_manager(tab: Tab) -> None:
    await tab.fire('click', f'Remove {PERSON_NAME}')
    await tab.fire('submit', tag='form')


async def hand_over(tab: Tab) -> None:
    await tab.fire('click', f'Make {PERSON_NAME} the owner')
    await tab.fire('submit', tag='form')


async def leave(tab: Tab) -> None:
    name = next(
        (label for _, element, _ in tab.listeners() if (label := tab.label(element)).startswith('Leave ')), 'Leave'
    )
    await tab.fire('click', name)
    await tab.fire('submit', tag='form')


async def create_key(tab: Tab) -> None:
    await tab.fire('click', 'New key')
    await tab.fire('update:value', 'Name', 'a new key')
    await tab.fire('submit', tag='form')


async def rotate_key(tab: Tab) -> None:
    await tab.fire('click', 'Rotate the key')
    await tab.fire('submit', tag='form')


async def revoke_key(tab: Tab) -> None:
    await tab.fire('click', 'Revoke the key')
    await tab.fire('submit', tag='form')


async def acknowledge(tab: Tab) -> None:
    await tab.fire('click', 'Acknowledge careful')
    await tab.fire('submit', tag='form')


async def show_revoked(tab: Tab) -> None:
    await tab.fire('update:modelValue', 'Show revoked', True)


async def show_older(tab: Tab) -> None:
    await tab.fire('click', 'Show older')


async def search_clients(tab: Tab) -> None:
    await tab.fire('update:value', 'Search by name', 'nothing is called so')


TRIES = (
    Try('create a client', Action.CREATE_CLIENT, create_client, 'client.created', place='/clients'),
    Try('search the clients', Action.OPEN_CLIENTS, search_clients, shows='"class": ["empty"]', place='/clients'),
    Try('rename', Action.RENAME_CLIENT, rename, 'client.renamed'),
    Try('deactivate', Action.SET_ACTIVE, deactivate, 'client.deactivated'),
    Try('activate', Action.SET_ACTIVE, activate, 'client.activated', active=False),
    Try('add a manager', Action.CHANGE_MANAGERS, add_manager, 'manager.added'),
    Try('search the people', Action.CHANGE_MANAGERS, search_people, shows='user@walk.example.org'),
    Try('remove a manager', Action.CHANGE_MANAGERS, remove_manager, 'manager.removed'),
    Try('hand over', Action.CHANGE_MANAGERS, hand_over, 'owner.changed'),
    Try('leave', Action.LEAVE_CLIENT, leave, 'manager.left'),
    Try('create a key', Action.MANAGE_KEYS, create_key, 'key.created'),
    Try('rotate a key', Action.MANAGE_KEYS, rotate_key, 'key.rotated'),
    Try('revoke a key', Action.MANAGE_KEYS, revoke_key, 'key.revoked'),
    Try('acknowledge a model', Action.ACKNOWLEDGE, acknowledge, 'model.acknowledged'),
    Try('see revoked keys', Action.SEE_CLIENT, show_revoked, shows='an old key'),
    Try('see older history', Action.SEE_CLIENT, show_older, shows='created the client'),
)
assert PERSON.startswith(PERSON_NAME.lower())
