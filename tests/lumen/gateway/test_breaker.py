"""When an endpoint rests, for how long, and what ends it."""

from __future__ import annotations

from random import Random

import pytest

from lumen.gateway.breaker import FAILURES, LONGEST_REST_SECONDS, UNREACHED, Breaker


@pytest.fixture
def breaker() -> Breaker:
    return Breaker(Random(1))


def fail(breaker: Breaker, now: float = 0, *, is_probe: bool = False, is_unreachable: bool = False) -> float | None:
    return breaker.failed(now, is_probe=is_probe, is_unreachable=is_unreachable)


@pytest.mark.parametrize(('is_unreachable', 'most'), [(False, FAILURES), (True, UNREACHED)])
def test_so_many_failures_in_a_row_make_it_rest_for_about_a_second(breaker: Breaker, is_unreachable: bool, most: int):
    for _ in range(most - 1):
        assert fail(breaker, is_unreachable=is_unreachable) is None
        assert breaker.lets_through(0)
    rest = fail(breaker, is_unreachable=is_unreachable)
    assert rest == pytest.approx(1, abs=0.2)
    assert not breaker.lets_through(rest - 0.01)
    assert breaker.lets_through(rest)


def test_a_success_between_them_forgives(breaker: Breaker):
    for _ in range(3):
        for _ in range(FAILURES - 1):
            assert fail(breaker) is None
        breaker.succeeded()


def test_a_server_that_was_reached_between_is_not_unreachable(breaker: Breaker):
    for is_unreachable in (True, True, False, True):
        assert fail(breaker, is_unreachable=is_unreachable) is None


def test_one_call_at_a_time_finds_out(breaker: Breaker):
    rest(breaker)
    assert not breaker.begin(0)
    assert breaker.begin(2)
    assert not breaker.lets_through(2)
    assert not breaker.begin(2)
    breaker.gave_up()
    assert breaker.begin(2)


def test_each_rest_is_twice_as_long_up_to_a_minute(breaker: Breaker):
    now, rests = 0.0, []
    rest(breaker)
    for _ in range(8):
        now = breaker.rests_until
        assert breaker.begin(now)
        rests.append(fail(breaker, now, is_probe=True))
    assert rests == [pytest.approx(n, rel=0.2) for n in (2, 4, 8, 16, 32, 60, 60, 60)]
    assert len(set(rests)) == 8, 'they do not differ by chance'
    assert max(rest or 0 for rest in rests) <= LONGEST_REST_SECONDS * 1.2


def test_calls_that_were_begun_before_do_not_make_it_longer(breaker: Breaker):
    rest(breaker)
    until = breaker.rests_until
    for _ in range(20):
        assert fail(breaker, 0.5) is None
    assert breaker.rests_until == until


def test_a_success_ends_it_and_the_next_rest_is_short_again(breaker: Breaker):
    rest(breaker)
    assert breaker.begin(2)
    fail(breaker, 2, is_probe=True)
    breaker.succeeded()
    assert breaker.lets_through(2)
    rest(breaker)
    assert breaker.rests_until <= 1.2


def test_an_answer_that_begins_lets_the_others_through_but_one_more_failure_does_not(breaker: Breaker):
    rest(breaker)
    assert breaker.begin(2)
    breaker.answered()
    assert breaker.lets_through(2)
    assert not breaker.begin(2)
    assert fail(breaker, 2) == pytest.approx(2, rel=0.2)


def rest(breaker: Breaker) -> None:
    for _ in range(FAILURES):
        fail(breaker)
    assert not breaker.lets_through(0)
