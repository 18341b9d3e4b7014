"""What must hold between the keys of a configuration, beyond the type of each."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import cache
from typing import Any

from lumen import coins
from lumen.config.faults import Fault, Path, did_you_mean, shown
from lumen.config.settings import AccountEntry, Group, Settings


def faults(data: Mapping[str, Any]) -> Iterator[Fault]:
    """Everything that cannot be between keys, each with its path.

    Looks at the plain data, not at settings made of it: a fault of one key hides none between the others. What is not
    of its type is passed over; that is named already.
    """
    listed = [(n, model) for n, model in _listed(data, 'models') if isinstance(model, dict)]
    yield from _twice((('models', n, 'name'), model.get('name')) for n, model in listed)
    names = dict.fromkeys(name for _, model in listed if isinstance(name := model.get('name'), str))
    for number, model in listed:
        yield from _strange_fallbacks(('models', number, 'fallbacks'), model, names)
        yield from _unbounded(('models', number), model)
        for place, endpoint in _listed(model, 'endpoints'):
            if isinstance(endpoint, dict):
                yield from _two_users(('models', number, 'endpoints', place), endpoint)
                yield from _unclear_headers(('models', number, 'endpoints', place, 'headers'), endpoint)
    for section in ('clients', 'users'):
        yield from _twice((((section, name), name) for name in _mapping(data, section)), fold=True)
    for section in ('clients', 'users', 'groups'):
        for name, scope in _mapping(data, section).items():
            yield from _allowed_and_blocked((section, name, 'model_access'), scope)
    for name, group in _mapping(data, 'groups').items():
        yield from _unclear_rules(('groups', name), group)
    dev_users = list(_listed(_mapping(data, 'login'), 'dev_users'))
    emails = [(n, user.get('email')) for n, user in dev_users if isinstance(user, dict)]
    yield from _twice(
        ((('login', 'dev_users', n, 'email'), email.strip()) for n, email in emails if isinstance(email, str)),
        fold=True,
    )
    if isinstance(data.get('groups', {}), dict):
        yield from _strange_groups(data)


def warnings(settings: Settings) -> Iterator[Fault]:
    """What is probably not meant, but does no harm."""
    names = dict.fromkeys(model.name for model in settings.models)
    suggestion = cache(lambda name: did_you_mean(name, names))
    scopes: list[tuple[Path, AccountEntry | Group]] = []
    scopes += [(('clients', name), entry) for name, entry in settings.clients.items()]
    scopes += [(('users', email), entry) for email, entry in settings.users.items()]
    scopes += [(('groups', name), group) for name, group in settings.groups.items()]
    for path, scope in scopes:
        for word in ('allowed', 'blocked'):
            for name in sorted(getattr(scope.model_access, word)):
                if name not in names:
                    yield Fault((*path, 'model_access', word), f'no model "{shown(name)}"{suggestion(name)}')
    if not settings.login.dev_users and settings.login.oauth2 is None:
        yield Fault(('login',), 'nobody can sign in: neither dev_users nor oauth2 is configured')
    if not settings.admins:
        yield Fault(('admins',), 'nobody is an admin, so nobody can create clients in the pages')


def _mapping(data: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = data.get(key)
    return found if isinstance(found, dict) else {}


def _listed(data: Mapping[str, Any], key: str) -> Iterator[tuple[int, Any]]:
    found = data.get(key)
    return iter(enumerate(found if isinstance(found, list) else ()))


def _twice(named: Iterable[tuple[Path, object]], *, fold: bool = False) -> Iterator[Fault]:
    seen: dict[str, str] = {}
    for path, name in named:
        if not isinstance(name, str):
            continue
        folded = name.casefold() if fold else name
        if folded in seen:
            yield Fault(path, f'"{shown(name)}" is there already, as "{shown(seen[folded])}"')
        seen.setdefault(folded, name)


def _unbounded(path: Path, model: Mapping[str, Any]) -> Iterator[Fault]:
    costs_output = _is_price(model.get('output_cost_per_million'))
    is_needed = {
        'context_window': costs_output or _is_price(model.get('input_cost_per_million')),
        # What writes nothing that costs, as an embedding model, has no output to bound.
        'max_output_tokens': costs_output,
        'max_audio_seconds': _is_price(model.get('audio_cost_per_hour')),
    }
    for key, needed in is_needed.items():
        if needed and model.get(key) is None:
            yield Fault((*path, key), 'is missing: a model with a price must state it, so that a call can be held')


def _strange_fallbacks(path: Path, model: Mapping[str, Any], names: Collection[str]) -> Iterator[Fault]:
    fallbacks = [((*path, place), name) for place, name in _listed(model, 'fallbacks')]
    yield from _twice(fallbacks)
    for place, name in fallbacks:
        if isinstance(name, str) and name == model.get('name'):
            yield Fault(place, 'is the model itself')
        elif isinstance(name, str) and name not in names:
            yield Fault(place, f'no model "{shown(name)}"{did_you_mean(name, names)}')


def _two_users(path: Path, endpoint: Mapping[str, Any]) -> Iterator[Fault]:
    url = endpoint.get('url')
    if isinstance(url, str) and endpoint.get('api_key') is not None and '@' in url.partition('//')[2].split('/')[0]:
        yield Fault((*path, 'url'), 'names a user beside the api_key, and only one of them can be sent')


def _unclear_headers(path: Path, endpoint: Mapping[str, Any]) -> Iterator[Fault]:
    headers = _mapping(endpoint, 'headers')
    yield from _twice((((*path, name), name) for name in headers), fold=True)
    for name in headers:
        if name.lower() == 'authorization' and endpoint.get('api_key') is not None:
            yield Fault((*path, name), 'stands beside the api_key, and only one of them can be sent')


def _allowed_and_blocked(path: Path, scope: object) -> Iterator[Fault]:
    access = _mapping(scope, 'model_access') if isinstance(scope, dict) else {}
    allowed = {name for _, name in _listed(access, 'allowed') if isinstance(name, str)}
    for number, name in _listed(access, 'blocked'):
        if isinstance(name, str) and name in allowed:
            yield Fault((*path, 'blocked', number), f'"{shown(name)}" is in `allowed` too; keep it in one of them')


def _unclear_rules(path: Path, group: object) -> Iterator[Fault]:
    for number, rule in _listed(group, 'rules') if isinstance(group, dict) else ():
        if isinstance(rule, dict) and (rule.get('contains') is None) == (rule.get('equals') is None):
            yield Fault((*path, 'rules', number), 'needs one of `contains` and `equals`, and only one')


def _is_price(value: object) -> bool:
    try:
        return isinstance(value, str) and coins.from_text(value) > 0
    except ValueError:
        return False


def _strange_groups(data: Mapping[str, Any]) -> Iterator[Fault]:
    known = _mapping(data, 'groups')
    suggestion = cache(lambda name: did_you_mean(name, known))
    for section in ('clients', 'users'):
        for name, entry in _mapping(data, section).items():
            for number, group in _listed(entry, 'groups') if isinstance(entry, dict) else ():
                if isinstance(group, str) and group not in known:
                    where = (section, name, 'groups', number)
                    yield Fault(where, f'no group "{shown(group)}"{suggestion(group)}')
