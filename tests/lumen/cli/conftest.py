"""The command, called as a person or a program calls it, on a database of either engine."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from lumen.cli import command_line

CONFIGURATION = """
version: 2
admins: [admin@example.org]
login: {dev_users: [{email: admin@example.org, name: Ada Admin}]}
models:
  - name: echo
    access: allowed
    input_cost_per_million: 1000
    output_cost_per_million: 2000
    context_window: 8192
    max_output_tokens: 1024
    endpoints: [{url: "builtin:echo"}]
  - name: careful
    access: allowed
    needs_ack: true
    ack_message: Be careful.
    input_cost_per_million: 0
    output_cost_per_million: 0
    endpoints: [{url: "builtin:echo"}]
clients:
  default: {max: 10, refresh: 0, starting: 7.5}
  boundless: {max: -2}
"""


class Lumen:
    """Calls `lumen` with its arguments and returns what came of it."""

    def __call__(self, *arguments: str) -> Result:
        return CliRunner().invoke(command_line, arguments)

    def json(self, *arguments: str) -> Any:
        """What a command that succeeds answers with `--json`."""
        result = self(*arguments, '--json')
        assert (result.exit_code, result.stderr) == (0, ''), result.output
        return json.loads(result.stdout)

    def refusal(self, *arguments: str, exit_code: int = 1) -> dict[str, str]:
        """What a command that is refused says with `--json`."""
        result = self(*arguments, '--json')
        assert (result.exit_code, result.stdout) == (exit_code, ''), result.output
        refusal: dict[str, str] = json.loads(result.stderr)['error']
        return refusal


@pytest.fixture
def lumen(database_url: str, write_configuration: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> Lumen:
    """The command on a migrated database, once for each engine."""
    write_configuration(CONFIGURATION)
    monkeypatch.setenv('DATABASE_URL', database_url)
    return Lumen()


@pytest.fixture
def write_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Writes a configuration for the commands of this test, which run in a folder of their own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('LUMEN_ENCRYPTION_KEY', 'e' * 48)
    monkeypatch.setenv('LUMEN_SECRET_KEY', 's' * 48)
    path = tmp_path / 'lumen.yaml'
    monkeypatch.setenv('LUMEN_CONFIG', str(path))

    def write(text: str) -> Path:
        path.write_text(text)
        return path

    return write
