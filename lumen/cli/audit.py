"""`lumen audit`: who did what, when, with what was before and after."""

from __future__ import annotations

import click

from lumen.cli.client import find
from lumen.cli.opened import Opened, opened
from lumen.cli.output import answer, json_option
from lumen.cli.times import iso, since
from lumen.database import now
from lumen.identity.permissions import COMMAND_LINE
from lumen.records.history import Event, audit_events
from lumen.visible import visible


@click.command()
@click.option('--client', help='Only what was done to this client.')
@click.option('--actor', default='', help='Only what this e-mail address did, or "command line (NAME)".')
@click.option('--since', 'start', help='Only from then on: "12h" or "7d" ago, or a date (UTC).')
@click.option('--limit', type=click.IntRange(min=1), help='At most so many, the newest.')
@json_option
def audit(client: str | None, actor: str, start: str | None, limit: int | None, as_json: bool) -> None:
    """What was changed, by whom: oldest first, one line each, or with --json a list.

    Every change that a page or a command makes is written down with it, and never changed again.
    """
    with opened() as lumen:
        events = lumen.read(_events, lumen, client, actor, start, limit)
    text = '\n'.join(_line(event) for event in events) or 'Nothing was changed.'
    answer([_value(event) for event in events], text, as_json=as_json)


def _events(lumen: Opened, client: str | None, actor: str, start: str | None, limit: int | None) -> list[Event]:
    newest_first = audit_events(
        COMMAND_LINE,
        settings=lumen.settings,
        client_id=find(client) if client is not None else None,
        by=actor,
        since=since(start, now()) if start is not None else None,
        limit=limit,
    )
    return newest_first[::-1]


def _line(event: Event) -> str:
    until = f' until {iso(event.until)}' if event.until else ''
    about = f' [{event.client}]' if event.client else ''
    return visible(f'{iso(event.at)}  {event.actor} {event.sentence}{until}{about} ({event.via})')


def _value(event: Event) -> dict[str, object]:
    return {
        'id': event.id,
        'at': iso(event.at),
        'actor': event.actor,
        'via': event.via,
        'action': event.action,
        'client': event.client,
        'subject': event.subject,
        'before': event.before,
        'after': event.after,
    }
