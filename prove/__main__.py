"""Prove what is promised of coins, on SQLite and PostgreSQL: `make prove`.

python -m prove [--lanes correctness,abort,faults,crash,changes,clock] [--seed 0]

Results go to `docs/benchmarks.json` and `docs/benchmarks.md`. What is not as stated ends it with exit code 1;
what this machine does not allow is named last, with the reason.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import psycopg

from bench.processes import Processes
from prove import (
    abort,
    changes,
    clock,
    correctness,
    crash,
    database_faults,
    pgbouncer,
    postgresql,
    report,
    upstream_faults,
)
from prove.proof import Proof

GATEWAYS = 4
"""That share a database where several do."""

Ways = Coroutine[Any, Any, list[Proof] | Proof]


class Run:
    """The lanes, each on installations and databases of its own."""

    def __init__(self, processes: Processes, server: postgresql.Server, pooler: pgbouncer.Pooler | None, seed: int):
        self._processes = processes
        self._server = server
        self._pooler = pooler
        self._seed = seed
        self._sites = 0

    def correctness(self) -> list[Ways]:
        return [
            correctness.prove(self._processes, self._folder(), url, gateways=gateways, seed=self._seed)
            for url, gateways in self._shared()
        ]

    def abort(self) -> list[Ways]:
        return [abort.prove(self._processes, self._folder())]

    def faults(self) -> list[Ways]:
        processes, server = self._processes, self._server
        return [
            upstream_faults.prove(processes, self._folder()),
            database_faults.locked(processes, self._folder()),
            database_faults.locked(processes, self._folder(), seconds=database_faults.LONG_SECONDS),
            database_faults.locked(processes, self._folder(), server.new_database()),
            *(
                database_faults.restarted(processes, self._folder(), server, mode=mode, gateways=gateways)
                for gateways in (1, GATEWAYS)
                for mode in ('fast', 'immediate')
            ),
            database_faults.full(processes, self._folder()),
            database_faults.full(processes, self._folder(), server),
        ]

    def crash(self) -> list[Ways]:
        return [
            crash.prove(
                self._processes,
                self._folder(),
                url,
                kills=crash.KILLS // 2 if gateways > 1 else crash.KILLS,  # which take twice as long
                gateways=gateways,
                seed=self._seed,
            )
            for url, gateways in self._shared()
        ]

    def changes(self) -> list[Ways]:
        return [
            changes.prove(self._processes, self._folder(), url, gateways=gateways)
            for url, gateways in (('', 1), (self._server.new_database(), GATEWAYS))
        ]

    def clock(self) -> list[Ways]:
        return [
            way(self._processes, self._folder(), url)
            for way in (clock.jumps, clock.summer_time)
            for url in ('', self._server.new_database())
        ]

    def _shared(self) -> list[tuple[str, int]]:
        """The databases on which coins are proved, and by how many gateways they are shared."""
        new = self._server.new_database
        serializable = postgresql.serializable
        shared = [('', 1), (new(), 1), (new(), GATEWAYS), (serializable(new()), 1), (serializable(new()), GATEWAYS)]
        return shared if self._pooler is None else [*shared, (self._pooler.behind(new()), GATEWAYS)]

    def _folder(self) -> Path:
        self._sites += 1
        return self._processes.directory / f'site-{self._sites}'


LANES: dict[str, Callable[[Run], list[Ways]]] = {
    'correctness': Run.correctness,
    'abort': Run.abort,
    'faults': Run.faults,
    'crash': Run.crash,
    'changes': Run.changes,
    'clock': Run.clock,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--lanes', default=','.join(LANES))
    parser.add_argument('--seed', type=int, default=0)
    arguments = parser.parse_args()
    found: dict[str, list[Proof]] = {}
    with (
        tempfile.TemporaryDirectory(prefix='lumen-prove-') as directory,
        Processes(Path(directory)) as processes,
        postgresql.serving() as server,
        _pooler(server) as pooler,
    ):
        run = Run(processes, server, pooler, arguments.seed)
        for lane in arguments.lanes.split(','):
            found[lane] = []
            for way in LANES[lane](run):
                proofs = asyncio.run(way)
                found[lane] += [_said(lane, proof) for proof in (proofs if isinstance(proofs, list) else [proofs])]
        with psycopg.connect(server.new_database()) as connection:
            version = connection.info.parameter_status('server_version') or ''
    report.write(found, seed=arguments.seed, postgresql=version.split()[0])
    _say_what_was_not_run(found)
    if pooler is None:
        _say(f'Not run: what goes through pgbouncer: {pgbouncer.MISSING}')
    return int(any(proof.wrong for proofs in found.values() for proof in proofs))


def _pooler(server: postgresql.Server) -> AbstractContextManager[pgbouncer.Pooler | None]:
    program = pgbouncer.find()
    return nullcontext() if program is None else pgbouncer.serving(program, server.new_database())


def _said(lane: str, proof: Proof) -> Proof:
    _say(f'{lane}: {proof.case}, {proof.on}: {_verdict(proof)} {dict(proof.found)}')
    return proof


def _verdict(proof: Proof) -> str:
    return '; '.join(proof.wrong) or ('not run' if proof.not_run else 'as stated')


def _say_what_was_not_run(found: Mapping[str, Sequence[Proof]]) -> None:
    for lane in (name for name in LANES if name not in found):
        _say(f'Not run: {lane}, which was not asked for')
    for lane, proofs in found.items():
        for proof in proofs:
            if proof.not_run:
                _say(f'Not run: {lane}: {proof.case}, {proof.on}: {proof.not_run}')


def _say(line: str) -> None:
    sys.stdout.write(f'{line}\n')
    sys.stdout.flush()


if __name__ == '__main__':
    sys.exit(main())
