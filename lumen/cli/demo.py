"""`lumen demo`: a made-up institution in an empty database, to look at and to measure."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import click

from lumen import coins
from lumen.cli.opened import opened
from lumen.cli.output import answer, json_option
from lumen.cli.times import NoTime

EARLIEST = datetime(1980, 1, 1, tzinfo=UTC)


@click.command()
@click.option('--clients', default=100, show_default=True, type=click.IntRange(0, 10_000_000), help='How many.')
@click.option('--days', default=30, show_default=True, type=click.IntRange(1, 3650), help='Days of usage.')
@click.option('--requests', default=10_000, show_default=True, type=click.IntRange(0), help='How many, together.')
@click.option('--seed', default=1, show_default=True, help='Another seed makes another institution.')
@click.option('--until', metavar='TIME', help='When the usage ends, like 2026-03-01T12:00-06:00. [default: now]')
@json_option
def demo(clients: int, days: int, requests: int, seed: int, until: str | None, as_json: bool) -> None:
    """Fill a database without clients with made-up clients, people, keys and usage of the models in the configuration.

    The same numbers, seed, end and configuration make the same again. Nobody knows the keys. Everything is written
    in one transaction; `lumen check` is clean afterwards. Working hours are those of the time zone of --until.
    """
    from lumen.demo import Wish, fill  # only now: the other commands do without it

    wish = Wish(clients, days, requests, seed, _moment(until))
    with opened() as lumen:
        started = time.monotonic()
        made = lumen.write(fill, wish, settings=lumen.settings)
        seconds = time.monotonic() - started
    value = {
        'clients': made.clients,
        'users': made.users,
        'keys': made.keys,
        'requests': made.requests,
        'coins_spent': coins.exact(made.spent),
        'seed': seed,
        'until': wish.until.isoformat(),
        'seconds': round(seconds, 1),
    }
    text = (
        f'{made.clients:,} clients with {made.keys:,} keys, {made.users:,} users and {made.requests:,} requests '
        f'for {coins.short(made.spent)} coins, in {seconds:.1f} seconds.'
    )
    answer(value, text, as_json=as_json)


def _moment(text: str | None) -> datetime:
    """An ISO date and time, in UTC unless it says otherwise; now, in this machine's time zone, when left out."""
    if text is None:
        return datetime.now(UTC).astimezone()
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        message = f'{text!r} is no time; use one like 2026-03-01T12:00 or 2026-03-01T12:00-06:00.'
        raise NoTime(message, param='until') from None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    if moment < EARLIEST:
        raise NoTime(f'The usage cannot end before {EARLIEST.year}.', param='until')
    if moment > datetime.now(UTC):
        raise NoTime(f'The usage cannot end in the future: {moment.isoformat()} has yet to come.', param='until')
    return moment
