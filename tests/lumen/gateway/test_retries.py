"""How long a call waits before it is asked for again, and how many may be."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lumen.gateway.retries import BURST, SHARE, Budget, pause, seconds_of


@given(st.lists(st.booleans(), max_size=300))
def test_retries_are_a_fifth_of_the_calls_and_ten_at_once(asked: list[bool]):
    budget, calls, spent = Budget(), 0, 0
    for is_retry in asked:
        if is_retry:
            spent += budget.spend()
        else:
            budget.earn()
            calls += 1
        assert spent <= BURST + SHARE * calls


def test_five_calls_earn_a_retry():
    budget = Budget()
    while budget.spend():
        pass
    for _ in range(100):
        for _ in range(5):
            assert not budget.spend()
            budget.earn()
        assert budget.spend()


@pytest.mark.parametrize(
    ('said', 'seconds'),
    [
        ('', None),
        (' ', None),
        ('0', 0),
        (' 2 ', 2),
        ('120', 120),
        ('Sun, 06 Nov 1994 08:49:37 GMT', 0),
        *((said, math.inf) for said in ('-1', '1.5', '٢', 'soon', '9' * 5000)),
        *((said, math.inf) for said in ('Wed, 32 Oct 2026 07:28:00 GMT', f'Wed, 21 Oct {"9" * 30} 07:28:00 GMT')),
    ],
)
def test_retry_after_is_read(said: str, seconds: float | None):
    assert seconds_of(said) == seconds


@pytest.mark.parametrize('format', ['%a, %d %b %Y %H:%M:%S GMT', '%A, %d-%b-%y %H:%M:%S GMT', '%a %b %d %H:%M:%S %Y'])
def test_retry_after_is_read_as_a_date(format: str):  # noqa: A002 - the three that RFC 9110 has
    said = (datetime.now(UTC) + timedelta(minutes=2)).strftime(format)
    seconds = seconds_of(said)
    assert seconds is not None
    assert 110 < seconds <= 120


def test_a_pause_is_short_and_by_chance():
    random = Random(1)
    pauses = {pause(None, random) for _ in range(100)}
    assert len(pauses) == 100
    assert all(seconds is not None and 0.05 <= seconds <= 0.25 for seconds in pauses)


@pytest.mark.parametrize(('asked', 'least', 'most'), [(0, 0.05, 0.25), (1, 1, 1), (2, 2, 2)])
def test_a_pause_is_as_long_as_the_server_asks_for(asked: float, least: float, most: float):
    seconds = pause(asked, Random(1))
    assert seconds is not None
    assert least <= seconds <= most


@pytest.mark.parametrize('asked', [3, 60, math.inf])
def test_nobody_waits_for_longer_than_two_seconds(asked: float):
    assert pause(asked, Random(1)) is None
