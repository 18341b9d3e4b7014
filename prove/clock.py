"""The time of day is set while a gateway runs, and goes to summer time and from it: pools go on as before.

What shows that a gateway sees another time of day is a key: one that expires in half an hour is refused when the clock
is an hour ahead, and one that expired half an hour ago is accepted when it is an hour behind.
"""

from __future__ import annotations

import asyncio
import os
import struct
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import models
from bench.processes import Processes, Running, compiler
from prove.caller import call
from prove.correctness import MESSAGE
from prove.model_server import ModelServer
from prove.proof import Proof, Wrongs, not_run
from prove.site import COIN, Site, model

HERE = Path(__file__).parent
HOUR_SECONDS, HALF_AN_HOUR_US = 3600, 1_800_000_000
REFRESH = COIN
"""Nanocoins a second."""

POOL = {'max': '1000000000', 'refresh': '3600', 'starting': '10'}
JUMPED = 'set an hour ahead, back, an hour behind, back'
JUMPS = (0, HOUR_SECONDS, 0, -HOUR_SECONDS, 0)
ZONE = 'CST6CDT,M3.2.0,M11.1.0'
"""Summer time from the second Sunday of March, 8:00 UTC, to the first of November, 7:00 UTC."""

BEFORE_SECONDS, AFTER_SECONDS = 3, 1
STATED = 'the pool takes in what the time that passes brings, to the microsecond that it is touched'
CALL = {'input': 22, 'events': 5}


@dataclass(frozen=True, slots=True)
class Touched:
    """A pool after a call, and between which readings of `time.monotonic()` that was charged."""

    begun: float
    ended: float
    account: models.Account


class Clock:
    """The time of day of the processes that are started with its `environment`."""

    def __init__(self, processes: Processes):
        shim = processes.build('clock_shim', '-shared', '-fPIC', folder=HERE)
        self._file = processes.directory / 'ahead'
        self._file.write_bytes(bytes(8))
        self._ahead_us = 0
        self.environment = {'LD_PRELOAD': str(shim), 'CLOCK_AHEAD': str(self._file), 'TZ': ZONE}

    def __call__(self) -> int:
        """Microseconds since the epoch, as those processes see it."""
        return time.time_ns() // 1000 + self._ahead_us

    def set(self, seconds: float) -> None:
        """So much ahead of the true time, behind it below zero."""
        self._ahead_us = round(seconds * 1e6)
        with self._file.open('r+b', buffering=0) as file:  # in place: it is mapped
            file.write(struct.pack('q', self._ahead_us * 1000))


async def jumps(processes: Processes, directory: Path, database_url: str = '') -> Proof:
    """An hour ahead, back, an hour behind, and back again."""
    if compiler() is None:
        return _not_run(JUMPED, database_url)
    async with ModelServer() as server:
        clock = Clock(processes)
        site = _site(processes, directory, server, database_url)
        gateway = await asyncio.to_thread(lambda: site.serve(environment=clock.environment))
        wrong = Wrongs()
        touched: list[Touched] = []
        for seconds in JUMPS:
            clock.set(seconds)
            for number, is_accepted in ((1, seconds <= 0), (2, seconds < 0)):
                status = await asyncio.to_thread(_status, gateway, site.keys[number])
                wrong((status == 200) != is_accepted, f'the gateway does not see the clock: {status}')
            touched.append(await _touch(site, gateway, f'{len(touched)}'))
        site.stop(gateway)
    return _judged(site, JUMPED, wrong, touched)


async def summer_time(processes: Processes, directory: Path, database_url: str = '') -> list[Proof]:
    """Gateways that run while their zone goes to summer time and from it."""
    if compiler() is None:
        return [_not_run(name, database_url) for _, name in _changes(datetime.now(UTC))]
    async with ModelServer() as server:
        clock = Clock(processes)
        site = _site(processes, directory, server, database_url)
        if site.engine == 'SQLite':  # PostgreSQL has a clock of its own, which nobody sets here
            site.clock = clock
        proofs = []
        for moment, name in _changes(datetime.now(UTC)):
            wrong = Wrongs()
            clock.set((moment - datetime.now(UTC)).total_seconds() - BEFORE_SECONDS)
            wrong(not _is_change(clock.environment), 'the zone does not change')
            changes_at = time.monotonic() + BEFORE_SECONDS
            clock.set((moment - datetime.now(UTC)).total_seconds() - BEFORE_SECONDS)
            gateway = await asyncio.to_thread(lambda: site.serve(environment=clock.environment))
            touched = [await _touch(site, gateway, f'{name} 1')]
            wrong(time.monotonic() >= changes_at, 'the gateway started too late')
            await asyncio.sleep(changes_at + AFTER_SECONDS - time.monotonic())
            touched.append(await _touch(site, gateway, f'{name} 2'))
            site.stop(gateway)
            proofs.append(_judged(site, name, wrong, touched))
    return proofs


def _not_run(case: str, database_url: str) -> Proof:
    on = 'PostgreSQL' if database_url else 'SQLite'
    return not_run(case, on, STATED, 'what sets the clock is C, and no C compiler (cc) is installed')


def _site(processes: Processes, directory: Path, server: ModelServer, database_url: str) -> Site:
    site = Site(processes, directory, [model('m', server.port)], [POOL] * 3, database_url)
    now = time.time_ns() // 1000
    for number, expires_at in ((1, now + HALF_AN_HOUR_US), (2, now - HALF_AN_HOUR_US)):
        account_id = site.account(number).id
        expiring = models.ApiKey.update(expires_at=expires_at).where(models.ApiKey.account == account_id)
        site.write(expiring.execute)
    return site


async def _touch(site: Site, gateway: Running, name: str) -> Touched:
    begun = time.monotonic()
    answer = await call(
        gateway.port,
        site.keys[0],
        {'model': 'm', 'messages': MESSAGE, 'max_tokens': CALL['events'], 'metadata': CALL | {'name': name}},
    )
    ended = time.monotonic()
    if answer.status != 200:
        raise SystemExit(f'a call with the clock set: {answer.status} {answer.code}')
    return Touched(begun, ended, await asyncio.to_thread(site.account))


def _judged(site: Site, case: str, wrong: Wrongs, touched: list[Touched]) -> Proof:
    worst = 0.0
    for one, next_ in pairwise(touched):
        accrued = next_.account.accrued - one.account.accrued
        passed_us = next_.account.touched_at - one.account.touched_at
        wrong(accrued != passed_us * REFRESH // 1_000_000, f'{accrued} nanocoins in {passed_us} microseconds')
        seconds = accrued / REFRESH
        least, most = next_.begun - one.ended, next_.ended - one.begun
        wrong(not least <= seconds <= most, f'the refill of {seconds:.3f} s in {least:.3f} to {most:.3f} s')
        spent = next_.account.spent - one.account.spent
        wrong(next_.account.balance != one.account.balance + accrued - spent, 'the balance')
        worst = max(worst, abs(seconds - (next_.ended - one.ended)))
    wrong.add(site.wrong_in_the_books())
    found = {'off the true time by at most': f'{worst * 1000:.0f} ms, the length of a call'}
    return Proof(case, site.engine, len(touched), STATED, found, wrong.all)


def _status(gateway: Running, key: str) -> int:
    request = urllib.request.Request(
        f'http://127.0.0.1:{gateway.port}/v1/models', headers={'Authorization': f'Bearer {key}'}
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - an address of ours
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def _changes(now: datetime) -> list[tuple[datetime, str]]:
    """The next changes of `ZONE` after `now`, which must not lie before it: a pool knows when it was touched last."""

    def sunday(year: int, month: int, which: int, hour: int) -> datetime:
        first = datetime(year, month, 1, hour, tzinfo=UTC)
        return first + timedelta(days=(6 - first.weekday()) % 7 + 7 * (which - 1))

    found = [
        (moment, name)
        for year in (now.year, now.year + 1)
        for moment, name in (
            (sunday(year, 3, 2, 8), 'summer time begins'),
            (sunday(year, 11, 1, 7), 'summer time ends'),
        )
        if moment > now
    ]
    return found[:2]


def _is_change(environment: Mapping[str, str]) -> bool:
    """Whether a process that starts now sees the clocks of the zone change within the next seconds."""
    code = (
        'import time; now = time.time(); '
        f'print(time.localtime(now).tm_isdst, time.localtime(now + {BEFORE_SECONDS}).tm_isdst)'
    )
    whole = {**os.environ, **environment}
    said = subprocess.run([sys.executable, '-c', code], env=whole, capture_output=True, text=True, check=True).stdout
    before, after = said.split()
    return before != after
