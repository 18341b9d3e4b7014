"""`app.py` in a process of its own, as `python app.py` would be, without the second that its imports take each time.

It is forked from a process that has imported everything and done nothing else. What has to be a process from scratch,
because it is about imports or about Python's own options, starts one itself.
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
from collections.abc import Mapping
from multiprocessing.connection import Connection
from pathlib import Path

APP = Path(__file__).parents[2] / 'app.py'
IMPORTED = ('lumen.cli', 'lumen.server.serve', 'lumen.gateway.echo', 'lumen_ui.app')

_context = multiprocessing.get_context('forkserver')
_context.set_forkserver_preload(list(IMPORTED))


class Launched:
    """A process that runs `app.py` with these arguments.

    `stdout` can be read while it runs; its standard error goes to the end of a file.
    """

    def __init__(self, arguments: tuple[str, ...], directory: Path, environment: Mapping[str, str], errors: Path):
        readable, writable = _context.Pipe(duplex=False)
        self._process = _context.Process(
            target=_run, args=(arguments, directory, dict(environment), writable, errors), daemon=True
        )
        self._process.start()
        writable.close()
        self.stdout = os.fdopen(os.dup(readable.fileno()), encoding='utf-8')
        readable.close()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    def send_signal(self, how: signal.Signals) -> None:
        if self._process.exitcode is None:
            os.kill(self.pid, how)

    def wait(self, timeout: float) -> int:
        """The exit code. Raises subprocess.TimeoutExpired when it still runs."""
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired('app.py', timeout)
        return self._process.exitcode


def _run(
    arguments: tuple[str, ...], directory: Path, environment: dict[str, str], output: Connection, errors: Path
) -> None:
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(directory)
    os.dup2(output.fileno(), 1)
    output.close()
    with errors.open('ab') as file:
        os.dup2(file.fileno(), 2)
    sys.argv = [str(APP), *arguments]
    runpy.run_path(str(APP), run_name='__main__')
