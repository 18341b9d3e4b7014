from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from random import Random

import pytest

import models
from lumen.database import Database
from lumen.demo.rhythm import OFFICE, STEADY, Rhythm
from lumen.demo.wish import DAY_US, HOUR_US
from tests.lumen.demo.conftest import UNTIL, make

START = 1_772_000_000_123_456


def hours(moments: list[int], offset: timedelta = timedelta()) -> Counter[tuple[bool, int]]:
    """How many moments fall on (workday?, hour)."""
    found: Counter[tuple[bool, int]] = Counter()
    for moment in moments:
        local = datetime.fromtimestamp(moment // 1_000_000, UTC) + offset
        found[local.weekday() < 5, local.hour] += 1
    return found


def count(found: Counter[tuple[bool, int]], workday: bool, *between: int) -> float:
    """A day's share in some hours."""
    return sum(found[workday, hour] for hour in range(*between)) / (5 if workday else 2)


def test_the_office_works_by_day_and_on_workdays():
    found = hours(Rhythm(START, START + 28 * DAY_US, OFFICE).many(Random(1), 20_000, START, START + 28 * DAY_US))
    assert count(found, True, 9, 17) > 10 * count(found, True, 0, 6)
    assert count(found, True, 0, 24) > 3 * count(found, False, 0, 24)


def test_programs_around_the_clock_differ_less():
    found = hours(Rhythm(START, START + 28 * DAY_US, STEADY).many(Random(1), 20_000, START, START + 28 * DAY_US))
    assert count(found, True, 9, 17) < 3 * count(found, True, 0, 8)
    assert count(found, True, 0, 24) < 1.5 * count(found, False, 0, 24)


@pytest.mark.parametrize('length', [1, 5_000, HOUR_US, 50 * HOUR_US])
def test_moments_lie_between_start_and_end(length: int):
    rhythm = Rhythm(START, START + 60 * HOUR_US, OFFICE)
    moments = rhythm.many(Random(1), 500, START + HOUR_US, START + HOUR_US + length)
    assert all(START + HOUR_US <= moment <= START + HOUR_US + length for moment in moments)
    assert len(set(moments)) > min(length, 400)


def test_no_time_at_all_gives_its_start():
    assert Rhythm(START, START + DAY_US, OFFICE).many(Random(1), 2, START + 5, START + 5) == [START + 5] * 2


def test_requests_follow_the_working_hours_of_the_time_zone_of_until(database: Database):
    make(database, clients=300)
    moments = database.read_now(lambda: [row.settled_at for row in models.Request.select()])
    found = hours(moments, UNTIL.utcoffset() or timedelta())
    assert count(found, True, 9, 17) > 2 * count(found, True, 0, 8)
    assert count(found, True, 0, 24) > 1.8 * count(found, False, 0, 24)
