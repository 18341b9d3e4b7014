"""The Clients page shows everybody the clients that they may see and no others, whatever they ask it for over the
socket: as the page does, and with what no page would send.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

import models
from lumen.identity.permissions import RULES, Action, Role
from lumen.records import managers
from lumen.records.client_list import PAGE_SIZE
from tests.walk.cast import DEMOTED, DISMISSED, GONE, LEFT, MANAGER, OTHER, OWNER, PLAYERS, REMOVED, Player, Stage
from tests.walk.tab import Missing, NotOpened, Tab, opened

ROWS = re.compile(r'"setGridOption","rowData",(\[.*\])\]\)$', re.DOTALL)
ASKS_FOR_ORDER = 'getColumnState'
NEW_ORDER = [{'colId': 'managers', 'sort': None}, {'colId': 'name', 'sort': 'desc'}]

Shows = Callable[[list[tuple[str, bool]]], list[str]]


def every(clients: list[tuple[str, bool]], wanted: str = '', *, page: int = 0, last: bool = False) -> list[str]:
    """The names on a page of those that are called like `wanted`, backwards."""
    found = sorted((name for name, _ in clients if wanted in name), reverse=True)
    page = (len(found) - 1) // PAGE_SIZE if last else page
    return found[page * PAGE_SIZE :][:PAGE_SIZE]


# What is sent, in this order, and what is to be seen then. The first one turns the order around.
STEPS: tuple[tuple[str, str, str, tuple[Any, ...], Shows], ...] = (
    ('sortChanged', '', 'nicegui-aggrid', (), every),
    ('click', 'Next page', '', (), lambda clients: every(clients, page=1)),
    ('click', 'Previous page', '', (), every),
    ('click', 'Last page', '', (), lambda clients: every(clients, last=True)),
    ('click', 'First page', '', (), every),
    ('update:modelValue', '', 'q-btn-toggle', (1,), lambda clients: every([one for one in clients if one[1]])),
    ('update:modelValue', '', 'q-btn-toggle', (2,), lambda clients: every([one for one in clients if not one[1]])),
    ('update:value', 'Search by name', '', ('nothing is called so',), lambda clients: []),
    ('click', 'Show all clients', '', (), every),
    ('lumenAddress', '', 'q-layout', ('?q=s+00&dir=desc',), lambda clients: every(clients, 's 00')),
    ('lumenAddress', '', 'q-layout', ('?dir=desc&page=2',), lambda clients: every(clients, page=1)),
)


@pytest.fixture(scope='module')
def crowd(stage: Stage) -> Stage:
    """More clients than a page of the table holds, for those who manage some, and for others."""
    stage.crowd('ours', PAGE_SIZE + 5, OWNER, MANAGER, DEMOTED, REMOVED, LEFT, DISMISSED)
    stage.crowd('theirs', PAGE_SIZE + 5, OTHER, GONE)
    return stage


def visible(stage: Stage, player: Player) -> list[tuple[str, bool]]:
    """Name and state of the clients that they may see now."""
    return [(name, active) for name, active, emails in everything(stage) if _sees(player, emails)]


def _sees(player: Player, emails: set[str]) -> bool:
    return player.any_role is Role.ADMIN or player.email in emails


def everything(stage: Stage) -> list[tuple[str, bool, set[str]]]:
    return stage.site.database.read_now(_everything)


def _everything() -> list[tuple[str, bool, set[str]]]:
    emails: dict[int, set[str]] = {}
    for link in models.Manager.select(models.Manager, models.Account).join(
        models.Account, on=models.Manager.user == models.Account.id
    ):
        emails.setdefault(link.client_id, set()).add(link.user.email)
    clients = models.Account.select().where(models.Account.kind == models.CLIENT)
    return [(client.name, client.active, emails.get(client.id, set())) for client in clients]


def rows(tab: Tab) -> list[str]:
    """The names in the table."""
    for kind, data in reversed(tab.said):
        if kind == 'run_javascript' and (newest := ROWS.search(data['code'])):
            return [row['name'] for row in json.loads(newest[1])]
    grid = next(element for element in tab.elements.values() if element['tag'] == 'nicegui-aggrid')
    return [row['name'] for row in grid['props']['options']['rowData']]


def names_in(text: str, stage: Stage) -> set[str]:
    """Of every client that is named in what the server said."""
    names = sorted((name for name, _, _ in everything(stage)), key=len, reverse=True)
    return set(re.findall(rf'\b({"|".join(map(re.escape, names))})\b', text))


def number_of_clients(tab: Tab) -> str:
    """What the first of the cards says."""
    return next(element['text'] for element in tab.elements.values() if 'card-value' in (element.get('class') or ()))


async def seen(tab: Tab, names: list[str]) -> None:
    def look() -> None:
        if rows(tab) != names:
            raise Missing(f'{names[:3]}, but {rows(tab)[:3]}')

    await tab.patiently(look)


async def loaded(tab: Tab, ask: Callable[[], Awaitable[None]]) -> None:
    """Ask for something that makes the page read, and wait until it has."""
    before = len(_ends_of_loading(tab))
    await ask()

    def look() -> None:
        if len(_ends_of_loading(tab)) == before:
            raise Missing('the end of loading')

    await tab.patiently(look)


def _ends_of_loading(tab: Tab) -> list[Any]:
    return [
        element
        for kind, data in tab.said
        if kind == 'update'
        for element in data.values()
        if isinstance(element, dict)
        and (element.get('props') or {}).get('role') == 'progressbar'
        and 'hidden' in element['class']
    ]


async def ask_for_everything(stage: Stage, player: Player, tab: Tab) -> None:
    tab.answers[ASKS_FOR_ORDER] = [NEW_ORDER]
    clients = visible(stage, player)
    for kind, name, tag, arguments, shows in STEPS:
        await tab.fire(kind, name, *arguments, tag=tag)
        await seen(tab, shows(clients))
    assert number_of_clients(tab) == f'{len(clients):,}'


async def ask_in_vain(stage: Stage, tab: Tab, lose: Callable[[], None]) -> None:
    """Everything at once, of a page that was opened while its viewer still saw something."""
    tab.answers[ASKS_FOR_ORDER] = [NEW_ORDER]
    asked = [(*tab.find(kind, name, tag), arguments) for kind, name, tag, arguments, _ in STEPS]
    lose()
    said = len(tab.said)
    for identity, listener, arguments in asked:
        await tab.send(identity, listener, *arguments)

    def look() -> None:
        if not tab.was_refused:
            raise Missing('a refusal')

    await tab.patiently(look)
    assert not names_in(tab.text_since(said), stage)


@pytest.mark.parametrize('player', PLAYERS, ids=lambda player: player.name)
async def test_everybody_sees_their_clients_and_no_other_whatever_they_ask_for(crowd: Stage, player: Player):
    client_id, cookie = crowd.client(player), crowd.cookie(player)
    saw, worked = {name for name, _ in visible(crowd, player)}, False

    def lose() -> None:
        crowd.take_away(player, client_id, cookie)
        if player.loses == 'client':
            user_id = crowd.user_id(REMOVED)
            crowd.site.write(lambda: models.Manager.delete().where(models.Manager.user == user_id).execute())

    before = crowd.newest()
    try:
        async with opened(crowd.site.address, '/clients', cookie) as tab:
            if player.loses in ('client', 'session', 'account'):
                await ask_in_vain(crowd, tab, lose)
            else:
                lose()
                await ask_for_everything(crowd, player, tab)
                worked = True
            said = json.dumps(tab.elements) + tab.text_since(0)
            assert names_in(said, crowd) <= saw
    except NotOpened:
        pass
    assert worked == (player.any_role is not None and player.any_role in RULES[Action.OPEN_CLIENTS])
    assert not [who for who, _, _ in crowd.audited(before) if who == player.email]


async def test_a_client_that_was_taken_away_is_gone_at_the_next_question(crowd: Stage):
    player = next(player for player in PLAYERS if player.email == OTHER)
    client_id = crowd.site.client('zuletzt', managed_by=(OWNER, OTHER))
    async with opened(crowd.site.address, '/clients?sort=created_at&dir=desc', crowd.cookie(player)) as tab:
        assert rows(tab)[0] == 'zuletzt'
        crowd.site.act(managers.remove_manager, client_id, crowd.user_id(OTHER))
        tab.answers[ASKS_FOR_ORDER] = [NEW_ORDER]
        said = len(tab.said)
        await tab.fire('sortChanged', tag='nicegui-aggrid')
        await seen(tab, every(visible(crowd, player)))
        assert 'zuletzt' not in tab.text_since(said)


STATEMENTS = ("' OR 1=1 --", '%', '_', "ours 000'; DROP TABLE account; --", '" UNION SELECT name FROM account', '\\')
ADDRESSES: tuple[Any, ...] = (
    *(f'?q={text}' for text in STATEMENTS),
    '?page=-1',
    '?page=99999999',
    '?page=' + '9' * 5000,
    '?page=1e9&state=active',
    '?sort=manager&dir=desc',
    '?sort=handle); DROP TABLE account; --',
    '?state=everything&managers=all&visible_to=1',
    '?q=%00%ff&q=theirs',
    'theirs',
    '?' + 'q=theirs&' * 3000,
    {'q': 'theirs'},
    ['?q=theirs'],
    None,
    7,
)
ORDERS: tuple[Any, ...] = (
    None,
    7,
    'name',
    [None],
    ['name'],
    {'colId': 'name', 'sort': 'asc'},
    [{'sort': 'asc'}],
    [{'colId': 'name', 'sort': 'asc; DROP TABLE account'}],
    [{'colId': 'no such column', 'sort': 'asc'}],
    [{'colId': "name' OR 1=1 --", 'sort': 'desc'}],
    [{'colId': ['name'], 'sort': 'desc'}],
    [{'colId': 'name', 'sort': True}],
)
STATES: tuple[Any, ...] = (-1, 3, 10**12, 1.5, True, None, 'all', '1', [1], {'value': 1})
SEARCHES: tuple[Any, ...] = (None, 7, True, ['theirs'], {'value': 'theirs'})


def manager() -> Player:
    return next(player for player in PLAYERS if player.name == 'manager')


@pytest.mark.usefixtures('unbroken')
async def test_forged_questions_show_no_other_clients_and_break_nothing(crowd: Stage):
    player = manager()
    before, own = crowd.newest(), visible(crowd, player)
    async with opened(crowd.site.address, '/clients?dir=desc', crowd.cookie(player)) as tab:
        for statement in STATEMENTS:
            for text in ('ours 100', statement):
                await tab.fire('update:value', 'Search by name', text)
                await seen(tab, every(own, text))
        for address in ADDRESSES:
            await loaded(tab, lambda: tab.fire('lumenAddress', '', address))  # noqa: B023
        tab.answers[ASKS_FOR_ORDER] = list(ORDERS)
        for _ in ORDERS:
            await tab.fire('sortChanged', '', {'colId': 'name'}, tag='nicegui-aggrid')
        for state in STATES:
            await tab.fire('update:modelValue', '', state, tag='q-btn-toggle')
        for search in SEARCHES:
            await tab.fire('update:value', 'Search by name', search)
        for name in ('Next page', 'Previous page', 'Last page', 'First page', 'Show all clients'):
            for argument in (-1, 10**12, 'theirs', {'page': 10**12}, [None]):
                await tab.fire('click', name, argument)
        await tab.fire('update:value', 'Search by name', 'ours 100')
        await seen(tab, ['ours 100'])
        assert not tab.answers[ASKS_FOR_ORDER]  # it asked each time
        assert names_in(json.dumps(tab.elements) + tab.text_since(0), crowd) <= {name for name, _ in own}
    assert crowd.audited(before) == []
