"""What Lumen's gateway costs, beside what does none of its work: `make bench`.

    python -m bench.gateway [--rounds 5] [--seconds 2] [--lanes bare,governed,embedded,scale,streams,peers]
                            [--litellm PROGRAM] [--portkey PACKAGE]

The gateway has one processor, the model server and the load generator have the other. What is compared takes turns in
one run, and a figure is the median of the rounds. Results go to `docs/benchmarks.json` and `docs/benchmarks.md`, with
the bars of `bench/bars.py`; exit code 1 when one of them is not met, or a lane failed.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any

from bench import bars, litellm, nginx, peers, portkey, report
from bench.installation import LIMITED, Installation
from bench.lane import Lane, Target
from bench.processes import BESIDE, BOTH, MEASURED, Processes, cpu_seconds, family, free_port
from prove import postgresql

CHUNKS = 50
STREAMS, CHUNK_MS = 400, 20
KEYS = (1, 1_000, 100_000)
PAGES = 5
WORKERS = (1, 2, 4)
ACCOUNTS = {'1 account': 1, '10,000 accounts': 10_000}
WARM_SECONDS = 0.3
MESSAGE = {'model': 'bench', 'messages': [{'role': 'user', 'content': 'What is six times seven?'}]}
ANYBODY = 'sk_nobody'
CALLED = '/v1/chat/completions'


class Bench:
    """Peers are measured whose programs are given."""

    def __init__(
        self,
        processes: Processes,
        directory: Path,
        litellm_program: str | None = None,
        portkey_program: Path | None = None,
    ):
        self._litellm_program = litellm_program
        self._portkey_program = portkey_program
        self._processes = processes
        self._directory = directory
        self.load = processes.build('load')
        self._model_server = processes.build('model_server')
        self._anybody = directory / 'anybody'
        self._anybody.write_text(f'{ANYBODY}\n')
        for name, more in (('whole', {}), ('stream', {'stream': True})):
            (directory / name).write_text(json.dumps(MESSAGE | more, separators=(',', ':')))
        self._upstream = self.model(0)

    @contextmanager
    def lane(self, name: str) -> Iterator[Lane]:
        """The lane of that name. What the next one does not need is stopped when the block ends."""
        makers: dict[str, Callable[[], Lane]] = {
            'bare': self._bare,
            'governed': self._governed,
            'embedded': self._embedded,
            'scale': self._scale,
            'streams': self._streams,
            'peers': self._peers,
        }
        lane = makers[name]()
        with lane.server:
            try:
                yield lane
            finally:
                for target in lane.targets:
                    if target.running is not None:
                        self._processes.stop(target.running)

    def measure(
        self, target: Target, connections: int, body: str, seconds: float, spread: float = 0
    ) -> dict[str, float]:
        """One round of one target."""
        before = target.running.cpu_seconds() if target.running else 0.0
        database_before = cpu_seconds(target.database) if target.database else 0.0
        warm = WARM_SECONDS + spread
        command = [self.load, target.port, connections, warm, seconds, self._directory / body, target.keys, spread]
        command += [CALLED, target.head] if target.head else []
        found = json.loads(self._processes.run(command))
        if found['failures'] or found['ok'] != found['calls']:
            raise SystemExit(f'{target.name} failed: {found}')
        cpu = (target.running.cpu_seconds() if target.running else 0.0) - before
        figures = {}
        if target.database:
            database_cpu = cpu_seconds(target.database) - database_before
            figures[report.DATABASE] = database_cpu / max(1, found['total']) * 1e6
        return figures | {
            'calls_per_second': found['calls'] / seconds,
            'p50_us': found['p50'],
            'p99_us': found['p99'],
            'first_byte_p50_us': found['first_byte_p50'],
            'first_byte_p99_us': found['first_byte_p99'],
            'cpu_us_per_call': cpu / max(1, found['total']) * 1e6,
            'cpu_us_per_chunk': cpu / max(1, found['chunks']) * 1e6,
        }

    def model(self, delay_ms: int) -> int:
        port = free_port()
        self._processes.start([self._model_server, str(port), str(CHUNKS), str(delay_ms)], port, on=BESIDE)
        return port

    def _bare(self) -> Lane:
        installation = Installation(self._directory / 'bare', self._upstream)
        installation.fill(1)
        port = free_port()
        command = [sys.executable, '-m', 'bench.bare_relay', str(port), str(installation.configuration)]
        bare = self._processes.start(command, port, environment=installation.environment)
        lane = Lane('bare', [self._minimal(self._upstream), Target('bare', port, self._anybody, bare)], (32, 128))
        program = nginx.find()
        if program is None:
            lane.missing['nginx'] = nginx.MISSING
        else:
            lane.targets.insert(0, self._nginx(program))
        return lane

    def _governed(self) -> Lane:
        targets = [self._minimal(self._upstream)]
        targets += [self.lumen(f'{keys:,} keys', keys, self._upstream) for keys in KEYS]
        return Lane('governed', targets, (1, 32, 128))

    def _embedded(self) -> Lane:
        alone = self.lumen('gateway alone', 1_000, self._upstream)
        beside = self.lumen('with the pages', 1_000, self._upstream, role='all')
        return Lane('embedded', [alone, beside, self._with_open_pages()], (32,), 1, ('whole',))

    def _with_open_pages(self) -> Target:
        name = f'with {PAGES} pages open'
        target = self.lumen(name, 1_000, self._upstream, role='all')
        cookie = Installation(self._place(name, self._upstream), self._upstream).sign_in()
        port = free_port()
        command = [sys.executable, '-m', 'bench.open_pages', port, f'http://127.0.0.1:{target.port}', PAGES, '/clients']
        self._processes.start(command, port, on=BESIDE, environment=os.environ | {'COOKIE': cookie})
        return target

    def _scale(self) -> Lane:
        """Gateways on PostgreSQL, which has the processor of the load. Several of them have both processors."""
        lane = Lane('scale', [self._minimal(self._upstream)], (128,))
        server = lane.server.enter_context(postgresql.serving())
        for pid in family(server.pid):
            os.sched_setaffinity(pid, self._processes.processors(BESIDE))
        for workers, (accounts, keys) in product(WORKERS, ACCOUNTS.items()):
            name = f'{workers} worker{"s" * (workers > 1)}, {accounts}'
            target = self.lumen(name, keys, self._upstream, database_url=server.new_database(), workers=workers)
            lane.targets.append(replace(target, database=server.pid))
        return lane

    def _streams(self) -> Lane:
        upstream = self.model(CHUNK_MS)
        direct = Target('direct', upstream, self._anybody, None)
        return Lane(
            'streams',
            [direct, self._minimal(upstream), self.lumen('lumen', 1, upstream)],
            (STREAMS,),
            4,
            ('stream',),
            spread=CHUNKS * CHUNK_MS / 1000,
        )

    def _peers(self) -> Lane:
        lane = Lane('peers', [], (32,), 3, missing=dict(peers.ELSEWHERE))
        if self._litellm_program is None:
            lane.missing['LiteLLM'] = litellm.MISSING
        else:
            lane.targets.append(self._litellm(self._litellm_program))
        if self._portkey_program is None:
            lane.missing['Portkey'] = portkey.MISSING
        else:
            lane.targets.append(self._portkey(self._portkey_program))
        if lane.targets:
            lane.targets.append(self.lumen('lumen', 1_000, self._upstream))
        return lane

    def _litellm(self, program: str) -> Target:
        port = free_port()
        command = litellm.command(program, self._directory, port, self._upstream)
        peer = self._processes.start(command, port, environment=litellm.environment(), path=litellm.READY)
        return Target('LiteLLM', port, self._anybody, peer)

    def _portkey(self, program: Path) -> Target:
        port = free_port()
        peer = self._processes.start(portkey.command(program, port), port)
        return Target('Portkey', port, self._anybody, peer, portkey.head(self._directory, self._upstream))

    def _nginx(self, program: str) -> Target:
        port = free_port()
        command = nginx.command(program, self._directory, port, self._upstream)
        return Target('nginx', port, self._anybody, self._processes.start(command, port))

    def _minimal(self, upstream: int) -> Target:
        port = free_port()
        command = [sys.executable, '-m', 'bench.minimal_relay', str(port), f'http://127.0.0.1:{upstream}']
        return Target('minimal relay', port, self._anybody, self._processes.start(command, port))

    def _place(self, name: str, upstream: int) -> Path:
        return self._directory / f'{name}-{upstream}'.replace(' ', '-')

    def lumen(
        self,
        name: str,
        keys: int,
        upstream: int,
        role: str = 'gateway',
        *,
        database_url: str = '',
        workers: int = 1,
    ) -> Target:
        installation = Installation(self._place(name, upstream), upstream, database_url, more=LIMITED)
        path = installation.fill(keys)
        port = free_port()
        command = installation.serve(port, role, workers)
        on = MEASURED if workers == 1 else BOTH
        running = self._processes.start(command, port, on=on, environment=installation.environment, path='/readyz')
        if keys > 1:  # each key once, so that all are known; a worker knows most when each was seen twice as often
            seconds = keys / 800 * (1 if workers == 1 else 2 * workers)
            self._processes.run([self.load, port, 32, 0, seconds, self._directory / 'whole', path])
        return Target(name, port, path, running)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--seconds', type=float, default=2)
    parser.add_argument('--lanes', default=','.join(report.BASE))
    parser.add_argument('--litellm', default='', help='where LiteLLM is installed, if not on the PATH')
    parser.add_argument('--portkey', default='', help='the folder of its package, `…/node_modules/@portkey-ai/gateway`')
    arguments = parser.parse_args()
    found: dict[str, Any] = {}
    missing: dict[str, dict[str, str]] = {}
    has_failed = False
    programs = litellm.find(arguments.litellm), portkey.find(arguments.portkey)
    with tempfile.TemporaryDirectory(prefix='lumen-bench-') as directory, Processes(Path(directory)) as processes:
        bench = Bench(processes, Path(directory), *programs)
        for name in arguments.lanes.split(','):
            found[name] = []
            try:
                with bench.lane(name) as lane:
                    missing[name] = lane.missing
                    found[name] = _measured(bench, lane, arguments.rounds, arguments.seconds)
            except SystemExit as error:  # the other lanes took their time
                missing[name] = {bars.LANE: f'it failed: {error}'}
                has_failed = True
    judged = report.write(
        found, rounds=arguments.rounds, seconds=arguments.seconds, missing=missing, peers=peers.versions(*programs)
    )
    sys.stdout.write(f'{bars.table(judged)}\n')
    return int(has_failed or any(bar['is_met'] is False for bar in judged))


def _measured(bench: Bench, lane: Lane, rounds: int, seconds: float) -> list[dict[str, Any]]:
    rows = []
    for body in lane.bodies:
        for connections in lane.connections:
            taken: dict[str, list[dict[str, float]]] = {target.name: [] for target in lane.targets}
            for _ in range(rounds):
                for target in lane.targets:
                    taken[target.name].append(
                        bench.measure(target, connections, body, seconds * lane.longer, lane.spread)
                    )
            for name, figures in taken.items():
                middle = {figure: round(median(row[figure] for row in figures), 1) for figure in figures[0]}
                rows.append({'target': name, 'connections': connections, 'answer': body} | middle)
                sys.stdout.write(f'{lane.name}: {json.dumps(rows[-1])}\n')
                sys.stdout.flush()
    return rows


if __name__ == '__main__':
    sys.exit(main())
