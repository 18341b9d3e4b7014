"""A database that is locked, restarted or full while calls run: each is answered and charged, or refused and not."""

from __future__ import annotations

import asyncio
import itertools
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg

from bench.processes import Processes, Running
from lumen.coins import Price, from_text
from prove.caller import Answer, call
from prove.correctness import MESSAGE
from prove.model_server import ModelServer
from prove.postgresql import Server
from prove.proof import Proof, Wrongs, not_run
from prove.site import Site, model

CALLERS = 8
PRICE = ('1000', '2000')
INPUT, OUTPUT = 22, 10
POOL = {'max': '100000', 'refresh': '0', 'starting': '100000'}
DISK_MB = 40
SHORT_SECONDS, LONG_SECONDS = 2.0, 12.0
"""A lock; the longer one outlasts the time that SQLite waits for it by itself."""

WAITED_FOR = 'waited for: all answered, `success`, charged as reported'
REFUSED = 'answered and charged as reported, or 503 `unavailable` and nothing charged; then as before'
WITHHELD = f'{REFUSED}; answers whose charge finds no room are withheld until it does'

Trouble = Callable[[], Awaitable[None]]
"""Makes it, and returns when it is over."""


async def locked(
    processes: Processes, directory: Path, database_url: str = '', *, seconds: float = SHORT_SECONDS
) -> Proof:
    """Another process keeps what every call has to write."""
    async with ModelServer() as server:
        site = _site(processes, directory, server, database_url)
        lock = _lock_sqlite if site.engine == 'SQLite' else _lock_postgresql
        found = Found(site)
        await found.gather(lambda: asyncio.to_thread(lock, site.database_url, seconds))
        found.wrong(found.refused > 0, f'{found.refused} were refused')
        found.wrong(found.slowest < seconds * 0.9, 'no call met the lock')
        return found.proof(f'locked for {seconds:g} s', WAITED_FOR)


async def restarted(
    processes: Processes, directory: Path, postgresql: Server, *, mode: str, gateways: int = 1
) -> Proof:
    """PostgreSQL is stopped in order (`fast`) or as in a crash (`immediate`), and started again."""
    async with ModelServer() as server:
        site = _site(processes, directory, server, postgresql.new_database())
        found = Found(site, gateways)
        await found.gather(lambda: asyncio.to_thread(lambda: postgresql.restart(mode=mode)))
        return found.proof('restarted' if mode == 'fast' else 'restarted after a crash', REFUSED)


async def full(processes: Processes, directory: Path, postgresql: Server | None = None) -> Proof:
    """The disk that the database is on has no room left for a while."""
    with small_disk((directory if postgresql is None else postgresql.folder) / 'disk') as disk:
        if disk is None:
            return not_run(
                'database: full', 'PostgreSQL' if postgresql else 'SQLite', WITHHELD, 'only root may mount a disk'
            )
        url = f'sqlite:///{disk}/lumen.db' if postgresql is None else postgresql.new_database(on=disk)
        async with ModelServer() as server:
            site = _site(processes, directory / 'site', server, url)
            found = Found(site)

            async def fill() -> None:
                filler = disk / 'filler'
                await asyncio.to_thread(_fill, filler)
                more: list[asyncio.Task[None]] = []  # the callers may all wait for a charge by now
                async with asyncio.timeout(60):
                    while not found.refused:
                        more.append(asyncio.create_task(found.call(f'more {len(more)}', streams=False)))
                        await asyncio.sleep(0.1)
                filler.unlink()
                await asyncio.gather(*more)

            await found.gather(fill)
            proof = found.proof('full', WITHHELD)
        if postgresql is not None:
            postgresql.drop(url, disk)
        return proof


class Found:
    """The calls of one gateway or more before, during and after some trouble."""

    def __init__(self, site: Site, gateways: int = 1):
        self.wrong = Wrongs()
        self.slowest = 0.0
        self.refused = 0
        self._site = site
        self._gateways: list[Running] = [site.serve(on=(number % 2,)) for number in range(gateways)]
        self._turns = itertools.cycle(self._gateways)
        self._answers: list[Answer] = []
        self._is_over = False

    async def gather(self, trouble: Trouble) -> None:
        """Call all the time, from before the trouble until after it."""
        calling = [asyncio.create_task(self._call_on(number)) for number in range(CALLERS)]
        await self._some_more()
        await trouble()
        before = len(self._answers) + CALLERS  # those in flight began in the trouble
        await self._some_more(before)
        self._is_over = True
        await asyncio.gather(*calling)

    def proof(self, case: str, stated: str) -> Proof:
        """What came of it, after the gateways have stopped."""
        self._site.wait_until_settled()
        for gateway in self._gateways:
            self._site.stop(gateway)
        requests = self._site.requests()
        due = Price(*map(from_text, PRICE)).cost(INPUT, OUTPUT)
        answered = 0
        for answer in self._answers:
            row = requests.get(answer.request_id)
            if answer.status == 200:
                answered += 1
                self.wrong(not answer.is_complete, 'an answer breaks off')
                is_charged = row is not None and (row.outcome, row.cost) == ('success', due)
                self.wrong(not is_charged, f'{answer.request_id} was answered and not charged')
            else:
                self.wrong((answer.status, answer.code) != (503, 'unavailable'), f'{answer.status} {answer.code}')
                self.wrong(row is not None and row.cost > 0, f'{answer.request_id} was refused and charged')
        charged = sum(row.cost > 0 for row in requests.values())
        self.wrong(charged != answered, f'{charged} are charged and {answered} answered')
        self.wrong.add(self._site.wrong_in_the_books())
        found: dict[str, int | str] = {
            'answered': answered,
            'refused': self.refused,
            'slowest': f'{self.slowest:.1f} s',
        }
        on = self._site.described(len(self._gateways))
        return Proof(f'database: {case}', on, len(self._answers), stated, found, self.wrong.all)

    async def call(self, name: str, *, streams: bool) -> None:
        """Call the gateways in turn, and keep what came of it."""
        told = {'name': name, 'input': INPUT, 'events': OUTPUT, 'interval': 0.005}
        body = {'model': 'm', 'messages': MESSAGE, 'max_tokens': OUTPUT, 'stream': streams, 'metadata': told}
        begun = time.monotonic()
        gateway = next(self._turns)
        answer = await call(gateway.port, self._site.keys[0], body)
        self.slowest = max(self.slowest, time.monotonic() - begun)
        self.refused += answer.status == 503
        self._answers.append(answer)

    async def _call_on(self, caller: int) -> None:
        number = 0
        while not self._is_over:
            number += 1
            await self.call(f'{caller} {number}', streams=number % 2 == 0)

    async def _some_more(self, than: int = 0) -> None:
        """Return when a few have been answered well since."""
        async with asyncio.timeout(60):
            while sum(answer.status == 200 for answer in self._answers[than:]) < CALLERS:  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.02)


@contextmanager
def small_disk(place: Path) -> Iterator[Path | None]:
    """A file system of its own with little room, in memory; None where nobody may make one."""
    place.mkdir(parents=True)
    mount = [shutil.which('mount') or 'mount', '-t', 'tmpfs', '-o', f'size={DISK_MB}m', 'tmpfs', str(place)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        yield None
        return
    try:
        yield place
    finally:
        subprocess.run([shutil.which('umount') or 'umount', '--lazy', str(place)], check=True)


def _site(processes: Processes, directory: Path, server: ModelServer, database_url: str) -> Site:
    return Site(processes, directory, [model('m', server.port, price=PRICE)], [POOL], database_url)


def _lock_sqlite(url: str, seconds: float) -> None:
    connection = sqlite3.connect(url.removeprefix('sqlite:///'), isolation_level=None)
    connection.execute('begin immediate')
    time.sleep(seconds)
    connection.rollback()
    connection.close()


def _lock_postgresql(url: str, seconds: float) -> None:
    with psycopg.connect(url) as connection:
        connection.execute('lock table account in exclusive mode')
        time.sleep(seconds)
        connection.rollback()


def _fill(filler: Path) -> None:
    with suppress(OSError), filler.open('wb', buffering=0) as file:
        while True:
            file.write(b'x' * 4096)
