"""Every page and endpoint, asked for by every role, against the one permission table."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest
from nicegui import Client, app

import lumen_ui.app  # noqa: F401 - importing it registers the pages
from lumen.identity.permissions import RULES, Action
from lumen.identity.sessions import COOKIE
from tests.walk.cast import PLAYERS, Player, Stage

SIGNED_IN, ANYBODY = 'whoever is signed in', 'anybody'

# Every page: the action of the permission table that opens it, and what those get who may not.
PAGES: dict[str, tuple[Action | str, int]] = {
    '/': (SIGNED_IN, 303),
    '/sign-in': (ANYBODY, 200),
    '/clients': (Action.OPEN_CLIENTS, 403),
    '/clients/{identifier}': (Action.SEE_CLIENT, 404),
    '/help': (SIGNED_IN, 303),
    '/help/{topic}': (SIGNED_IN, 303),
}
# Every other address that the pages' app answers, and why anybody may ask.
ENDPOINTS = {
    'POST /sign-in/dev': 'makes a session, on this machine and from this site only',
    'POST /sign-out': 'ends the session that its cookie names, from this site only',
}
# What NiceGUI answers itself: scripts, styles, fonts, and the socket, whose events tests/walk/test_events.py walks.
OF_NICEGUI = ('/_nicegui/', '/_nicegui_ws', '/static', '/favicon')


def address(page: str, client_id: int) -> str:
    return page.format(identifier=client_id, topic='coins')


@pytest.fixture(scope='module')
def client_id(stage: Stage) -> int:
    return stage.client(next(player for player in PLAYERS if player.name == 'admin'))


def ask(stage: Stage, path: str, player: Player) -> httpx2.Response:
    cookie = stage.cookie(player)
    return httpx2.get(stage.site.address + path, headers={'cookie': f'{COOKIE}={cookie}'} if cookie else {})


def expected(page: str, player: Player) -> int:
    """The status of an answer. Nobody is told to sign in, whoever may not is refused."""
    action, refusal = PAGES[page]
    if action == ANYBODY:
        return 200 if player.role is None else 303  # whoever is signed in is led on
    if player.role is None:
        return 303
    if action == SIGNED_IN:
        return 303 if page == '/' else 200
    role = player.role if '{' in page else player.any_role
    return 200 if role in RULES[Action(action)] else refusal


@pytest.mark.parametrize('player', [one for one in PLAYERS if not one.loses], ids=lambda player: player.name)
@pytest.mark.parametrize('page', PAGES)
def test_a_page_opens_for_those_whom_the_table_allows(stage: Stage, client_id: int, page: str, player: Player):
    answer = ask(stage, address(page, client_id), player)
    assert answer.status_code == expected(page, player)
    if answer.status_code == 303 and player.role is None:
        assert answer.headers['location'].startswith('/sign-in')
    if answer.status_code in (403, 404):
        assert 'the key' not in answer.text
        assert 'Person' not in answer.text


def test_every_page_is_in_the_table():
    assert set(Client.page_routes.values()) == set(PAGES)


def test_every_endpoint_is_known():
    found = {
        f'{method} {route.path}'
        for route in _routes(app.routes)
        if not route.path.startswith(OF_NICEGUI) and route.path not in PAGES
        for method in (getattr(route, 'methods', None) or {'MOUNT'})
        if method != 'HEAD'
    }
    assert found == set(ENDPOINTS)


def test_pages_answer_to_nothing_but_get(stage: Stage, client_id: int):
    admin = next(player for player in PLAYERS if player.name == 'admin')
    before = stage.newest()
    for page in PAGES:
        for method in ('POST', 'PUT', 'PATCH', 'DELETE'):
            answer = httpx2.request(
                method,
                stage.site.address + address(page, client_id),
                headers={'cookie': f'{COOKIE}={stage.cookie(admin)}', 'sec-fetch-site': 'same-origin'},
            )
            assert answer.status_code in (404, 405)
    assert {action for actor, action, _ in stage.audited(before) if actor == admin.email} == set()


def _routes(routes: Any) -> list[Any]:
    return [route for route in routes if hasattr(route, 'path')]
