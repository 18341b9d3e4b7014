"""Every route below `/v1`, asked by every kind of caller, against one table; keys open no page, sessions no route."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest

import models
from lumen.gateway.operations import ROUTES
from lumen.identity import keys, revisions
from lumen.identity.rotation import rotate_key
from lumen.identity.sessions import COOKIE
from lumen.records import clients
from tests.lumen_ui.pages.client.site import ADA, CONFIGURATION, KEY_SECRET, Site
from tests.walk.test_pages import PAGES, address

OK, NO_KEY = (200, ''), (401, 'invalid_api_key')
DEACTIVATED, NO_BUDGET = (403, 'account_deactivated'), (403, 'no_budget')
NOT_FOUND, NOT_ACKNOWLEDGED = (404, 'model_not_found'), (403, 'acknowledgement_required')
TOKEN = 'watch-' + 't' * 40
HOUR_US = 3_600_000_000

LIST, ONE = 'GET /v1/models', 'GET /v1/models/{id}'
MESSAGES = {'messages': [{'role': 'user', 'content': 'hello'}], 'max_tokens': 5}
FORM: dict[str, Any] = {'file': b'x' * 1000}
CALLS: dict[str, dict[str, Any]] = {
    'POST /v1/audio/transcriptions': FORM,
    'POST /v1/audio/translations': FORM,
    'POST /v1/chat/completions': MESSAGES,
    'POST /v1/completions': {'prompt': 'hello', 'max_tokens': 5},
    'POST /v1/embeddings': {'input': 'hello'},
    'POST /v1/messages': MESSAGES,
    'POST /v1/messages/count_tokens': MESSAGES,
    'POST /v1/rerank': {'query': 'hello', 'documents': ['hello']},
    'POST /v1/responses': {'input': 'hello', 'max_output_tokens': 16},
}


def everywhere(answer: tuple[int, str]) -> dict[str, tuple[int, str]]:
    return dict.fromkeys((LIST, ONE, *CALLS), answer)


def calls(answer: tuple[int, str], *, one: tuple[int, str] = OK) -> dict[str, tuple[int, str]]:
    """What is answered so to every call, and may be listed."""
    return dict.fromkeys(CALLS, answer) | {LIST: OK, ONE: one}


# Every kind of caller, with what each route answers: status and code.
CALLERS: dict[str, dict[str, tuple[int, str]]] = {
    'no key': everywhere(NO_KEY),
    "an admin's session without a key": everywhere(NO_KEY),
    'a malformed key': everywhere(NO_KEY),
    'an unknown key': everywhere(NO_KEY),
    'a revoked key': everywhere(NO_KEY),
    'an expired key': everywhere(NO_KEY),
    'two keys': everywhere(NO_KEY),
    'a key of a deactivated client': everywhere(DEACTIVATED),
    'a key of a client without budget': calls(NO_BUDGET),
    'a key whose model is blocked': calls(NOT_FOUND, one=NOT_FOUND),
    'a key whose model needs acknowledgement': calls(NOT_ACKNOWLEDGED),
    'a good key': everywhere(OK),
    'a good key as x-api-key': everywhere(OK),
    'an old key within its grace': everywhere(OK),
    'an old key after its grace': everywhere(NO_KEY),
    'the monitoring token': calls(NO_KEY),
    'a monitoring token that is none': everywhere(NO_KEY),
}


@dataclass(frozen=True)
class Caller:
    headers: list[tuple[str, str]]
    model: str = 'echo'


class Cast:
    """A site with its gateway, and one caller of each kind."""

    def __init__(self, site: Site):
        self.site = site
        self.client_id = site.client('good')
        self.good = site.key(self.client_id).key
        self._session = site.sign_in(ADA)
        site.client('penniless')
        self.callers = {name: self._make(name) for name in CALLERS}
        # What was changed beside the gateway, past the actions that would say so.
        site.write(revisions.bump, revisions.KEYS)

    @property
    def cookie(self) -> str:
        return f'{COOKIE}={self._session}'

    def _make(self, name: str) -> Caller:
        make: dict[str, Callable[[], list[tuple[str, str]]]] = {
            'no key': list,
            "an admin's session without a key": lambda: [('cookie', self.cookie)],
            'a malformed key': lambda: bearer(self.good[:-1]),
            'an unknown key': lambda: bearer(keys._new_key()),
            'a revoked key': self._revoked,
            'an expired key': lambda: bearer(self._ended(self.site.key(self.client_id, 'expired'))),
            'two keys': lambda: bearer(self.good) * 2,
            'a key of a deactivated client': self._deactivated,
            'a key of a client without budget': self._penniless,
            'a good key as x-api-key': lambda: [('x-api-key', self.good)],
            'an old key within its grace': lambda: bearer(self._rotated('within').key),
            'the monitoring token': lambda: bearer(TOKEN),
            'a monitoring token that is none': lambda: bearer(TOKEN[:-1]),
            'an old key after its grace': lambda: bearer(self._ended(self._rotated('after'))),
        }
        model = {'a key whose model is blocked': 'secretive', 'a key whose model needs acknowledgement': 'careful'}
        return Caller(make.get(name, lambda: bearer(self.good))(), model.get(name, 'echo'))

    def _revoked(self) -> list[tuple[str, str]]:
        new = self.site.key(self.client_id, 'revoked')
        self.site.act(keys.revoke_key, new.id)
        return bearer(new.key)

    def _deactivated(self) -> list[tuple[str, str]]:
        client_id = self.site.client('gone')
        new = self.site.key(client_id)
        self.site.act(clients.set_active, client_id, False)
        return bearer(new.key)

    def _penniless(self) -> list[tuple[str, str]]:
        found = self.site.write(lambda: models.Account.get(models.Account.name == 'penniless').id)
        return bearer(self.site.key(found).key)

    def _rotated(self, name: str) -> keys.NewKey:
        old = self.site.key(self.client_id, name)
        until = time.time_ns() // 1000 + HOUR_US
        self.site.act(rotate_key, old.id, expires_at=None, works_until=until, secret=KEY_SECRET.encode())
        return old

    def _ended(self, new: keys.NewKey) -> str:
        """The key, whose time has passed."""
        self.site.write(lambda: models.ApiKey.update(expires_at=1).where(models.ApiKey.id == new.id).execute())
        return new.key


def bearer(key: str) -> list[tuple[str, str]]:
    return [('authorization', f'Bearer {key}')]


@pytest.fixture(scope='module')
def cast(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cast]:
    watched = CONFIGURATION + f'api: {{monitoring: {{token: {TOKEN}}}}}\n'
    poor = watched.replace('penniless: {max: 0}', 'penniless: {max: 0, model_access: {allowed: [echo]}}')
    site = Site(tmp_path_factory.mktemp('v1'), poor, role='all')
    yield Cast(site)
    site.stop()


def ask(cast: Cast, route: str, caller: Caller, method: str = '') -> httpx2.Response:
    usual, path = route.split()
    body, more = CALLS.get(route), dict[str, Any]()
    if body is FORM:
        more = {'data': {'model': caller.model}, 'files': {'file': ('a.mp3', body['file'])}}
    elif body is not None:
        more = {'json': body | {'model': caller.model}}
    address = cast.site.address + path.format(id=caller.model)
    return httpx2.request(method or usual, address, headers=caller.headers, **more)


def said(answer: httpx2.Response) -> tuple[int, str]:
    """Status and code of an answer that has an id and the shape of its API."""
    assert answer.headers['x-request-id'].startswith('req_')
    assert 'set-cookie' not in answer.headers
    if answer.status_code == 200:
        return OK
    error = answer.json()['error']
    is_anthropics = answer.json().get('type') == 'error'
    assert is_anthropics == (answer.request.url.path.startswith('/v1/messages') and error['code'] != 'unknown_url')
    assert set(error) == {'message', 'type', 'code'} | (set() if is_anthropics else {'param'})
    return answer.status_code, error['code']


def test_every_route_is_in_the_table():
    found = [f'{route.method} {route.path}' for route in ROUTES]
    assert len(found) == len(set(found))
    for name, answers in CALLERS.items():
        assert set(answers) == set(found), name


@pytest.mark.parametrize('route', [f'{route.method} {route.path}' for route in ROUTES])
@pytest.mark.parametrize('name', CALLERS)
def test_a_route_answers_a_caller_as_the_table_says(cast: Cast, name: str, route: str):
    answer = ask(cast, route, cast.callers[name])
    assert said(answer) == CALLERS[name][route]
    if route == LIST and answer.status_code == 200:
        found = {model['id'] for model in answer.json()['data']}
        assert found == {'echo', 'careful'} | ({'secretive'} if name == 'the monitoring token' else set())


@pytest.mark.parametrize('route', [f'{route.method} {route.path}' for route in ROUTES])
def test_a_route_answers_to_no_other_method_and_a_session_changes_nothing(cast: Cast, route: str):
    for method in {'GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'} - {route.split()[0]}:
        for name in ('a good key', "an admin's session without a key", 'no key'):
            assert said(ask(cast, route, cast.callers[name], method)) == (405, 'method_not_allowed')


@pytest.mark.parametrize('name', ['no key', 'a good key', "an admin's session without a key"])
@pytest.mark.parametrize('path', ['/v1', '/v1/', '/v1/files', '/v1/chat', '/v1/models/', '/v1//models'])
def test_where_no_route_is_nothing_is_found(cast: Cast, path: str, name: str):
    answer = httpx2.get(cast.site.address + path, headers=cast.callers[name].headers)
    expected = {(404, 'unknown_url')} if path != '/v1/models/' else {NO_KEY, NOT_FOUND}
    assert said(answer) in expected


def test_the_session_of_an_admin_adds_nothing_to_a_key(cast: Cast):
    for name in ('a good key', 'a revoked key', 'a key whose model is blocked'):
        caller = cast.callers[name]
        both = Caller([*caller.headers, ('cookie', cast.cookie)], caller.model)
        for route, answer in CALLERS[name].items():
            assert said(ask(cast, route, both)) == answer


@pytest.mark.parametrize('page', PAGES)
def test_a_key_opens_no_page(cast: Cast, page: str):
    for headers in ([], bearer(cast.good), [('x-api-key', cast.good)], [('cookie', f'{COOKIE}={cast.good}')]):
        answer = httpx2.get(cast.site.address + address(page, cast.client_id), headers=headers)
        assert answer.status_code == (200 if page == '/sign-in' else 303)
        assert page == '/sign-in' or answer.headers['location'].startswith('/sign-in')


def handshake(site: Site, path: str) -> bytes:
    parts = urlsplit(site.address)
    lines = (
        f'GET {path} HTTP/1.1\r\nhost: {parts.netloc}\r\nupgrade: websocket\r\nconnection: Upgrade\r\n'
        f'sec-websocket-version: 13\r\nsec-websocket-key: {"A" * 22}==\r\n\r\n'
    )
    with socket.create_connection((parts.hostname, parts.port), timeout=20) as connection:
        connection.sendall(lines.encode())
        with connection.makefile('rb') as answer:
            return answer.read()


@pytest.mark.parametrize('path', ['/v1', '/v1/realtime', '/v1/models'])
def test_a_websocket_below_v1_is_refused_in_the_shape_of_the_api(cast: Cast, path: str):
    head, _, body = handshake(cast.site, path).partition(b'\r\n\r\n')
    assert head.startswith(b'HTTP/1.1 404 ')
    assert b'x-request-id: req_' in head.lower()
    assert b'"code": "unknown_url"' in body


def test_a_process_that_serves_pages_only_says_so_in_the_shape_of_the_api(tmp_path_factory: pytest.TempPathFactory):
    site = Site(tmp_path_factory.mktemp('pages'), role='ui')
    try:
        for route in ROUTES:
            for path in (route.path.format(id='echo'), '/v1'):
                answer = httpx2.request(route.method, site.address + path)
                assert said(answer) == (404, 'unknown_url')
        assert b'"code": "unknown_url"' in handshake(site, '/v1/realtime')
    finally:
        site.stop()
