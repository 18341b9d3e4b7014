"""What must hold between the keys of a configuration, beyond the type of each."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator
from urllib.parse import urlsplit

from lumen.config.faults import Fault, Path, did_you_mean
from lumen.config.settings import AccountEntry, Group, Model, Settings

BUILTIN = 'builtin:echo'
CLIENT_NAME = re.compile(r'[A-Za-z0-9](?:[A-Za-z0-9._ -]{0,62}[A-Za-z0-9._-])?\Z')


def faults(settings: Settings) -> Iterator[Fault]:
    """Everything that cannot be, each with its path."""
    yield from _twice('models', [model.name for model in settings.models], by_number=True)
    yield from _twice('clients', settings.clients)
    yield from _twice('users', settings.users)
    for number, model in enumerate(settings.models):
        yield from _model(('models', number), model)
    for name in settings.clients:
        if name != 'default' and not CLIENT_NAME.match(name):
            yield Fault(
                ('clients', name),
                'is not the name of a client: 1-64 letters, digits, dots, underscores, hyphens and spaces, '
                'starting with a letter or digit, not ending with a space',
            )
    for email in settings.users:
        if '@' not in email:
            yield Fault(('users', email), 'must be an e-mail address')
    for path, entry in _entries(settings):
        for number, group in enumerate(entry.groups):
            if group not in settings.groups:
                yield Fault((*path, 'groups', number), f'no group "{group}"{did_you_mean(group, settings.groups)}')
    yield from _addresses(settings)


def warnings(settings: Settings) -> Iterator[Fault]:
    """What is probably not meant, but does no harm."""
    names = [model.name for model in settings.models]
    scopes: list[tuple[Path, AccountEntry | Group]] = [*_entries(settings)]
    scopes += [(('groups', name), group) for name, group in settings.groups.items()]
    for path, scope in scopes:
        for word in ('allowed', 'blocked'):
            for name in sorted(getattr(scope.model_access, word)):
                if name not in names:
                    yield Fault((*path, 'model_access', word), f'no model "{name}"{did_you_mean(name, names)}')
    if not settings.login.dev_users and settings.login.oauth2 is None:
        yield Fault(('login',), 'nobody can sign in: neither dev_users nor oauth2 is configured')
    if not settings.admins:
        yield Fault(('admins',), 'nobody is an admin, so nobody can create clients in the pages')


def _entries(settings: Settings) -> Iterator[tuple[Path, AccountEntry]]:
    for section, entries in (('clients', settings.clients), ('users', settings.users)):
        for name, entry in entries.items():
            yield (section, name), entry


def _twice(section: str, names: Iterable[str], *, by_number: bool = False) -> Iterator[Fault]:
    seen: dict[str, str] = {}
    for number, name in enumerate(names):
        folded = name if by_number else name.casefold()
        if folded in seen:
            path: Path = (section, number, 'name') if by_number else (section, name)
            yield Fault(path, f'"{name}" is there already, as "{seen[folded]}"')
        seen.setdefault(folded, name)


def _model(path: Path, model: Model) -> Iterator[Fault]:
    if not model.price.is_free:
        for key in ('context_window', 'max_output_tokens'):
            # What writes nothing that costs, as an embedding model, has no output to bound.
            is_needed = key == 'context_window' or model.price.output > 0
            if is_needed and getattr(model, key) is None:
                yield Fault((*path, key), 'is missing: a model with a price must state it, so that a call can be held')
    for number, endpoint in enumerate(model.endpoints):
        where = (*path, 'endpoints', number, 'url')
        if endpoint.url == BUILTIN:
            continue
        if endpoint.url.startswith('builtin:'):
            yield Fault(where, f'no such built-in server; there is {BUILTIN}')
        elif not _is_web_address(endpoint.url):
            yield Fault(where, f'must be an http or https address, or {BUILTIN}')
        elif endpoint.api_key is not None and '@' in urlsplit(endpoint.url).netloc:
            yield Fault(where, 'names a user beside the api_key, and only one of them can be sent')


def _addresses(settings: Settings) -> Iterator[Fault]:
    for key in ('url', 'github_url', 'feature_url', 'institution_url'):
        value = getattr(settings.app, key)
        if value and not _is_web_address(value):
            yield Fault(('app', key), 'must be an http or https address')
    for number, address in enumerate(settings.app.trusted_proxies):
        try:
            ipaddress.ip_network(address, strict=False)
        except ValueError:
            yield Fault(
                ('app', 'trusted_proxies', number), 'must be an IP address or a network, for example 10.0.0.0/8'
            )
    for number, link in enumerate(settings.app.footer_links):
        if not _is_web_address(link.url):
            yield Fault(('app', 'footer_links', number, 'url'), 'must be an http or https address')


def _is_web_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in ('http', 'https') and bool(parts.hostname) and text.isprintable() and ' ' not in text
    except ValueError:
        return False
