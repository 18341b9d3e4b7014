"""The two ways to the database: `read()` and `write()`, both off the event loop.

Reads run on a few threads, each with its own connection. Writes go through one writer thread that commits whatever has
queued while the last commit was under way (natural group commit): a write's future resolves only after its commit.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import peewee
import structlog

import models
from lumen import conflicts
from lumen.database_faults import cannot_write, is_of_the_database, unavailable
from lumen.engine import SqliteEngine, connect
from lumen.errors import DatabaseUnavailable, LumenError, OutcomeUnknown
from lumen.waking import Patience, Promise
from lumen.writer import ATTEMPTS, Batched, Tell, Told, Work, Writer

P = ParamSpec('P')
T = TypeVar('T')

log = structlog.get_logger()

ANSWER_SECONDS = 30.0
"""So long one waits for a read or a write: a server that is frozen, or behind a dead link, never answers."""

GATHERED_TURNS = 3
"""So many turns of a busy event loop are gathered at most. None takes longer than what is ready in it."""


class Database:
    """One database with its reader threads and its writer thread.

    `clock` returns microseconds since the Unix epoch and exists for tests; without it time is monotonic within the
    process on SQLite and the server's on PostgreSQL.
    """

    def __init__(self, url: str, *, readers: int = 4, clock: Callable[[], int] | None = None):
        self.engine = connect(url)
        self._url = url
        self.is_sqlite = isinstance(self.engine, SqliteEngine)
        self.patience = Patience(ANSWER_SECONDS)
        self._clock = clock
        self._anchor = time.time_ns() // 1000 - time.monotonic_ns() // 1000
        self._local = threading.local()
        self._reader_count = readers
        self._readers = ThreadPoolExecutor(max_workers=readers, thread_name_prefix='lumen-read')
        self._pinger = ThreadPoolExecutor(max_workers=1, thread_name_prefix='lumen-ping')
        self._asked: deque[Work] = deque()
        self._asking: asyncio.AbstractEventLoop | None = None
        self._is_much_asked = False
        self._writer = Writer(self.engine, url, self._transaction)
        self._closed = False
        self._lock_file: int | None = None
        self.engine.now = self.now
        models.database.initialize(self.engine)
        self._writer.start()

    async def read(self, call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `call` in one read-only transaction on a reader thread. Raises DatabaseUnavailable."""
        try:
            return await self.answer(self._readers.submit(self._read, lambda: call(*args, **kwargs)))
        except OutcomeUnknown as error:  # of a read nothing is left to be looked for
            raise _silent() from error

    async def ping(self) -> None:
        """Return when the database answered, whatever else waits for it. Raises DatabaseUnavailable."""
        await self.answer(self._pinger.submit(self._read, lambda: self.engine.execute_sql('select 1')))

    async def write(self, call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `call` in the writer's transaction; return after its commit. What it raises undoes its own changes.

        Raises DatabaseUnavailable when the database fails, also after it was tried again.
        """
        return await self.answer(self.submit(call, *args, **kwargs))

    async def answer(self, future: Future[T]) -> T:
        """What becomes of a read or a write, or DatabaseUnavailable when that takes longer than one may wait.

        A write that had begun by then may still be carried out: that is an OutcomeUnknown.
        """
        try:
            return await self.patience.awaitable(future)
        except TimeoutError:
            if not future.cancelled():
                raise OutcomeUnknown('the database does not answer') from None
            raise _silent() from None

    def read_now(self, call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """`read` for callers without an event loop: commands and tests."""
        return self._readers.submit(self._read, lambda: call(*args, **kwargs)).result()

    def write_now(self, call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """`write` for callers without an event loop: commands and tests."""
        future = self.submit(call, *args, **kwargs)
        self._hand_over()  # a loop that waits here does not come to the end of its turn
        return future.result()

    def submit(self, call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Queue `call` for the writer without waiting. Never blocks and may be called from a `finally`."""
        if self._closed:
            raise RuntimeError('the database is closed')
        future: Future[T] = Promise()
        self._queue(Work(future, lambda: call(*args, **kwargs)))
        return future

    def submit_to(self, batched: Batched, item: Any) -> Future[Any]:
        """Queue `item` for the writer, to be handed to `batched` together with those that are queued beside it."""
        future: Future[Any] = Promise()
        self._submit_to(batched, item, future)
        return future

    def submit_and_tell(self, batched: Batched, item: Any, tell: Tell) -> None:
        """The same, for who is told in the writer's thread. `tell` must not raise."""
        self._submit_to(batched, item, Told(tell))

    def _submit_to(self, batched: Batched, item: Any, future: Future[Any] | Told) -> None:
        if self._closed:
            raise RuntimeError('the database is closed')
        self._queue(Work(future, None, batched, item))

    def now(self) -> int:
        """Microseconds since the epoch, the same throughout one transaction."""
        moment: int | None = getattr(self._local, 'moment', None)
        if moment is None:
            moment = self._local.moment = self._ask_time()
        return moment

    @property
    def is_writing(self) -> bool:
        """Whether the thread is alive that all writes go through."""
        return self._writer.is_alive()

    def close(self) -> None:
        """Finish what is queued, then end the threads and their connections."""
        if self._closed:
            return
        self._closed = True
        self._hand_over()
        self._writer.queue.put(None)
        self._writer.join()
        # Each waits for all the others, so that every reader thread takes exactly one, also those begun only now.
        barrier = threading.Barrier(self._reader_count)
        for _ in range(self._reader_count):
            self._readers.submit(self._leave, barrier)
        self._readers.shutdown(wait=True)
        self._pinger.submit(self.engine.close)
        self._pinger.shutdown(wait=True)
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

    def _queue(self, work: Work) -> None:
        """What one turn of an event loop asks for goes to the writer together: one commit for all. While much is asked
        for, so does what the next turns bring.
        """
        loop = asyncio._get_running_loop()
        self._asked.append(work)
        if loop is None:
            self._hand_over()
        elif self._asking is not loop:
            self._asking = loop
            loop.call_soon(self._gather, loop, 0, GATHERED_TURNS if self._is_much_asked else 0)

    def _gather(self, loop: asyncio.AbstractEventLoop, before: int, turns_left: int) -> None:
        count = len(self._asked)
        if turns_left and count > before:
            loop.call_soon(self._gather, loop, count, turns_left - 1)
        else:
            self._is_much_asked = count > 1
            self._hand_over()

    def _hand_over(self) -> None:
        """From the event loop, and from any thread that asks by itself: each may find that another took it all."""
        self._asking = None
        asked: list[Work] = []
        with suppress(IndexError):
            while True:
                asked.append(self._asked.popleft())
        if asked:
            self._writer.queue.put(asked)

    def _ask_time(self) -> int:
        if self._clock is not None:
            return self._clock()
        if self.is_sqlite:
            return self._anchor + time.monotonic_ns() // 1000
        cursor = self.engine.execute_sql('select (extract(epoch from clock_timestamp()) * 1000000)::bigint')
        return int(cursor.fetchone()[0])

    def _read(self, call: Callable[[], T]) -> T:
        """What `call` finds. It may be called again, when the database fails or takes its transaction back."""
        for attempt in range(ATTEMPTS):
            try:
                return self._read_once(call)
            except (peewee.OperationalError, peewee.InterfaceError) as error:
                self.engine.close()
                if attempt == ATTEMPTS - 1:
                    raise unavailable(error, self._url) from error
                self._writer.pause.wait(0.05 * 2**attempt)
            except peewee.DatabaseError as error:
                if is_of_the_database(error):
                    raise unavailable(error, self._url) from error
                raise
        raise AssertionError('unreachable')

    def _read_once(self, call: Callable[[], T]) -> T:
        pauses = conflicts.pauses()
        while True:
            try:
                with self._transaction(True):
                    return call()
            except peewee.OperationalError as error:
                if not conflicts.is_conflict(error) or (pause := next(pauses, None)) is None:
                    raise
            self._writer.pause.wait(pause)

    @contextmanager
    def _transaction(self, read_only: bool) -> Iterator[None]:
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


def _silent() -> DatabaseUnavailable:
    return DatabaseUnavailable('the database does not answer', 'check that it runs, and the way to it')


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
