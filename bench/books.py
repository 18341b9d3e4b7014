"""How long `lumen demo` and `lumen check` take at the sizes that are promised: `python -m bench.books`.

An institution of 100,000 clients with a million requests, and the books of ten million requests. It takes some eight
minutes and 3 GB of disk; ends with exit code 1 when a bar is not met. Results go to `docs/benchmarks.json` and
`docs/benchmarks.md`.
"""

from __future__ import annotations

import json
import os
import platform
import sqlite3
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from bench import report
from bench.installation import CONFIGURATION, SECRET, SECRETS

ROOT = Path(__file__).parent.parent


class Institution(NamedTuple):
    """What is made; its bars are seconds, none where nothing was promised."""

    clients: int
    requests: int
    days: int
    made_within: float | None
    proved_within: float | None


INSTITUTIONS = (
    Institution(100_000, 1_000_000, 90, 90, None),
    Institution(10_000, 10_000_000, 365, None, 60),
)


def main() -> None:
    rows = [_measured(institution) for institution in INSTITUTIONS]
    said = f'{datetime.now(UTC).date()}, Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}.'
    report.keep({'books': rows}, 'books', f'{said}\n\n{_table(rows)}')
    if not all(row['is_met'] for row in rows):
        raise SystemExit(1)


def _measured(institution: Institution) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix='lumen-books-') as directory:
        configuration = Path(directory) / 'config.yaml'
        configuration.write_text(CONFIGURATION.format(upstream='http://127.0.0.1:9', secret=SECRET))
        database = Path(directory) / 'lumen.db'
        places = {'LUMEN_CONFIG': str(configuration), 'DATABASE_URL': f'sqlite:///{database}'}
        environment = os.environ | SECRETS | places
        numbers = ('--clients', institution.clients, '--requests', institution.requests, '--days', institution.days)
        made, _ = _timed(('demo', *numbers), environment)
        proved, answer = _timed(('check', '--json'), environment)
        row = {
            'clients': institution.clients,
            'requests': institution.requests,
            'megabytes': round(database.stat().st_size / 1e6),
            'demo_seconds': made,
            'check_seconds': proved,
            'is_met': json.loads(answer)['clean']
            and made <= (institution.made_within or made)
            and proved <= (institution.proved_within or proved),
        }
    sys.stdout.write(f'{json.dumps(row)}\n')
    sys.stdout.flush()
    return row


def _timed(arguments: tuple[object, ...], environment: dict[str, str]) -> tuple[float, str]:
    begun = time.monotonic()
    command = [sys.executable, 'app.py', *map(str, arguments)]
    answer = subprocess.run(command, cwd=ROOT, env=environment, check=True, text=True, stdout=subprocess.PIPE).stdout
    return round(time.monotonic() - begun, 1), answer


def _table(rows: list[dict[str, Any]]) -> str:
    lines = [
        '| clients | requests | size | `lumen demo` | aimed at | `lumen check` | aimed at |',
        '|---|---|---|---|---|---|---|',
    ]
    for row, institution in zip(rows, INSTITUTIONS, strict=True):
        bars = [f'{bar:g} s' if bar else '' for bar in (institution.made_within, institution.proved_within)]
        lines.append(
            f'| {row["clients"]:,} | {row["requests"]:,} | {row["megabytes"]:,} MB | {row["demo_seconds"]:g} s '
            f'| {bars[0]} | {row["check_seconds"]:g} s | {bars[1]} |'
        )
    return '\n'.join(lines)


if __name__ == '__main__':
    main()
