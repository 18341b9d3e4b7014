"""The one thread that writes: what queued while it committed makes its next transaction (natural group commit)."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import AbstractContextManager, suppress
from itertools import groupby
from typing import Any, NamedTuple

import peewee
import structlog

from lumen import commit_fate, conflicts
from lumen.database_faults import is_of_the_database, lasts, unavailable
from lumen.engine import Engine
from lumen.errors import LumenError, OutcomeUnknown

log = structlog.get_logger()

MAX_BATCH = 256
ATTEMPTS = 5
"""How often a batch is tried again when the database, not a statement of ours, is in the way (a lost link)."""

Results = list[tuple[Any, BaseException | None]]

Batched = Callable[[Sequence[Any]], Sequence[tuple[Any, LumenError | None]]]
"""A write of many things at once: for each, in order, its value or why it was refused, having changed nothing."""


Tell = Callable[[Any, BaseException | None], None]
"""Called in the writer's thread, after the commit, with a value or what went wrong."""


class Told:
    """What a write needs of a future, for who need not wait for it. Only what is said first is told."""

    __slots__ = ('_tell',)

    def __init__(self, tell: Tell):
        self._tell: Tell | None = tell

    def set_running_or_notify_cancel(self) -> bool:
        return True

    def set_result(self, value: Any) -> None:
        self._say(value, None)

    def set_exception(self, error: BaseException | None) -> None:
        self._say(None, error)

    def _say(self, value: Any, error: BaseException | None) -> None:
        tell, self._tell = self._tell, None
        if tell is not None:
            tell(value, error)


class Work(NamedTuple):
    """A write that waits: a call, or a thing among others for a batched one."""

    future: Future[Any] | Told
    call: Callable[[], Any] | None
    batched: Batched | None = None
    item: Any = None


class Spoilt(Exception):
    """Something of a batch failed halfway, and its changes could not be undone alone."""


class TryAgain(Exception):
    """A batch was carried out on what is not so any more: once it is undone, it can be carried out on what is so."""


class Writer(threading.Thread):
    """Carries out what is put into `queue`; None ends it. A future resolves only after the commit.

    `transaction` opens one, read-only or not, on the connection of the calling thread.
    """

    def __init__(self, engine: Engine, url: str, transaction: Callable[[bool], AbstractContextManager[None]]):
        super().__init__(name='lumen-write', daemon=True)
        self.queue: queue.SimpleQueue[list[Work] | None] = queue.SimpleQueue()
        self.pause = threading.Event()
        self._engine = engine
        self._url = url
        self._transaction = transaction
        self._is_over = False
        self._committing: str | None = None
        """The number of the transaction whose COMMIT was sent last, while nothing else is known of it."""

    def run(self) -> None:
        while not self._is_over:
            batch: list[Work] = []
            self._take(batch, self.queue.get())
            self._take_more(batch)
            if batch:
                self._see_through(batch)
        self._engine.close()

    def _take(self, batch: list[Work], asked: list[Work] | None) -> None:
        if asked is None:
            self._is_over = True
        else:
            batch += [work for work in asked if work.future.set_running_or_notify_cancel()]

    def _take_more(self, batch: list[Work]) -> None:
        """What is queued by now, too."""
        with suppress(queue.Empty):
            while len(batch) < MAX_BATCH and not self._is_over:
                self._take(batch, self.queue.get_nowait())

    def _see_through(self, batch: list[Work]) -> None:
        """Whatever goes wrong, all of the batch are answered and the thread lives on."""
        try:
            self._commit(batch, grows=True)
        except BaseException as error:
            log.exception('a write batch ended in a way that nobody knows')
            for work in batch:
                self._fail(work, error)

    def _commit(self, batch: list[Work], *, grows: bool = False) -> None:
        """One that `grows` takes in what is queued while its transaction begins."""
        for attempt in range(ATTEMPTS):
            results: Results = []
            try:
                self._carry_out(batch, results, grows=grows and not attempt)
            except (peewee.OperationalError, peewee.InterfaceError) as error:
                self._engine.close()
                is_lasting = lasts(error, self._url) or conflicts.is_conflict(error)
                if not is_lasting:
                    log.warning('write batch failed', attempt=attempt + 1, size=len(batch), error=str(error))
                if self._committing is not None:  # what may be done already must not be done again
                    is_done = self._was_carried_out(self._committing)
                    if is_done is not False:
                        self._answer(batch, results if is_done else [(None, OutcomeUnknown())] * len(batch))
                        return
                if is_lasting or attempt == ATTEMPTS - 1:
                    for work in batch:
                        self._fail(work, error)
                    return
                if attempt and len(batch) > 1:  # one call may be at fault for all: let each stand for itself
                    for work in batch:
                        self._commit([work])
                    return
                self.pause.wait(0.02 * 2**attempt)
            except TryAgain as error:
                if attempt and len(batch) > 1:
                    for work in batch:
                        self._commit([work])
                    return
                if attempt:
                    self._fail(batch[0], error.__cause__ or error)
                    return
            except (Spoilt, peewee.DatabaseError) as error:
                if len(batch) > 1 and not is_of_the_database(error):
                    for work in batch:
                        self._commit([work])
                    return
                for work in batch:
                    self._fail(work, error)
                return
            except Exception as error:  # noqa: BLE001 - whatever it is, it belongs to whoever waits for the future
                for work in batch:
                    self._fail(work, error)
                return
            else:
                self._answer(batch, results)
                return

    def _carry_out(self, batch: list[Work], results: Results, *, grows: bool) -> None:
        """Fill in `results` in one transaction. When another one got in its way, it is repeated as a whole: nothing of
        what it had found stays.
        """
        pauses = conflicts.pauses()
        while True:
            results.clear()
            self._committing = None
            try:
                with self._transaction(False):
                    if grows:
                        self._take_more(batch)
                    results += self._run_all(batch)
                    self._committing = commit_fate.number(self._engine)
                return
            except peewee.DatabaseError as error:
                if not conflicts.is_conflict(error):
                    raise
                self._committing = None  # the server itself says that it was not carried out
                if (pause := next(pauses, None)) is None:
                    raise
            self.pause.wait(pause)

    def _was_carried_out(self, number: str) -> bool | None:
        """What became of transaction `number`, whose COMMIT got no answer; None when the database does not say."""
        for attempt in range(ATTEMPTS):
            try:
                with self._transaction(True):
                    found = commit_fate.was_carried_out(self._engine, number)
                if found is not None:
                    return found
            except (peewee.DatabaseError, peewee.InterfaceError) as error:
                log.warning('the fate of a write batch is not known yet', attempt=attempt + 1, error=str(error))
                self._engine.close()
            self.pause.wait(0.02 * 2**attempt)
        return None

    def _answer(self, batch: list[Work], results: Results) -> None:
        for work, (value, failure) in zip(batch, results, strict=True):
            if failure is not None:
                self._fail(work, failure)
                continue
            try:
                work.future.set_result(value)
            except Exception:
                log.exception('a write that was done could not be told')

    def _fail(self, work: Work, error: BaseException) -> None:
        try:
            work.future.set_exception(self._told(error))
        except InvalidStateError:
            pass  # it has its answer
        except Exception:
            log.exception('a write that failed could not be told')

    def _run_all(self, batch: list[Work]) -> Results:
        results: Results = []
        for batched, works in groupby(batch, key=lambda work: work.batched):
            some = list(works)
            if batched is None:
                results += [self._run(work, alone=len(batch) == 1) for work in some]
                continue
            try:
                results += batched([work.item for work in some])
            except (peewee.DatabaseError, TryAgain):
                raise
            except Exception as error:
                if len(batch) == 1:
                    raise
                raise Spoilt from error
        return results

    def _run(self, work: Work, *, alone: bool) -> tuple[Any, BaseException | None]:
        assert work.call is not None  # noqa: S101 - what has none is batched
        if alone:
            return work.call(), None
        try:
            with self._engine.savepoint():
                return work.call(), None
        except (peewee.OperationalError, peewee.InterfaceError, TryAgain):
            raise
        except Exception as error:  # noqa: BLE001 - as above
            return None, error

    def _told(self, error: BaseException) -> BaseException:
        """What a caller is told: of the database's own failures in our words, of any other as it is."""
        if isinstance(error, Exception) and is_of_the_database(error):
            return unavailable(error, self._url)
        return error
