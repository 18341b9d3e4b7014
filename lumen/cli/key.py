"""`lumen key`: make, rotate and revoke the keys of a client."""

from __future__ import annotations

import click

from lumen.cli.client import find
from lumen.cli.opened import opened
from lumen.cli.output import answer, json_option
from lumen.cli.times import expiry, grace_end, iso
from lumen.config.settings import Settings
from lumen.database import now
from lumen.identity import keys
from lumen.identity.keys import NewKey
from lumen.identity.permissions import COMMAND_LINE
from lumen.identity.rotation import rotate_key, same_expiry

SAME = 'same'


@click.group()
def key() -> None:
    """API keys."""


@key.command()
@click.argument('client')
@click.option('--name', default='command line', show_default=True, help='What to recognise the key by.')
@click.option('--expires', default='never', show_default=True, help='"never", days from now ("30d") or a date.')
@json_option
def create(client: str, name: str, expires: str, as_json: bool) -> None:
    """Make a key. It is shown this once only.

    A date (2030-12-31) is the last day on which the key works, in UTC; a date with a time (2030-12-31T12:00+01:00)
    is exact. The last one is 9999-12-31.
    """
    with opened() as lumen:
        client_id = lumen.read(find, client)
        new = lumen.write(_create, client_id, name, expires, settings=lumen.settings, secret=lumen.key_secret)
    text = f'{new.key}\n\nThis is key {new.id} of "{client}". Keep it now: it cannot be shown again.'
    answer({'id': new.id, 'key': new.key, 'hint': new.hint}, text, as_json=as_json)


@key.command()
@click.argument('key_id', metavar='ID', type=click.IntRange(1, 2**63 - 1))
@click.option(
    '--expires', default=SAME, show_default=True, help='When the new key ends: like the old, or as for create.'
)
@click.option('--grace', default='1d', show_default=True, help='How long the old key works: "none", "12h" or "7d".')
@json_option
def rotate(key_id: int, expires: str, grace: str, as_json: bool) -> None:
    """Make a new key in the place of another, which works on for a while: at most 30 days. It is shown this once.

    Unless said otherwise, it expires as the old one does: after as long a time, or at the same moment, or never.
    """
    with opened() as lumen:
        new, ends = lumen.write(_rotate, key_id, expires, grace, settings=lumen.settings, secret=lumen.key_secret)
    text = (
        f'{new.key}\n\nThis is key {new.id}, in the place of key {key_id}. '
        f'{f"It expires at {iso(ends)}" if ends else "It never expires"}. Keep it now: it cannot be shown again.'
    )
    found = {'id': new.id, 'key': new.key, 'hint': new.hint, 'expires_at': iso(ends) if ends else None}
    answer(found, text, as_json=as_json)


@key.command()
@click.argument('key_id', metavar='ID', type=click.IntRange(1, 2**63 - 1))
@json_option
def revoke(key_id: int, as_json: bool) -> None:
    """Make a key stop working, at once and for good."""
    with opened() as lumen:
        row = lumen.write(keys.revoke_key, COMMAND_LINE, key_id, settings=lumen.settings)
    answer({'id': row.id, 'hint': row.hint, 'state': row.state}, f'Key {row.hint} revoked.', as_json=as_json)


def _create(client_id: int, name: str, expires: str, *, settings: Settings, secret: bytes) -> NewKey:
    expires_at = expiry(expires, now())
    return keys.create_key(COMMAND_LINE, client_id, name, expires_at, settings=settings, secret=secret)


def _rotate(key_id: int, expires: str, grace: str, *, settings: Settings, secret: bytes) -> tuple[NewKey, int | None]:
    """The new key, and when it expires."""
    moment = now()
    if expires.strip().casefold() == SAME:
        old = keys.require_key(COMMAND_LINE, key_id, settings)
        expires_at = same_expiry(old.created_at, old.expires_at, moment)
    else:
        expires_at = expiry(expires, moment)
    new = rotate_key(
        COMMAND_LINE,
        key_id,
        expires_at=expires_at,
        works_until=grace_end(grace, moment),
        settings=settings,
        secret=secret,
    )
    return new, expires_at
