"""What all processes know of endpoints that rest, and who tries one."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest

import models
from lumen.database import Database
from lumen.identity import revisions
from lumen.records import breakers, health
from lumen.records.breakers import Known, Look
from tests.conftest import Clock

AT = 'm', 'http://one.example.org/v1'
SECOND = 1_000_000

every_engine = pytest.mark.parametrize('database_url', ['sqlite', 'postgresql', 'serializable'], indirect=True)


def look(database: Database, number: int = -1) -> Look:
    found = database.read_now(breakers.look, number)
    assert found is not None
    return found


def claim(database: Database, untried_us: int = 0) -> int | None:
    return database.write_now(breakers.claim, *AT, 10 * SECOND, untried_us)


@every_engine
def test_all_know_what_rests_and_for_how_long(database: Database, clock: Clock):
    database.write_now(breakers.opened, *AT, 8 * SECOND, True)
    until = clock() + 8 * SECOND
    clock.advance(seconds=3)
    assert look(database).known == {AT: Known(False, until, 5 * SECOND, True)}
    clock.advance(seconds=6)
    assert look(database).known == {AT: Known(False, until, -SECOND, True)}
    database.write_now(breakers.closed, *AT)
    assert look(database).known == {AT: Known(False, 0, None, True)}
    database.write_now(health.note, *AT, True, '')
    assert look(database).known == {AT: Known(True, 0, None, False)}


@every_engine
def test_only_what_changed_is_news(database: Database):
    def number() -> int:
        return database.read_now(revisions.number, revisions.HEALTH)

    database.write_now(health.note, *AT, True, '')
    before = number()
    assert database.read_now(breakers.look, before) is None
    database.write_now(health.note, *AT, True, '')
    database.write_now(breakers.closed, *AT)
    assert claim(database) is not None
    assert number() == before
    changes: list[Callable[[], None]] = [
        lambda: database.write_now(health.note, *AT, False, 'timeout 504'),
        lambda: database.write_now(breakers.opened, *AT, SECOND, False),
        lambda: database.write_now(breakers.closed, *AT),
    ]
    for change in changes:
        change()
        assert number() == look(database, before).number > before
        before = number()


@every_engine
def test_keys_are_not_looked_up_again_because_of_an_endpoint(database: Database):
    before = database.read_now(revisions.numbers)
    database.write_now(breakers.opened, *AT, SECOND, False)
    assert database.read_now(revisions.numbers) == before


@every_engine
def test_a_longer_rest_stays(database: Database, clock: Clock):
    database.write_now(breakers.opened, *AT, 60 * SECOND, True)
    until = clock() + 60 * SECOND
    database.write_now(breakers.opened, *AT, SECOND, False)
    assert look(database).known[AT] == Known(False, until, 60 * SECOND, True)


@every_engine
def test_nobody_tries_what_rests_and_then_one_at_a_time(database: Database, clock: Clock):
    database.write_now(breakers.opened, *AT, 8 * SECOND, True)
    clock.advance(seconds=7)
    assert claim(database) is None
    clock.advance(seconds=1)
    first = claim(database)
    assert first is not None
    assert claim(database) is None
    database.write_now(breakers.give_up, *AT, first - 1)  # of another claim
    assert claim(database) is None
    database.write_now(breakers.give_up, *AT, first)
    assert claim(database) is not None


@every_engine
def test_one_who_died_while_trying_is_waited_for_only_so_long(database: Database, clock: Clock):
    assert claim(database) is not None
    clock.advance(seconds=9.9)
    assert claim(database) is None
    clock.advance(seconds=0.1)
    assert claim(database) is not None


@every_engine
@pytest.mark.parametrize('rest_us', [None, SECOND])
def test_a_trial_that_has_ended_leaves_the_endpoint_to_others(database: Database, clock: Clock, rest_us: int | None):
    database.write_now(breakers.opened, *AT, SECOND, True)
    clock.advance(seconds=1)
    assert claim(database) is not None
    if rest_us is None:
        database.write_now(breakers.closed, *AT)
    else:
        database.write_now(breakers.opened, *AT, rest_us, True)
        clock.advance(seconds=1)
    assert claim(database) is not None


@every_engine
def test_what_was_tried_lately_need_not_be_again(database: Database, clock: Clock):
    first = claim(database, 20 * SECOND)
    assert first is not None
    clock.advance(seconds=2)
    database.write_now(breakers.give_up, *AT, first)
    clock.advance(seconds=19)
    assert claim(database, 20 * SECOND) is None
    clock.advance(seconds=1)
    assert claim(database, 20 * SECOND) is not None


@every_engine
def test_to_try_says_nothing_of_how_it_is(database: Database):
    claim(database)
    assert database.read_now(health.seen) == {}
    assert look(database).known[AT].healthy is None


@pytest.mark.parametrize('database_url', ['postgresql', 'serializable'], indirect=True)
def test_of_two_processes_at_the_same_moment_one_tries(database: Database, database_url: str, clock: Clock):
    others = clock() + 10 * SECOND

    def other_is_first() -> None:
        with psycopg.connect(database_url) as connection:
            connection.execute('update endpoint_health set tried_until = %s', (others,))

    def contested() -> int | None:
        health.add(*AT)  # at SERIALIZABLE this is what it goes by
        assert models.EndpointHealth.get().tried_until in (0, others)
        other_is_first()
        return breakers.claim(*AT, 20 * SECOND)

    database.write_now(health.add, *AT)
    assert database.write_now(contested) is None
    assert database.read_now(lambda: models.EndpointHealth.get().tried_until) == others
