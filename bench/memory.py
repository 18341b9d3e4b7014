"""Whether a gateway's memory stays what it is: `python -m bench.memory [--minutes 60]`.

A stream a second on each of 30 connections (or more), all the time: 100,000 in an hour. Each minute, for three
seconds, whole answers as fast as 32 connections take them. Resident memory is noted each minute, and compared from the
tenth on: until then what is kept on purpose fills. Results go to `docs/benchmarks.json` and `docs/benchmarks.md`; exit
code 1 when it grew by more than a twentieth.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from bench import report
from bench.gateway import CHUNK_MS, Bench
from bench.processes import Processes

KEYS = 1000
SETTLES_AFTER = 10
"""Minutes."""

GROWTH = 0.05


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--minutes', type=int, default=60)
    parser.add_argument('--connections', type=int, default=30, help='streams at once')
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix='lumen-memory-') as directory, Processes(Path(directory)) as processes:
        found = _measured(Bench(processes, Path(directory)), Path(directory), arguments.minutes, arguments.connections)
    said = f'{datetime.now(UTC).date()}, Python {platform.python_version()}: {_sentence(found)}'
    report.keep({'memory': found}, 'memory', said)
    if not found['is_flat']:
        raise SystemExit(1)


def _measured(bench: Bench, directory: Path, minutes: int, connections: int) -> dict[str, Any]:
    target = bench.lumen('memory', KEYS, bench.model(CHUNK_MS))
    running = target.running
    assert running is not None  # noqa: S101 - it was started
    seconds = minutes * 60
    command = [bench.load, target.port, connections, 0, seconds, directory / 'stream', target.keys, 1]
    streams = subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE, text=True)
    try:
        begun, sizes, calls = time.monotonic(), [running.memory_mb()], 0
        for minute in range(1, minutes + 1):
            calls += int(bench.measure(target, 32, 'whole', 3)['calls_per_second'] * 3)
            time.sleep(max(0.0, begun + 60 * minute - time.monotonic()))
            sizes.append(round(running.memory_mb(), 1))
            sys.stdout.write(f'{minute}: {sizes[-1]} MB\n')
            sys.stdout.flush()
        told = json.loads(streams.communicate(timeout=60)[0])
    finally:
        streams.kill()
        streams.wait()
    settled = sizes[min(SETTLES_AFTER, len(sizes) - 1) :]
    first, last = median(settled[:5]), median(settled[-5:])
    return {
        'minutes': minutes,
        'streams': told['total'],
        'failures': told['failures'],
        'calls': calls,
        'megabytes': sizes,
        'is_flat': last <= first * (1 + GROWTH) and not told['failures'],
    }


def _sentence(found: dict[str, Any]) -> str:
    sizes = found['megabytes']
    settled = sizes[min(SETTLES_AFTER, len(sizes) - 1) :]
    return (
        f'{found["streams"]:,} streams and {found["calls"]:,} whole answers in {found["minutes"]} minutes, '
        f'{found["failures"]} failures. Resident memory {sizes[0]:.0f} MB at the start, median '
        f'{median(settled[:5]):.0f} MB in the five minutes after the tenth, {median(settled[-5:]):.0f} MB in the last '
        f'five, {max(sizes):.0f} MB at most.'
    )


if __name__ == '__main__':
    main()
