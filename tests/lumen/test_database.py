import asyncio
import functools
import queue
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import peewee
import psycopg
import pytest
from structlog.testing import capture_logs

import models
from lumen import commit_fate
from lumen.database import Database, now
from lumen.engine import connect
from lumen.errors import ConfigurationError, DatabaseUnavailable, LumenError, OutcomeUnknown
from lumen.waking import Patience
from lumen.writer import Work
from tests.conftest import Clock, wait_until
from tests.postgresql_proxy import Proxy

LONG = 30
only_postgresql = pytest.mark.parametrize('database_url', ['postgresql'], indirect=True)


def add_client(name: str) -> int:
    moment = now()
    return models.Account.create(
        kind='client', handle=name, name=name, created_at=moment, created_by='test', touched_at=moment
    ).id


def names() -> list[str]:
    return [row.name for row in models.Account.select().order_by(models.Account.name)]


async def test_what_was_written_can_be_read(database: Database):
    await database.write(add_client, 'one')
    assert await database.read(names) == ['one']


async def test_a_failing_write_undoes_only_itself(database: Database):
    futures = [database.submit(add_client, name) for name in ('a', 'b', 'a', 'c')]
    outcomes = await asyncio.gather(*map(asyncio.wrap_future, futures), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [int, int, peewee.IntegrityError, int]
    assert await database.read(names) == ['a', 'b', 'c']


async def test_read_refuses_to_write(database: Database):
    with pytest.raises(DatabaseUnavailable, match=r'read-?only'):
        await database.read(add_client, 'one')


async def test_a_query_on_the_event_loop_is_refused(database: Database):
    with pytest.raises(RuntimeError, match='on the event loop'):
        names()


def test_time_stands_still_within_a_transaction(database: Database, clock: Clock):
    def twice() -> tuple[int, int]:
        first = now()
        clock.advance(seconds=5)
        return first, now()

    first, second = database.write_now(twice)
    assert first == second
    assert database.read_now(now) == first + 5_000_000


@pytest.mark.parametrize('database_url', ['sqlite'], indirect=True)
def test_sqlite_loses_no_commit_and_lets_readers_read_while_one_writes(database: Database):
    def pragmas() -> dict[str, Any]:
        asked = ('journal_mode', 'synchronous', 'foreign_keys', 'busy_timeout', 'wal_autocheckpoint')
        return {name: models.database.execute_sql(f'pragma {name}').fetchone()[0] for name in asked}

    full = 2
    meant = {
        'journal_mode': 'wal',
        'synchronous': full,
        'foreign_keys': 1,
        'busy_timeout': 10_000,
        'wal_autocheckpoint': 32_000,
    }
    assert database.write_now(pragmas) == meant
    assert database.read_now(pragmas) == meant


@pytest.mark.parametrize('database_url', ['sqlite'], indirect=True)
def test_time_does_not_follow_a_clock_that_is_set(
    database_url: str, new_database: Callable[[str], Database], monkeypatch: pytest.MonkeyPatch
):
    database = new_database(database_url)
    moments = [database.read_now(now)]
    real = time.time_ns
    for hours in (-1, 1):
        with monkeypatch.context() as patched:
            patched.setattr(time, 'time_ns', lambda ahead=hours: real() + ahead * 3_600_000_000_000)
            moments.append(database.read_now(now))
    assert moments == sorted(moments)
    assert moments[-1] - moments[0] < 600_000_000


async def test_closing_leaves_no_connection_behind(database_url: str):
    for _ in range(20):
        database = Database(database_url)
        made = _remember_connections(database)
        await asyncio.gather(*(database.read(names) for _ in range(3)))
        await asyncio.to_thread(database.close)
        assert made
        assert [connection for connection in made if _is_open(connection)] == []


def test_writes_that_are_queued_are_finished_before_closing(database_url: str):
    database = Database(database_url)
    futures = [database.submit(add_client, f'client-{number}') for number in range(50)]
    database.close()
    assert all(future.result() for future in futures)


@only_postgresql
def test_lost_connections_are_made_again(database_url: str, new_database: Callable[[str], Database]):
    database = new_database(database_url)
    database.write_now(add_client, 'before')
    with psycopg.connect(database_url, autocommit=True) as other:
        other.execute(
            'select pg_terminate_backend(pid) from pg_stat_activity'
            ' where pid <> pg_backend_pid() and datname = current_database()'
        )
    database.write_now(add_client, 'after')
    assert database.read_now(names) == ['after', 'before']


@only_postgresql
@pytest.mark.parametrize('delivered', [True, False])
def test_a_lost_answer_to_commit_does_not_do_anything_twice(
    proxy: Proxy, new_database: Callable[[str], Database], delivered: bool
):
    database = new_database(proxy.url)
    database.write_now(add_client, 'before')
    proxy.cut(delivered=delivered)
    assert database.write_now(add_client, 'one') > 0
    assert proxy.cuts == 1
    assert database.read_now(names) == ['before', 'one']


@only_postgresql
@pytest.mark.parametrize('delivered', [True, False])
def test_when_nobody_can_say_whether_it_was_done_that_is_said(
    proxy: Proxy, new_database: Callable[[str], Database], delivered: bool
):
    database = new_database(proxy.url)
    database.write_now(add_client, 'before')
    proxy.cut(delivered=delivered, stays_open=False)
    with pytest.raises(OutcomeUnknown) as unknown:
        database.write_now(add_client, 'one')
    assert 'Look what was saved' in unknown.value.message
    proxy.is_open = True
    assert database.read_now(names) == (['before', 'one'] if delivered else ['before'])


@only_postgresql
@pytest.mark.parametrize('delivered', [True, False])
def test_where_transactions_have_no_fate_a_lost_answer_to_commit_is_not_known(
    proxy: Proxy, new_database: Callable[[str], Database], delivered: bool, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(commit_fate, 'VERSION', "select 'CockroachDB CCL v24.3.0'")
    database = new_database(proxy.url)
    database.write_now(add_client, 'before')
    proxy.cut(delivered=delivered)
    with pytest.raises(OutcomeUnknown):
        database.write_now(add_client, 'one')
    wait_until(lambda: database.read_now(names) == (['before', 'one'] if delivered else ['before']))


@only_postgresql
def test_each_write_of_a_batch_keeps_its_own_end_over_a_lost_answer(
    proxy: Proxy, new_database: Callable[[str], Database]
):
    database = new_database(proxy.url)
    database.write_now(add_client, 'taken')
    go_on = threading.Event()

    def wait_and_cut() -> None:
        go_on.wait(10)
        proxy.cut(delivered=True)

    futures = [database.submit(wait_and_cut), *(database.submit(add_client, name) for name in ('one', 'taken', 'two'))]
    go_on.set()
    ends = [type(future.exception(timeout=10)) for future in futures[1:]]
    assert ends == [type(None), peewee.IntegrityError, type(None)]
    assert proxy.cuts == 1
    assert database.read_now(names) == ['one', 'taken', 'two']


@only_postgresql
def test_a_transaction_whose_client_is_lost_is_ended_and_then_has_a_fate(
    database_url: str, new_database: Callable[[str], Database]
):
    database = new_database(database_url)
    lost = psycopg.connect(database_url)
    (number,) = lost.execute('select pg_current_xact_id()::text').fetchone()
    fate = functools.partial(database.read_now, commit_fate.was_carried_out, database.engine, number)
    assert fate() is None
    wait_until(lambda: fate() is False)
    with pytest.raises(psycopg.OperationalError):
        lost.execute('select 1')
    lost.close()


def test_writes_of_two_processes_do_not_lose_each_other(database_url: str, new_database: Callable[[str], Database]):
    first, second = new_database(database_url), new_database(database_url)
    # The proxy speaks to the one opened last, so the other speaks through its engine.
    insert = (
        'insert into account (kind, handle, name, email, active, created_at, created_by, balance, held, granted,'
        ' accrued, spent, spent_unlimited, touched_at, refill_remainder, requests, input_tokens, output_tokens)'
        " values ('client', '{0}', '{0}', '', true, 0, 'test', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)"
    )
    futures = []
    for number in range(40):
        futures.append(first.submit(first.engine.execute_sql, insert.format(f'first-{number}')))
        futures.append(second.submit(second.engine.execute_sql, insert.format(f'second-{number}')))
    for future in futures:
        future.result(timeout=30)
    assert len(second.read_now(names)) == 80


def test_one_sqlite_file_is_served_by_one_process(tmp_path: Path, new_database: Callable[[str], Database]):
    url = f'sqlite:///{tmp_path}/lumen.db'
    new_database(url).claim_serving()
    with pytest.raises(LumenError, match='another Lumen is already serving') as refused:
        new_database(url).claim_serving()
    assert refused.value.code == 'already_serving'


@pytest.mark.parametrize('url', ['mysql://x/y', 'sqlite://', 'sqlite:///:memory:', 'lumen.db'])
def test_other_addresses_are_refused_in_words(url: str):
    with pytest.raises(ConfigurationError, match=r'^app\.database\.url: '):
        connect(url)


def test_a_write_that_cannot_be_does_not_stop_those_beside_it(database: Database):
    futures = [
        database.submit(database.engine.execute_sql, 'select nonsense from account'),
        *(database.submit(add_client, f'client-{number}') for number in range(5)),
    ]
    with pytest.raises(peewee.DatabaseError):
        futures[0].result(timeout=30)
    for future in futures[1:]:
        assert future.result(timeout=30)


def _remember_connections(database: Database) -> list[Any]:
    made: list[Any] = []
    connect = database.engine._connect

    def remembering() -> Any:
        made.append(connect())
        return made[-1]

    database.engine._connect = remembering  # type: ignore[method-assign]
    return made


def _is_open(connection: Any) -> bool:
    if isinstance(connection, psycopg.Connection):
        return not connection.closed
    try:
        connection.total_changes  # noqa: B018 - refused with ProgrammingError once closed
    except sqlite3.ProgrammingError as error:
        return 'closed' not in str(error)
    return True


def test_what_two_threads_hand_over_at_once_is_all_written(database: Database):
    """While one takes what was asked for, another takes the rest of it."""

    class Contended(deque[Work]):
        is_first = True

        def popleft(self) -> Work:
            work = super().popleft()
            if self.is_first:
                self.is_first = False
                other = threading.Thread(target=database._hand_over)
                other.start()
                other.join()
            return work

    futures = [Future[int](), Future[int]()]
    database._asked = Contended(Work(future, lambda: 1) for future in futures)
    database._hand_over()
    assert [future.result(LONG) for future in futures] == [1, 1]


class Recorded(queue.SimpleQueue[list[Work] | None]):
    def __init__(self) -> None:
        self.sizes: list[int] = []

    def put(self, item: list[Work] | None, block: bool = True, timeout: float | None = None) -> None:
        if item is not None:
            self.sizes.append(len(item))
        super().put(item, block, timeout)


async def test_while_much_is_asked_for_what_successive_turns_bring_is_one_commit(database: Database):
    database.write_now(lambda: None)
    queued, writer = Recorded(), database._writer
    before, writer.queue = writer.queue, queued
    before.put([])  # the writer waits at the old one
    for number in (1, 2, 3):
        alone = database.submit(lambda: None)
        await database.answer(alone)
        assert queued.sizes == [1] * number
    queued.sizes.clear()
    await asyncio.gather(*(database.answer(database.submit(lambda: None)) for _ in range(2)))
    futures = []
    for _ in range(3):
        futures.append(database.submit(lambda: None))
        await asyncio.sleep(0)
    await asyncio.gather(*map(database.answer, futures))
    assert queued.sizes == [2, 3]
    await database.answer(database.submit(lambda: None))
    assert queued.sizes == [2, 3, 1]


def test_what_is_queued_while_a_transaction_begins_is_part_of_it(database: Database):
    sizes: list[int] = []
    late: list[Future[int]] = []
    begin = database._writer._transaction

    def carry_out(items: Sequence[int]) -> list[tuple[int, None]]:
        sizes.append(len(items))
        return [(item, None) for item in items]

    @contextmanager
    def begins_late(read_only: bool) -> Iterator[None]:
        with begin(read_only):
            if not late:
                late.append(database.submit_to(carry_out, 2))
            yield

    database._writer._transaction = begins_late  # type: ignore[assignment]  # as that of the database
    assert database.submit_to(carry_out, 1).result(LONG) == 1
    assert late[0].result(LONG) == 2
    assert sizes == [2]


def test_who_cannot_be_told_does_not_end_the_writing(database: Database):
    def carry_out(items: Sequence[int]) -> list[tuple[int, None]]:
        return [(item, None) for item in items]

    def tell(value: int, error: BaseException | None) -> None:
        raise OSError('nobody hears it')

    with capture_logs() as logged:
        database.submit_and_tell(carry_out, 1, tell)
        assert database.write_now(lambda: 2) == 2
    assert [entry['event'] for entry in logged] == ['a write that was done could not be told']
    assert database.is_writing


def test_a_batch_that_ends_in_an_unknown_way_is_answered_and_the_writing_goes_on(
    database: Database, monkeypatch: pytest.MonkeyPatch
):
    def fail(batch: Sequence[Work], *, grows: bool) -> None:
        raise MemoryError

    with monkeypatch.context() as broken:
        broken.setattr(database._writer, '_commit', fail)
        with capture_logs() as logged, pytest.raises(MemoryError):
            database.submit(lambda: 1).result(LONG)
    assert [entry['event'] for entry in logged] == ['a write batch ended in a way that nobody knows']
    assert database.write_now(lambda: 2) == 2


async def test_nobody_waits_for_ever_for_a_database_that_does_not_answer(database: Database):
    database.patience = Patience(0.1)
    blocked, goes_on = threading.Event(), threading.Event()

    def block() -> None:
        blocked.set()
        assert goes_on.wait(LONG)

    begun = asyncio.create_task(database.write(block))
    assert await asyncio.to_thread(blocked.wait, LONG)
    try:
        with pytest.raises(DatabaseUnavailable) as refused:
            await database.write(add_client, 'queued behind')
        assert not isinstance(refused.value, OutcomeUnknown)
        with pytest.raises(OutcomeUnknown):
            await begun
        with pytest.raises(DatabaseUnavailable, match='does not answer') as silent:
            await database.read(goes_on.wait)
        assert not isinstance(silent.value, OutcomeUnknown)
    finally:
        goes_on.set()
    database.patience = Patience(LONG)
    assert await database.read(names) == []
    await database.write(add_client, 'made afterwards')
    assert await database.read(names) == ['made afterwards']


@only_postgresql
def test_a_link_that_is_dropped_silently_is_found_out(database_url: str, new_database: Callable[[str], Database]):
    def parameters() -> dict[str, str]:
        return models.database.connection().info.get_parameters()

    by_default = new_database(database_url).read_now(parameters)
    assert {'keepalives_idle', 'keepalives_interval', 'keepalives_count', 'tcp_user_timeout'} <= by_default.keys()
    stated = new_database(f'{database_url}&tcp_user_timeout=5000').read_now(parameters)
    assert stated == by_default | {'tcp_user_timeout': '5000'}
