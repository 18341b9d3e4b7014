"""Points in time as they are typed on a command line: read as UTC, kept as microseconds since the Unix epoch."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta

from lumen.errors import Invalid
from lumen.identity.keys import LAST_EXPIRY

LENGTH = re.compile(r'([1-9][0-9]{0,4})([hd])\Z')
DAY = re.compile(r'\d{4}-\d{2}-\d{2}\Z')
HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US


class NoTime(Invalid):
    """What was typed for an option stands for no time: the command was called wrongly."""


def expiry(text: str, moment: int) -> int | None:
    """`never` (None), `30d` or `12h` from `moment`, a date (its end), a date and time. Raises NoTime (`expires`).

    The end of the last day that there is, 9999-12-31, is the last expiry that there can be.
    """
    text = text.strip()
    if text.casefold() == 'never':
        return None
    if (length := _length(text)) is not None:
        return moment + length
    try:
        return LAST_EXPIRY if text == date.max.isoformat() else _read(text, end_of_day=True)
    except (ValueError, OverflowError):
        message = f'{text!r} is no expiry; use never, a number of days like 30d, or a date like 2030-12-31.'
        raise NoTime(message, param='expires') from None


def grace_end(text: str, moment: int) -> int | None:
    """`none` (None), or `12h` or `7d` from `moment`. Raises NoTime (`grace`)."""
    text = text.strip()
    if text.casefold() == 'none':
        return None
    if (length := _length(text)) is not None:
        return moment + length
    raise NoTime(f'{text!r} is no grace time; use none, hours like 12h or days like 7d.', param='grace')


def since(text: str, moment: int) -> int:
    """`12h` or `7d` before `moment`, a date (its start) or a date with a time. Raises NoTime (`since`)."""
    text = text.strip()
    if (length := _length(text)) is not None:
        return moment - length
    try:
        return _read(text, end_of_day=False)
    except (ValueError, OverflowError):
        message = f'{text!r} is no time; use hours like 12h, days like 7d, or a date like 2030-12-31.'
        raise NoTime(message, param='since') from None


def iso(moment: int) -> str:
    """`2030-12-31T12:00:00.000001+00:00`, for people and programs alike."""
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=moment)).isoformat()


def _length(text: str) -> int | None:
    found = LENGTH.match(text)
    return int(found[1]) * (DAY_US if found[2] == 'd' else HOUR_US) if found else None


def _read(text: str, *, end_of_day: bool) -> int:
    if DAY.match(text):
        day = date.fromisoformat(text) + timedelta(days=1 if end_of_day else 0)
        found = datetime(day.year, day.month, day.day, tzinfo=UTC)
    else:
        found = datetime.fromisoformat(text)
        found = found if found.tzinfo else found.replace(tzinfo=UTC)
    return (found - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
