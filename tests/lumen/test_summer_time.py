"""What refills read as time, while the zone of the process changes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from lumen.database import Database, now


@pytest.fixture
def zone() -> Iterator[Callable[[str], None]]:
    """Sets the zone of this process and of its new connections, for as long as the test runs."""
    with pytest.MonkeyPatch.context() as patched:

        def set_zone(name: str) -> None:
            patched.setenv('TZ', name)
            patched.setenv('PGTZ', name)
            time.tzset()

        yield set_zone
    time.tzset()


@pytest.mark.parametrize(('before', 'after'), [('CET-1', 'CEST-2'), ('CEST-2', 'CET-1')])
def test_time_goes_on_when_clocks_change_to_summer_time_and_from_it(
    database_url: str,
    new_database: Callable[[str], Database],
    zone: Callable[[str], None],
    before: str,
    after: str,
):
    zone(before)
    database = new_database(database_url)
    moments, offset = [database.read_now(now), database.write_now(now)], time.localtime().tm_gmtoff
    zone(after)
    moments += [database.read_now(now), database.write_now(now), new_database(database_url).read_now(now)]
    assert abs(time.localtime().tm_gmtoff - offset) == 3600
    assert moments == sorted(moments)
    assert moments[-1] - moments[0] < 600_000_000
    assert abs(moments[-1] - time.time_ns() // 1000) < 600_000_000
