"""`lumen key`: make and revoke the keys of a client."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta

import click

from lumen.cli.client import find
from lumen.cli.opened import opened
from lumen.cli.output import answer, json_option
from lumen.config.settings import Settings
from lumen.database import now
from lumen.errors import Invalid
from lumen.identity import keys
from lumen.identity.keys import NewKey
from lumen.identity.permissions import COMMAND_LINE

DAYS = re.compile(r'([1-9][0-9]{0,4})d\Z')
DAY_US = 86_400_000_000


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
    is exact.
    """
    with opened() as lumen:
        client_id = lumen.read(find, client)
        new = lumen.write(_create, client_id, name, expires, settings=lumen.settings, secret=lumen.key_secret)
    text = f'{new.key}\n\nThis is key {new.id} of "{client}". Keep it now: it cannot be shown again.'
    answer({'id': new.id, 'key': new.key, 'hint': new.hint}, text, as_json=as_json)


@key.command()
@click.argument('key_id', metavar='ID', type=int)
@json_option
def revoke(key_id: int, as_json: bool) -> None:
    """Make a key stop working, at once and for good."""
    with opened() as lumen:
        row = lumen.write(keys.revoke_key, COMMAND_LINE, key_id, settings=lumen.settings)
    answer({'id': row.id, 'hint': row.hint, 'state': row.state}, f'Key {row.hint} revoked.', as_json=as_json)


def expiry(text: str, moment: int) -> int | None:
    """Microseconds since the epoch of `never`, `30d` or an ISO date; None for never. Raises Invalid (`expires`)."""
    text = text.strip()
    if text.casefold() == 'never':
        return None
    if days := DAYS.match(text):
        return moment + int(days[1]) * DAY_US
    try:
        if re.fullmatch(r'\d{4}-\d{2}-\d{2}', text):
            day = date.fromisoformat(text) + timedelta(days=1)
            end = datetime(day.year, day.month, day.day, tzinfo=UTC)
        else:
            end = datetime.fromisoformat(text)
            end = end if end.tzinfo else end.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        message = f'{text!r} is no expiry; use never, a number of days like 30d, or a date like 2030-12-31.'
        raise Invalid(message, param='expires') from None
    return round((end - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(microseconds=1))


def _create(client_id: int, name: str, expires: str, *, settings: Settings, secret: bytes) -> NewKey:
    expires_at = expiry(expires, now())
    return keys.create_key(COMMAND_LINE, client_id, name, expires_at, settings=settings, secret=secret)
