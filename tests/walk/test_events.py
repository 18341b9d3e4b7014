"""Every event of every page, sent straight over the socket by every role, against the one permission table."""

from __future__ import annotations

import asyncio
import re
from functools import partial
from typing import Any

import pytest

from lumen.identity.permissions import RULES, Role
from tests.walk.cast import PLAYERS, Player, Stage
from tests.walk.tab import Missing, NotOpened, Tab, name_of, opened
from tests.walk.test_listing import STEPS
from tests.walk.tries import TRIES, Try


async def attempt(stage: Stage, player: Player, what: Try) -> bool:
    """Whether it worked."""
    client_id = stage.client(player, active=what.active)
    cookie = stage.cookie(player)
    before = stage.newest()
    try:
        async with opened(stage.site.address, what.place.format(client=client_id), cookie) as tab:
            if player.loses:
                stage.take_away(player, client_id, cookie)
                before = stage.newest()
            said = len(tab.said)
            try:
                await what.do(tab)
            except Missing:
                return False
            return await outcome(stage, tab, what, before, said)
    except NotOpened:
        return False


async def outcome(stage: Stage, tab: Tab, what: Try, before: int, said: int) -> bool:
    """Wait until the server has said yes or no."""
    for _ in range(500):
        if what.audited and any(action == what.audited for _, action, _ in stage.audited(before)):
            return True
        if what.shows and what.shows in tab.text_since(said):
            return True
        if tab.was_refused:
            return False
        await asyncio.sleep(0.02)
    raise AssertionError(f'{what.name}: no answer; {tab.said[said:]}')


def may(player: Player, what: Try) -> bool:
    role = player.any_role if what.place == '/clients' else player.role
    if role is None or role not in RULES[what.action]:
        return False
    # An admin who is no manager has nothing to leave.
    return not (what.name == 'leave' and player.role is Role.ADMIN)


@pytest.mark.parametrize('player', PLAYERS, ids=lambda player: player.name)
async def test_an_event_does_what_the_table_allows_and_nothing_else(stage: Stage, player: Player):
    before = stage.newest()
    worked = {what.name: await attempt(stage, player, what) for what in TRIES}
    assert worked == {what.name: may(player, what) for what in TRIES}
    # Whatever came late, or by another way, is in the audit as well.
    done = {action for actor, action, _ in stage.audited(before) if actor == player.email}
    assert done <= {what.audited for what in TRIES if may(player, what)} | {'user.created'}


# What every page has: the frame, and what NiceGUI puts there itself. None of it changes anything on the server.
FRAME = {
    'click Skip to content',
    'sub_pages_navigate q-layout',
    'sub_pages_open q-layout',
    'update:modelValue nicegui-header',
    'update:modelValue q-footer',
    'update:modelValue q-menu',
    'update:value nicegui-dark_mode',
}
# What every dialog has, besides its form.
DIALOG = {'click Cancel', 'hide dialog', 'update:modelValue dialog'}
CHOICE = {
    'popupShow choice',
    'popupHide choice',
    'update:modelValue choice',
    'update:value Works until the end of',
    'input div',
}

# Every other listener, by what a person would call it: the try that covers it. What a click only opens is covered by
# the try that goes on from there. How the Clients page is asked for other rows is tried in `test_listing.py`.
CLIENTS = {
    'click + New Client': 'create a client',
    'update:value Name': 'create a client',
    'submit form': 'create a client',
    'update:value Search by name': 'search the clients',
}
LISTING = {f'{kind} {name or tag}' for kind, name, tag, *_ in STEPS}
CLIENT = {
    'click Rename': 'rename',
    'click Deactivate': 'deactivate',
    'click Activate': 'activate',
    'click Add manager': 'add a manager',
    'click Remove PERSON': 'remove a manager',
    'click Make PERSON the owner': 'hand over',
    'click Leave PERSON': 'leave',
    'click New key': 'create a key',
    'click Rotate KEY': 'rotate a key',
    'click Revoke KEY': 'revoke a key',
    'click Acknowledge MODEL': 'acknowledge a model',
    'update:modelValue Show revoked': 'see revoked keys',
    'click Show older': 'see older history',
}
DIALOGS = {
    'Rename': {'submit form', 'update:value Name'},
    'Deactivate': {'submit form'},
    'Activate': {'submit form'},
    'Add manager': {
        'submit form',
        'update:value Name or e-mail address',
        'keydown Name or e-mail address',
        'focus Name or e-mail address',
        'mousedown option',
        'update:modelValue Owner: may also change managers, hand over, and deactivate the client',
    },
    'Remove PERSON': {'submit form'},
    'Make PERSON the owner': {'submit form'},
    'Leave PERSON': {'submit form'},
    'New key': {'submit form', 'update:value Name', *CHOICE},
    'Rotate KEY': {'submit form', *CHOICE},
    'Revoke KEY': {'submit form'},
    'Acknowledge MODEL': {'submit form'},
}


def called(listener: dict[str, Any], element: dict[str, Any]) -> str:
    """The name of a listener, with what differs from page to page taken out."""
    name = name_of(element)
    if element['tag'] in ('q-dialog', 'nicegui-dialog'):
        name = 'dialog'
    elif element['tag'] == 'q-menu':
        name = 'q-menu'
    elif element['tag'] == 'nicegui-select':
        name = 'choice'
    elif (element.get('props') or {}).get('role') == 'option':
        name = 'option'
    for stands_for, pattern in (
        ('PERSON', r'\b(Owner|Manager|Person|Removed|Left|Ada Lovelace)\b(?= the owner|$)'),
        ('KEY', 'the key|an old key'),
        ('MODEL', 'echo|careful|secretive'),
    ):
        name = re.sub(pattern, stands_for, name)
    return f'{listener["type"]} {name or element["tag"]}'


def events_of(tab: Tab, *, without: set[str] = frozenset()) -> set[str]:
    return {called(listener, element) for identity, element, listener in tab.listeners() if identity not in without}


async def test_every_event_of_a_page_is_known(stage: Stage):
    player = next(player for player in PLAYERS if player.role is Role.ADMIN)
    assert set(CLIENTS.values()) | set(CLIENT.values()) <= {what.name for what in TRIES}
    async with opened(stage.site.address, '/clients', stage.cookie(player)) as tab:
        assert events_of(tab) == FRAME | DIALOG - {'hide dialog'} | CLIENTS.keys() | LISTING
    for path in ('/help', '/help/clients', '/help/configuring-clients', '/help/api', '/help/coins'):
        async with opened(stage.site.address, path, stage.cookie(player)) as tab:
            assert events_of(tab) == FRAME
    async with opened(stage.site.address, '/sign-in', None) as tab:
        assert events_of(tab) == FRAME - {'update:modelValue q-menu'}


async def test_every_event_of_a_clients_page_and_its_dialogs_is_known(stage: Stage):
    found, dialogs = set(), {}
    for player in (player for player in PLAYERS if player.role in (Role.MANAGER, Role.ADMIN) and not player.loses):
        async with opened(stage.site.address, f'/clients/{stage.client(player)}', stage.cookie(player)) as tab:
            found |= events_of(tab)
            for identity, listener, name in openers(tab):
                dialogs.setdefault(name, set()).update(await events_of_dialog(tab, identity, listener))
    assert found == FRAME | CLIENT.keys()
    # *Activate* is only seen on the page of a deactivated client; its dialog is made by the code of *Deactivate*.
    assert dialogs == {name: events | DIALOG for name, events in DIALOGS.items() if name != 'Activate'}


def openers(tab: Tab) -> list[tuple[str, dict[str, Any], str]]:
    """The buttons of a client's page that open a dialog."""
    return [
        (identity, listener, called(listener, element).removeprefix('click '))
        for identity, element, listener in tab.listeners()
        if listener['type'] == 'click'
        and 'hidden' not in (element.get('class') or ())
        and name_of(element) not in ('Skip to content', 'Show older')
    ]


async def events_of_dialog(tab: Tab, identity: str, listener: dict[str, Any]) -> set[str]:
    """Those of the dialog that an event opens, with people found when it searches for some."""
    before = set(tab.elements)
    await tab.send(identity, listener)
    await tab.patiently(lambda: tab.find('submit', tag='form', without=before))
    if 'update:value Name or e-mail address' in events_of(tab, without=before):
        await tab.fire('update:value', 'Name or e-mail address', 'walk')
        await tab.patiently(lambda: tab.find('mousedown'))
    found = events_of(tab, without=before)
    await tab.fire('click', 'Cancel')  # or the page would open no other
    return found


async def test_the_dialog_with_a_new_key_only_copies_and_closes(stage: Stage):
    player = next(player for player in PLAYERS if player.role is Role.OWNER)
    async with opened(stage.site.address, f'/clients/{stage.client(player)}', stage.cookie(player)) as tab:
        await tab.fire('click', 'New key')
        await tab.fire('update:value', 'Name', 'nightly')
        before = set(tab.elements)
        await tab.fire('submit', tag='form')
        await tab.patiently(lambda: tab.find('click', 'I have stored the key'))
        shown = {event for event in events_of(tab, without=before) if not event.endswith('nightly')}
        copies = {'click Copy API key', 'click Copy curl', 'click Copy Python'}
        assert shown == copies | {'click I have stored KEY', 'hide dialog', 'update:modelValue dialog'}


GARBAGE = (
    (),
    (None,),
    ('x' * 3_500,),
    (-1,),
    (10**400,),
    (True, False),
    ({'value': 99, ':onclick': 'alert(1)', '__proto__': {}},),
    ([[[[]]]],),
    ('\x00\ud800\u202e<img src=x onerror=alert(1)>',),
)


@pytest.mark.parametrize('place', ['/clients', '/clients/{client}'])
@pytest.mark.usefixtures('unbroken')
async def test_forged_arguments_change_nothing_and_break_nothing(stage: Stage, place: str):
    """Every listener with nonsense for arguments, dialogs included, but the forms: they do what they are there for."""
    player = next(player for player in PLAYERS if player.role is Role.ADMIN)
    client_id = stage.client(player)
    before = stage.newest()
    async with opened(stage.site.address, place.format(client=client_id), stage.cookie(player)) as tab:
        if place == '/clients':
            buttons = [tab.find('click', '+ New Client')]
        else:
            buttons = [(identity, listener) for identity, listener, _ in openers(tab)]
        for identity, listener in buttons:
            seen = set() if place == '/clients' else set(tab.elements)
            for arguments in GARBAGE:
                await tab.send(identity, listener, *arguments)
            cancel, closes = await tab.patiently(partial(tab.find, 'click', 'Cancel', without=seen))
            for arguments in GARBAGE:  # or the page would open no other
                await tab.send(cancel, closes, *arguments)
        opening = {identity for identity, _ in buttons}
        listeners = [
            (identity, listener)
            for identity, _, listener in tab.listeners()
            if listener['type'] != 'submit' and identity not in opening
        ]
        for identity, listener in listeners:
            for arguments in GARBAGE:
                await tab.send(identity, listener, *arguments)
        for identity, listener in (('0', {'listener_id': 'no such listener'}), ('999999', listeners[0][1])):
            await tab.send(identity, listener)
        await tab.socket.emit('event', {'client_id': tab.client_id})
        await tab.socket.emit('event', 'nonsense')
        await tab.socket.emit('javascript_response', {'client_id': tab.client_id, 'request_id': 'x', 'result': 1})
        await tab.taken_up()
    assert stage.audited(before) == []
    # A page that is opened now works as it did.
    create = next(what for what in TRIES if what.name == 'create a key')
    assert await attempt(stage, player, create)


async def test_a_page_of_somebody_else_is_not_reached_through_ones_own(stage: Stage):
    """An event names the page that it is for: a number that nobody can guess, and one's own does not do."""
    admin = next(player for player in PLAYERS if player.role is Role.ADMIN)
    user = next(player for player in PLAYERS if player.role is Role.USER)
    client_id = stage.client(admin)
    before = stage.newest()
    async with (
        opened(stage.site.address, f'/clients/{client_id}', stage.cookie(admin)) as theirs,
        opened(stage.site.address, '/help', stage.cookie(user)) as mine,
    ):
        identity, listener = theirs.find('click', 'New key')
        await mine.send(identity, listener)
        dialog = await asyncio.gather(
            theirs.patiently(lambda: theirs.find('submit', tag='form'), seconds=0.5), return_exceptions=True
        )
        assert isinstance(dialog[0], Missing)
    assert stage.audited(before) == []
