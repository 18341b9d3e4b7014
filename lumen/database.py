"""The two ways to the database: `read()` and `write()`, both off the event loop.

Reads run on a few threads, each with its own connection. Writes go through one writer thread that commits whatever has
queued while the last commit was under way (natural group commit): a write's future resolves only after its commit.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple, ParamSpec, TypeVar
from weakref import WeakKeyDictionary

import peewee
import structlog

import models
from lumen import commit_fate
from lumen.database_faults import cannot_write, is_of_the_database, lasts, unavailable
from lumen.engine import SqliteEngine, connect
from lumen.errors import LumenError, OutcomeUnknown

P = ParamSpec('P')
T = TypeVar('T')

log = structlog.get_logger()

MAX_BATCH = 256
ATTEMPTS = 5
"""How often a batch is tried again when the database, not a statement of ours, is in the way (deadlock, lost link)."""


class _Work(NamedTuple):
    future: Future[Any]
    call: Callable[[], Any]
    refuses_first: bool


def refuses_first(call: Callable[P, T]) -> Callable[P, T]:
    """Says of a write that what it raises (LumenError) it raises before it changes anything.

    Nothing need be undone then, which saves a savepoint a call.
    """
    call.refuses_first = True  # type: ignore[attr-defined]
    return call


class Database:
    """One database with its reader threads and its writer thread.

    `clock` returns microseconds since the Unix epoch and exists for tests; without it time is monotonic within the
    process on SQLite and the server's on PostgreSQL.
    """

    def __init__(self, url: str, *, readers: int = 4, clock: Callable[[], int] | None = None):
        self.engine = connect(url)
        self._url = url
        self.is_sqlite = isinstance(self.engine, SqliteEngine)
        self._clock = clock
        self._anchor = time.time_ns() // 1000 - time.monotonic_ns() // 1000
        self._local = threading.local()
        self._queue: queue.SimpleQueue[_Work | None] = queue.SimpleQueue()
        self._reader_count = readers
        self._readers = ThreadPoolExecutor(max_workers=readers, thread_name_prefix='lumen-read')
        self._writer = threading.Thread(target=self._write_forever, name='lumen-write', daemon=True)
        self._closed = False
        self._lock_file: int | None = None
        self._retry_pause = threading.Event()
        self.engine.now = self.now
        models.database.initialize(self.engine)
        self._writer.start()

    async def read(self, call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `call` in one read-only transaction on a reader thread. Raises DatabaseUnavailable."""
        return await awaitable(self._readers.submit(self._read, lambda: call(*args, **kwargs)))

    async def write(self, call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `call` in the writer's transaction; return after its commit. What it raises undoes its own changes.

        Raises DatabaseUnavailable when the database fails, also after it was tried again.
        """
        return await awaitable(self.submit(call, *args, **kwargs))

    def read_now(self, call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """`read` for callers without an event loop: commands and tests."""
        return self._readers.submit(self._read, lambda: call(*args, **kwargs)).result()

    def write_now(self, call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """`write` for callers without an event loop: commands and tests."""
        return self.submit(call, *args, **kwargs).result()

    def submit(self, call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Queue `call` for the writer without waiting. Never blocks and may be called from a `finally`."""
        if self._closed:
            raise RuntimeError('the database is closed')
        future: Future[T] = Future()
        self._queue.put(_Work(future, lambda: call(*args, **kwargs), getattr(call, 'refuses_first', False)))
        return future

    def now(self) -> int:
        """Microseconds since the epoch, the same throughout one transaction."""
        moment: int | None = getattr(self._local, 'moment', None)
        if moment is None:
            moment = self._local.moment = self._ask_time()
        return moment

    def close(self) -> None:
        """Finish what is queued, then end the threads and their connections."""
        if self._closed:
            return
        self._closed = True
        self._queue.put(None)
        self._writer.join()
        # Each waits for all the others, so that every reader thread takes exactly one, also those begun only now.
        barrier = threading.Barrier(self._reader_count)
        for _ in range(self._reader_count):
            self._readers.submit(self._leave, barrier)
        self._readers.shutdown(wait=True)
        if self._lock_file is not None:
            os.close(self._lock_file)
            self._lock_file = None

    def claim_serving(self) -> None:
        """Make this the one serving process of an SQLite file, until `close`. Raises LumenError when there is one."""
        if not self.is_sqlite:
            return
        path = Path(self.engine.database).resolve()
        if path.exists() and path.stat().st_nlink > 1:
            raise LumenError(f'{path} has several names (hard links); SQLite cannot be used through more than one')
        try:
            descriptor = os.open(f'{path}.serving', os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise cannot_write(error) from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            raise LumenError(
                f'another Lumen is already serving {self.engine.database}; several processes need PostgreSQL',
                code='already_serving',
            ) from None
        self._lock_file = descriptor

    def _ask_time(self) -> int:
        if self._clock is not None:
            return self._clock()
        if self.is_sqlite:
            return self._anchor + time.monotonic_ns() // 1000
        cursor = self.engine.execute_sql('select (extract(epoch from clock_timestamp()) * 1000000)::bigint')
        return int(cursor.fetchone()[0])

    def _read(self, call: Callable[[], T]) -> T:
        for attempt in range(ATTEMPTS):
            try:
                with self._transaction(read_only=True):
                    return call()
            except (peewee.OperationalError, peewee.InterfaceError) as error:
                self.engine.close()
                if attempt == ATTEMPTS - 1:
                    raise unavailable(error, self._url) from error
                self._retry_pause.wait(0.05 * 2**attempt)
            except peewee.DatabaseError as error:
                if is_of_the_database(error):
                    raise unavailable(error, self._url) from error
                raise
        raise AssertionError('unreachable')

    @contextmanager
    def _transaction(self, *, read_only: bool) -> Iterator[None]:
        self._local.moment = None
        if self.engine.is_closed():
            self.engine.connect()
        if self.is_sqlite:
            if read_only:
                self.engine.execute_sql('pragma query_only = 1')
            scope = self.engine.transaction('DEFERRED' if read_only else 'IMMEDIATE')
        else:
            scope = self.engine.transaction()
        with scope:
            if read_only and not self.is_sqlite:
                self.engine.execute_sql('set transaction isolation level repeatable read, read only')
            try:
                yield
            finally:
                self._local.moment = None

    def _leave(self, barrier: threading.Barrier) -> None:
        barrier.wait()
        self.engine.close()

    def _write_forever(self) -> None:
        last = False
        while not last:
            batch = []
            work = self._queue.get()
            while work is not None:
                if work.future.set_running_or_notify_cancel():
                    batch.append(work)
                if len(batch) >= MAX_BATCH:
                    break
                try:
                    work = self._queue.get_nowait()
                except queue.Empty:
                    break
            last = work is None
            if batch:
                self._commit(batch)
        self.engine.close()

    def _commit(self, batch: list[_Work]) -> None:
        for attempt in range(ATTEMPTS):
            number: str | None = None
            try:
                with self._transaction(read_only=False):
                    results = [self._run(work, alone=len(batch) == 1) for work in batch]
                    number = commit_fate.number(self.engine)
            except (peewee.OperationalError, peewee.InterfaceError) as error:
                self.engine.close()
                is_lasting = lasts(error, self._url)
                if not is_lasting:
                    log.warning('write batch failed', attempt=attempt + 1, size=len(batch), error=str(error))
                if number is not None:  # COMMIT was sent: what may be done already must not be done again
                    is_done = self._was_carried_out(number)
                    if is_done is not False:
                        self._answer(batch, results if is_done else [(None, OutcomeUnknown())] * len(batch))
                        return
                if is_lasting or attempt == ATTEMPTS - 1:
                    for work in batch:
                        work.future.set_exception(self._told(error))
                    return
                if attempt and len(batch) > 1:  # one call may be at fault for all: let each stand for itself
                    for work in batch:
                        self._commit([work])
                    return
                self._retry_pause.wait(0.02 * 2**attempt)
            except (_Spoilt, peewee.DatabaseError) as error:
                if len(batch) > 1 and not is_of_the_database(error):
                    for work in batch:
                        self._commit([work])
                    return
                for work in batch:
                    work.future.set_exception(self._told(error))
                return
            except Exception as error:  # noqa: BLE001 - whatever it is, it belongs to whoever waits for the future
                for work in batch:
                    work.future.set_exception(self._told(error))
                return
            else:
                self._answer(batch, results)
                return

    def _was_carried_out(self, number: str) -> bool | None:
        """What became of transaction `number`, whose COMMIT got no answer; None when the database does not say."""
        for attempt in range(ATTEMPTS):
            try:
                with self._transaction(read_only=True):
                    found = commit_fate.was_carried_out(self.engine, number)
                if found is not None:
                    return found
            except (peewee.DatabaseError, peewee.InterfaceError) as error:
                log.warning('the fate of a write batch is not known yet', attempt=attempt + 1, error=str(error))
                self.engine.close()
            self._retry_pause.wait(0.02 * 2**attempt)
        return None

    def _answer(self, batch: list[_Work], results: list[tuple[Any, BaseException | None]]) -> None:
        for work, (value, failure) in zip(batch, results, strict=True):
            if failure is None:
                work.future.set_result(value)
            else:
                work.future.set_exception(self._told(failure))

    def _run(self, work: _Work, *, alone: bool) -> tuple[Any, BaseException | None]:
        if alone:
            return work.call(), None
        if work.refuses_first:
            try:
                return work.call(), None
            except LumenError as error:
                return None, error
            except peewee.PeeweeException:
                raise
            except Exception as error:  # a fault of ours, perhaps halfway: let each stand for itself
                raise _Spoilt from error
        try:
            with self.engine.savepoint():
                return work.call(), None
        except (peewee.OperationalError, peewee.InterfaceError):
            raise
        except Exception as error:  # noqa: BLE001 - as above
            return None, error

    def _told(self, error: BaseException) -> BaseException:
        """What a caller is told: of the database's own failures in our words, of any other as it is."""
        if isinstance(error, Exception) and is_of_the_database(error):
            return unavailable(error, self._url)
        return error


class _Spoilt(Exception):
    """One call of a batch failed halfway, and its changes could not be undone alone."""


def awaitable(future: Future[T]) -> asyncio.Future[T]:
    """`asyncio.wrap_future`, but what many futures bring at once wakes the event loop once."""
    loop = asyncio.get_running_loop()
    waiter: asyncio.Future[T] = loop.create_future()

    def deliver() -> None:
        if waiter.done():
            return
        if future.cancelled():
            waiter.cancel()
        elif (error := future.exception()) is not None:
            waiter.set_exception(error)
        else:
            waiter.set_result(future.result())

    future.add_done_callback(lambda _: _wakers.wake(loop, deliver))
    waiter.add_done_callback(lambda waiter: waiter.cancelled() and future.cancel())
    return waiter


class _Wakers:
    """For each event loop what is to be called in it. A loop that was woken already takes along what came meanwhile."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: WeakKeyDictionary[asyncio.AbstractEventLoop, deque[Callable[[], None]]] = WeakKeyDictionary()

    def wake(self, loop: asyncio.AbstractEventLoop, call: Callable[[], None]) -> None:
        with self._lock:
            waiting = self._waiting.setdefault(loop, deque())
            is_awake = bool(waiting)
            waiting.append(call)
        if not is_awake:
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(_drain, waiting)


def _drain(waiting: deque[Callable[[], None]]) -> None:
    # The one at the front stays there while it runs, so that who adds behind it need not wake the loop.
    while waiting:
        waiting[0]()
        waiting.popleft()


_wakers = _Wakers()


def tuples(query: Any) -> list[tuple[Any, ...]]:
    """The rows of a Peewee query as plain tuples."""
    return list(query.tuples())


def searchable(text: str) -> str:
    """What to look for: trimmed, without what no database takes (zero bytes, half characters)."""
    return text.replace('\x00', '').encode('utf-8', 'ignore').decode().strip()


def now() -> int:
    """The time of the present transaction, in microseconds since the epoch. Only within `read()` or `write()`."""
    moment: int = models.database.obj.now()
    return moment
