"""Every fault of a file is named, nothing else is, and no message tells a secret."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from lumen.config.reading import read_text
from lumen.errors import ConfigurationError

SECRET = 'Zt7qLwN3sB6yH1cF5dJ0'

Place = tuple[str | int, ...]


def model(number: int) -> dict[str, Any]:
    return {
        'name': f'm{number}',
        'access': 'allowed',
        'needs_ack': True,
        'ack_message': 'Mind the data.',
        'disabled': False,
        'input_cost_per_million': '1.5',
        'output_cost_per_million': '2',
        'description': 'A model',
        'context_window': 1000,
        'max_output_tokens': 100,
        'max_image_tokens': 100,
        'endpoints': [
            {
                'url': 'http://127.0.0.1:1/v1',
                'api_key': 'abc',
                'model': 'upstream/m',
                'continuous_usage': True,
                'connect_timeout_seconds': 1,
                'idle_timeout_seconds': 2.5,
            }
        ],
    }


def entry() -> dict[str, Any]:
    access = {'default': 'allowed', 'allowed': ['m0'], 'blocked': ['m1']}
    return {'groups': ['one', 'two'], 'max': '-2', 'refresh': '0.5', 'starting': '3', 'model_access': access}


GOOD: dict[str, Any] = {
    'version': 2,
    'app': {
        'name': 'Lumen',
        'tagline': 'One address',
        'url': 'https://lumen.example.org',
        'secret_key': 's' * 40,
        'encryption_key': 'e' * 40,
        'database': {'url': 'sqlite:///lumen.db'},
        'announcement': 'Welcome',
        'support_email': 'help@example.org',
        'github_url': 'https://github.example.org',
        'feature_url': 'https://github.example.org/new',
        'institution': 'Example University',
        'institution_url': 'https://example.org',
        'footer_links': [{'label': 'Partners', 'url': 'https://partners.example.org'}],
        'theme': 'dark',
        'trusted_proxies': ['10.0.0.1'],
    },
    'login': {
        'dev_users': [{'email': 'a@x.org', 'name': 'Ada'}],
        'oauth2': {
            'client_id': 'id',
            'client_secret': 'abc',
            'server_metadata_url': 'https://id.example.org',
            'redirect_uri': 'https://lumen.example.org/back',
            'scopes': 'openid',
            'params': {'prompt': 'login'},
            'allow_unverified_email': False,
        },
    },
    'admins': ['a@x.org'],
    'defaults': {
        'models': {'access': 'blocked', 'ack_message': 'Mind.'},
        'tokens': {'max': '1', 'refresh': '1', 'starting': '1'},
    },
    'models': [model(number) for number in range(3)],
    'groups': {
        name: {
            'rules': [{'field': 'f', 'contains': 'c'}, {'field': 'f', 'equals': 'e'}],
            'max': '1',
            'refresh': '1',
            'starting': '1',
            'model_access': {'default': 'blocked', 'allowed': ['m0'], 'blocked': ['m1']},
        }
        for name in ('one', 'two')
    },
    'users': {f'{name}@x.org': entry() for name in ('a', 'b')},
    'clients': {name: entry() for name in ('bot', 'robot')},
    'rate_limiting': {'limit': '30 per minute', 'storage_url': 'redis://127.0.0.1'},
    'budget': {'wait_seconds': 30},
    'api': {
        'consent': True,
        'max_body_mb': 32,
        'monitoring': {'token': 'abc'},
        'prometheus': {'enabled': True, 'token': 'abc'},
    },
}


def faults(text: str) -> list[str]:
    try:
        read_text(text, {})
    except ConfigurationError as error:
        return error.message.splitlines()
    return []


def written(data: Any) -> str:
    return str(yaml.safe_dump(data, sort_keys=False, allow_unicode=False, width=10_000))


def places(data: Any, around: Place = ()) -> Iterator[Place]:
    """Where every single value is."""
    if isinstance(data, dict | list):
        for key, value in data.items() if isinstance(data, dict) else enumerate(data):
            yield from places(value, (*around, key))
    else:
        yield around


def section(data: Any, place: Place) -> Any:
    for part in place:
        data = data[part]
    return data


def dotted(place: Place) -> str:
    return ''.join(f'[{part}]' if isinstance(part, int) else f'.{part}' for part in place).removeprefix('.')


def alone(place: Place, value: str) -> str:
    """A file that has `value`, as it is written there, in this place and nothing else."""
    data: Any = 'PLACE'
    for part in reversed(place):
        data = [data] if isinstance(part, int) else {part: data}
    return written(data).replace('PLACE', value)


LEAVES = list(places(GOOD))
SECRETS = [
    place
    for place in LEAVES
    if place[:2] not in (('models', 1), ('models', 2))
    if place[-1] in ('secret_key', 'encryption_key', 'client_id', 'client_secret', 'api_key', 'token', 'storage_url')
    or place == ('app', 'database', 'url')
]


def test_the_file_with_every_key_is_good():
    assert faults(written(GOOD)) == []
    assert len(SECRETS) == 9


def test_a_zero_byte_is_a_fault_wherever_it_is():
    data = copy.deepcopy(GOOD)
    for place in LEAVES:
        section(data, place[:-1])[place[-1]] = f'{section(data, place)}\0'
    text = written(data)
    found = [fault.removeprefix('config.yaml:').split(': ', 2) for fault in faults(text)]
    assert sorted(path for _, path, _ in found) == sorted(map(dotted, LEAVES))
    assert all('\\0' in text.splitlines()[int(line) - 1] for line, _, _ in found)


@pytest.mark.parametrize('section_name', ['groups', 'users', 'clients'])
@pytest.mark.parametrize('character', ['\0', '\n', '\x1b', '\x85', '\u2028'])
def test_an_invisible_character_in_a_name_is_a_fault_of_one_line(section_name: str, character: str):
    (fault,) = faults(written({section_name: {f'x{character}@y': {}}}))
    assert fault.startswith('config.yaml:')
    assert f'{section_name}.x\\' in fault


@pytest.mark.parametrize('place', SECRETS, ids=dotted)
def test_a_secret_that_ends_with_a_line_break_is_a_fault_with_its_line(place: Place):
    text = alone(place, f'|\n{" " * 12}{SECRET}')
    (fault,) = [fault for fault in faults(text) if dotted(place) in fault]
    line = next(number for number, line in enumerate(text.splitlines(), 1) if f'{place[-1]}:' in line)
    assert fault.startswith(f'config.yaml:{line}: {dotted(place)}: must be a single line')
    assert SECRET not in fault


# What is planted, as it is found: a change of the section that has the key, and how the fault begins.
Plant = tuple[Place, Callable[[Any], None], str]


def plants() -> Iterator[Plant]:
    """Faults of every kind, none of which touches a place of another."""

    def put(place: Place, value: Any, words: str) -> Plant:
        return place[:-1], lambda found: found.__setitem__(place[-1], value), f'{dotted(place)}: {words}'

    def drop(place: Place, words: str = 'is missing') -> Plant:
        return place[:-1], lambda found: found.__delitem__(place[-1]), f'{dotted(place)}: {words}'

    for number in range(3):
        at: Place = ('models', number)
        first: Place = (*at, 'endpoints', 0)
        yield put((*at, 'needs_ack'), 'maybe', 'must be true or false')
        yield drop((*at, 'context_window'), 'is missing: a model with a price')
        yield drop((*at, 'max_output_tokens'), 'is missing: a model with a price')
        yield put((*at, 'input_cost_per_million'), 'much', 'must be a number of coins')
        yield put((*at, 'colour'), 'red', 'is not a key of this section')
        yield put((*first, 'idle_timeout_seconds'), '0', 'must be more than 0')
        yield put((*first, 'url'), 'ftp://x', 'must be an http or https address')
        yield put((*first, 'keyy'), '', 'is not a key of this section')
        if number:
            yield put((*at, 'name'), 'm0', '"m0" is there already')
    for at in (('clients', 'bot'), ('clients', 'robot'), ('users', 'a@x.org'), ('users', 'b@x.org')):
        yield put((*at, 'max'), '-1', 'must be 0 or more, or -2')
        yield put((*at, 'refresh'), ['x'], 'must be a number of coins')
        yield put((*at, 'groups', 0), 'tree', 'no group "tree"')
        yield put((*at, 'groups', 1), None, 'is empty')
        yield put((*at, 'model_access', 'default'), 'perhaps', "must be 'allowed' or 'blocked'")
        yield put((*at, 'model_access', 'blocked'), 'm1', 'must be a list')
    yield put(('clients', 'BOT'), {}, '"BOT" is there already')
    yield put(('clients', 'a/b'), {}, 'is not the name of a client')
    yield put(('users', 'nobody'), {}, 'must be an e-mail address')
    yield put(('groups', 'one', 'max'), 'x', 'must be a number of coins')
    yield put(('groups', 'two'), 'x', 'must be a mapping')
    yield put(('app', 'theme'), 'pink', "must be 'auto', 'light' or 'dark'")
    yield put(('app', 'url'), 'x', 'must be an http or https address')
    yield put(('app', 'secret_key'), [SECRET], 'must be text')
    yield put(('app', 'footer_links', 0, 'label'), 'a\n', 'must be a single line')
    yield put(('login', 'dev_users', 0, 'email'), 'x', 'must be an e-mail address')
    yield put(('api',), [], 'must be a mapping')
    yield put(('modles',), [], 'is not a key of this section')
    yield put(('version',), '3', 'must be 2')
    yield drop(('login', 'oauth2', 'server_metadata_url'))


PLANTS = list(plants())


@settings(max_examples=40, deadline=None)  # writing and reading such a file takes a while
@given(st.sets(st.integers(0, len(PLANTS) - 1), max_size=12), st.integers(0, 3))
def test_of_the_faults_that_are_planted_each_is_named_and_nothing_else(chosen: set[int], repeated: int):
    data = copy.deepcopy(GOOD)
    expected = []
    for number in sorted(chosen):
        place, change, words = PLANTS[number]
        change(section(data, place))
        expected.append(words)
    text = written(data) + 'admins: [x@y.org]\n' * repeated
    expected += ['admins: stands here twice'] * repeated
    found = faults(text)
    assert len(found) == len(expected), found
    for words in expected:
        assert any(f': {words}' in fault for fault in found), (words, found)
    lines = [int(fault.split(':')[1]) for fault in found]
    assert lines == sorted(lines)
    assert not any(SECRET in fault for fault in found)


@pytest.mark.parametrize(
    'written_as',
    [
        '[{0}]',
        '{{{0}: x}}',
        '{{{0}: {{{0}: x}}, {0}: y}}',
        '[[{0}, ]]',
        '[{0}, {0}, ]',
        '!{0}',
        '!{0} x',
        '!{0}!{0}',
        '!<{0}> x',
        '*{0}',
        '&{0} [*{0}]',
        '&{0} &{0} x',
        '"{0}\\0"',
        '"{0}\\q"',
        '"{0}',
        '{0}: {0}',
        '{{? [{0}] : x}}',
        '|\n            {0}',
        '%{0}',
        '@{0}',
        '`{0}`',
    ],
)
@pytest.mark.parametrize('place', SECRETS, ids=dotted)
def test_a_secret_that_is_written_wrongly_is_not_told(place: Place, written_as: str):
    text = alone(place, written_as.format(SECRET))
    found = faults(text)
    assert found, text
    assert SECRET not in '\n'.join(found)


@pytest.mark.parametrize('key', ['secret_key', 'encryption_key', 'database: {url', 'url'])
@pytest.mark.parametrize('glue', [':', '=', ' :', ' ='])
def test_a_secret_that_no_space_divides_from_its_key_is_not_told(key: str, glue: str):
    for text in (
        f'app: {{{key}{glue}{SECRET}}}',
        f'app:\n  name: x\n  {key}{glue}{SECRET}\n  theme: dark',
        f'app:\n  {key}{glue}{SECRET}',
    ):
        found = faults(text)
        assert found, text
        assert SECRET not in '\n'.join(found)


@pytest.mark.parametrize(
    'text',
    [
        f'app: {{database: {{url: "mysql://lumen:{SECRET}@h/db"}}}}',
        f'app: {{database: {{url: "{SECRET}"}}}}',
        f'app: {{database: "postgresql://lumen:{SECRET}@h/db"}}',
        f'app: {{url: "ftp://me:{SECRET}@h"}}',
        f'rate_limiting: "redis://:{SECRET}@h"',
        f'api: {{prometheus: {SECRET}, monitoring: [{SECRET}]}}',
        f'login: {{oauth2: {SECRET}}}',
    ],
)
def test_a_secret_in_a_place_of_another_type_is_not_told(text: str):
    assert SECRET not in '\n'.join(faults(text))
    assert len(faults(text)) >= 1


def test_a_key_that_stands_three_times_is_named_twice():
    found = faults('app: {}\nadmins: []\nadmins: []\nadmins: []\n')
    assert [fault.partition(': ')[0] for fault in found] == ['config.yaml:3', 'config.yaml:4']


def test_an_endpoint_with_a_fault_is_not_called_missing():
    data = copy.deepcopy(GOOD)
    data['models'][0]['endpoints'][0]['keyy'] = 'x'
    (fault,) = faults(written(data))
    assert 'models[0].endpoints[0].keyy: is not a key' in fault


def test_faults_by_the_ten_thousand_are_named_in_time_that_grows_with_them():
    began = time.process_time()
    assert len(faults('admins:\n' + '-\n' * 20_000)) == 20_000
    assert time.process_time() - began < 9, 'ten times what it takes, half of what comparing each with each took'


def test_names_that_are_too_long_or_too_many_are_told_in_short():
    (fault,) = faults(f'clients: {{bot: {{groups: [{"g" * 10_000}]}}}}\ngroups: {{one: {{}}}}')
    assert len(fault) < 200
