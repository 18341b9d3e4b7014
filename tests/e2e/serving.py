"""A real `lumen serve` in a process of its own, and the `lumen` command beside it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from tests.e2e.launching import Launched

T = TypeVar('T')

CONFIGURATION = """
version: 2
app:
  announcement: Welcome to the test
  support_email: help@example.org
  institution: Example University
  footer_links: [{{label: Partners, url: "https://partners.example.org"}}]
login:
  dev_users:
    - {{email: admin@example.org, name: Ada Admin}}
    - {{email: manager@example.org, name: Max Manager}}
    - {{email: user@example.org, name: Uma User}}
admins: [admin@example.org]
models:
  - name: echo
    access: allowed
    input_cost_per_million: 1000
    output_cost_per_million: 2000
    context_window: 8192
    max_output_tokens: 1024
    endpoints: [{{url: "{upstream}"}}]
clients:
  default: {{max: 100, refresh: 0, starting: 100}}
"""


class Server:
    """One installation in a folder of its own: configuration, data, and at most one serving process."""

    def __init__(self, directory: Path, database_url: str = '', upstream: str = 'builtin:echo'):
        self.directory = directory
        self.database_url = database_url or f'sqlite:///{directory}/data/lumen.db'
        self.configuration = directory / 'config.yaml'
        self.configuration.write_text(CONFIGURATION.format(upstream=upstream))
        self.log = directory / 'server.log'
        self.address = ''
        self.process: Launched | None = None
        self.extra_environment: dict[str, str] = {}

    def launch(
        self, arguments: tuple[str, ...], directory: Path, environment: dict[str, str], errors: Path
    ) -> Launched:
        """Begin the command."""
        return Launched(arguments, directory, environment, errors)

    @property
    def environment(self) -> dict[str, str]:
        cleared = {name: value for name, value in os.environ.items() if not name.startswith(('LUMEN_', 'NICEGUI_'))}
        return (
            cleared
            | {'LUMEN_CONFIG': str(self.configuration), 'DATABASE_URL': self.database_url}
            | self.extra_environment
        )

    def start(self, role: str = 'all', port: int = 0, *more: str) -> None:
        """Start it, on a free port unless one is given, and wait until it is ready."""
        arguments = ('serve', '--port', str(port), '--role', role, *more)
        self.process = self.launch(arguments, self.directory, self.environment, self.log)
        welcome = self.process.stdout.readline()
        found = re.search(r'http://[^/\s]+', welcome)
        if not found:
            self.stop()
        assert found, self.log.read_text()
        self.address = found[0]
        wait_until(lambda: self.get('/readyz')[0] == 200)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Send the signal, wait for the end, and return the exit code."""
        process, self.process = self.process, None
        if process is None:
            return 0
        process.send_signal(how)
        with process.stdout:
            return process.wait(timeout=60)

    def get(self, path: str, key: str = '') -> tuple[int, str]:
        """Status and body. Redirects are followed."""
        headers = {'Authorization': f'Bearer {key}'} if key else {}
        try:
            with urllib.request.urlopen(
                urllib.request.Request(self.address + path, headers=headers), timeout=30
            ) as got:
                return got.status, got.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def lumen(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the command on this installation."""
        with tempfile.TemporaryDirectory() as directory:
            errors = Path(directory) / 'errors'
            process = Launched(arguments, self.directory, self.environment, errors)
            with process.stdout:
                output = process.stdout.read()
            return subprocess.CompletedProcess(arguments, process.wait(timeout=60), output, errors.read_text())

    def json(self, *arguments: str) -> Any:
        """What a command that succeeds answers with `--json`."""
        result = self.lumen(*arguments, '--json')
        assert result.returncode == 0, result.stderr
        return json.loads(result.stdout)

    def new_key(self, client: str) -> str:
        """Make a client with a key, which is returned."""
        self.json('client', 'create', client)
        return str(self.json('key', 'create', client)['key'])


def wait_until(condition: Callable[[], T], seconds: float = 15) -> T:
    """What `condition` returns once that is true. Fails when it does not become true in time."""
    pause = threading.Event()
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, f'{condition} did not become true within {seconds} s'
        pause.wait(0.02)
    return value
