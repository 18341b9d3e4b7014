"""The processes of a measurement: built, pinned to a processor, waited for, and ended by whoever began them."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

HERE = Path(__file__).parent
MEASURED, BESIDE, BOTH = (0,), (1,), (0, 1)
"""Which of the processors that we may use are for what is measured, and which for all else."""
READY_SECONDS = 90
TICKS = os.sysconf('SC_CLK_TCK')


@dataclass(frozen=True, slots=True)
class Running:
    """A process that listens on a port of 127.0.0.1."""

    process: subprocess.Popen[bytes]
    port: int

    @property
    def pid(self) -> int:
        return self.process.pid

    def cpu_seconds(self) -> float:
        """The processor time that it and its children took so far."""
        return cpu_seconds(self.pid)

    def memory_mb(self) -> float:
        """Its resident memory."""
        pages = int(Path(f'/proc/{self.process.pid}/statm').read_text().split()[1])
        return pages * os.sysconf('SC_PAGE_SIZE') / 1e6


class Processes:
    """Everything that was started ends with the block, the last one first."""

    def __init__(self, directory: Path):
        self.directory = directory
        self._running: list[Running] = []
        usable = sorted(os.sched_getaffinity(0))
        if len(usable) < 2:
            raise SystemExit('A measurement needs two processors: one for the gateway, one for everything else.')
        self._processors = (usable[0], usable[1])

    def __enter__(self) -> Processes:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        while self._running:
            self.stop(self._running[-1])

    def processors(self, on: Sequence[int]) -> set[int]:
        """What the system calls them."""
        return {self._processors[number] for number in on}

    def build(self, name: str, *options: str, folder: Path = HERE) -> Path:
        """The program of a C source in `folder`. Raises SystemExit without a compiler."""
        found = compiler()
        if found is None:
            raise SystemExit('The model server and the load generator are C: install a C compiler (cc) first.')
        program = self.directory / name
        subprocess.run([found, '-O2', *options, '-o', program, folder / f'{name}.c'], check=True)
        return program

    def start(
        self,
        command: Sequence[str | Path | int],
        port: int,
        *,
        on: Sequence[int] = MEASURED,
        environment: Mapping[str, str] | None = None,
        path: str = '',
        log: str = 'bench',
    ) -> Running:
        """Start a command that listens on `port`, pinned; return when it does (and `path` answers 200)."""
        processors = self.processors(on)
        with (self.directory / f'{log}.log').open('ab') as output:
            process = subprocess.Popen(
                [str(word) for word in command],
                stdout=output,
                stderr=output,
                env=dict(os.environ if environment is None else environment),
                preexec_fn=lambda: os.sched_setaffinity(0, processors),
            )
        running = Running(process, port)
        self._running.append(running)
        wait_for(lambda: self._answers(running, path, log), READY_SECONDS, f'{command[0]} to listen on {port}')
        return running

    def stop(self, running: Running) -> None:
        """End it, by force when it does not by itself."""
        self._running.remove(running)
        running.process.terminate()
        try:
            running.process.wait(timeout=40)
        except subprocess.TimeoutExpired:
            running.process.kill()
            running.process.wait()

    def run(self, command: Sequence[str | Path | int | float]) -> str:
        """What a command beside the measured ones prints."""
        processors = self.processors(BESIDE)
        return subprocess.run(
            [str(word) for word in command],
            stdout=subprocess.PIPE,
            check=True,
            text=True,
            preexec_fn=lambda: os.sched_setaffinity(0, processors),
        ).stdout

    def _answers(self, running: Running, path: str, log: str) -> bool:
        if running.process.poll() is not None:
            sys.stderr.write((self.directory / f'{log}.log').read_text()[-4000:])
            raise SystemExit(f'{running.process.args!r} ended')
        try:
            if path:
                with urllib.request.urlopen(f'http://127.0.0.1:{running.port}{path}', timeout=2) as answer:
                    return bool(answer.status == 200)
            with socket.create_connection(('127.0.0.1', running.port), timeout=2):
                return True
        except (OSError, urllib.error.URLError):
            return False


def family(pid: int) -> list[int]:
    """A process, its children, theirs and so on."""
    pids = [pid]
    for one in pids:
        with suppress(OSError):
            pids += map(int, Path(f'/proc/{one}/task/{one}/children').read_text().split())
    return pids


def cpu_seconds(pid: int) -> float:
    """The processor time that a process and its living children took so far."""
    found = 0.0
    for one in family(pid):
        with suppress(OSError):
            fields = Path(f'/proc/{one}/stat').read_text().rpartition(')')[2].split()
            found += (int(fields[11]) + int(fields[12])) / TICKS
    return found


def compiler() -> str | None:
    """A C compiler, where one is installed."""
    return shutil.which('cc') or shutil.which('gcc') or shutil.which('clang')


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(('127.0.0.1', 0))
        return int(listener.getsockname()[1])


def wait_for(condition, seconds: float, what: str) -> None:  # type: ignore[no-untyped-def]
    """Return when `condition()` is true. Raises SystemExit when that takes too long."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise SystemExit(f'waited {seconds} seconds for {what}')
        time.sleep(0.05)
