"""The figures of a run as JSON, and as tables in `docs/benchmarks.md`."""

from __future__ import annotations

import json
import platform
import re
import sqlite3
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parent.parent / 'docs'
FIGURES, PAGE = DOCS / 'benchmarks.json', DOCS / 'benchmarks.md'
BASE = {
    'bare': 'minimal relay',
    'governed': 'minimal relay',
    'embedded': 'gateway alone',
    'streams': 'minimal relay',
    'peers': 'LiteLLM',
}
NONE: Mapping[str, str] = {}
PACKAGES = ('uvicorn', 'uvloop', 'httptools', 'aiohttp', 'peewee', 'nicegui')


def write(
    found: dict[str, list[dict[str, Any]]],
    *,
    rounds: int,
    seconds: float,
    missing: Mapping[str, str] = NONE,
    peers: Mapping[str, str] = NONE,
) -> None:
    """Keep the run's results. Lanes that were not asked for stay as they were; `missing` says why others are not there.

    `peers` are the versions of what is compared with.
    """
    lanes = {name: rows for name, rows in kept().get('lanes', {}).items() if name not in missing} | found
    packages = {name: version(name) for name in PACKAGES} | dict(peers or kept().get('peers', {}))
    whole = {
        'at': datetime.now(UTC).date().isoformat(),
        'rounds': rounds,
        'seconds': seconds,
        'python': platform.python_version(),
        'sqlite': sqlite3.sqlite_version,
        'packages': packages,
        'peers': dict(peers or kept().get('peers', {})),
        'lanes': lanes,
        'missing': dict(missing),
    }
    tables = '\n\n'.join(_table(name, rows) for name, rows in lanes.items())
    tables += ''.join(f'\n\n### {name}\n\nNot measured: {reason}.' for name, reason in missing.items())
    versions = ', '.join(f'{name} {number}' for name, number in packages.items())
    said = (
        f'{whole["at"]}, Python {whole["python"]}, SQLite {whole["sqlite"]}, {versions}; '
        f'medians of {rounds} rounds of {seconds:g} s.'
    )
    keep(whole, 'figures', f'{said}\n\n{tables}')


def kept() -> dict[str, Any]:
    """What `docs/benchmarks.json` holds by now, of all who write into it."""
    found: dict[str, Any] = json.loads(FIGURES.read_text()) if FIGURES.exists() else {}
    return found


def keep(part: dict[str, Any], section: str, text: str) -> None:
    """Replace this part of the figures, and what stands between the marks of a section of the page."""
    FIGURES.write_text(json.dumps(kept() | part, indent=1) + '\n')
    begin, end = f'<!-- {section} -->', f'<!-- end of {section} -->'
    whole = re.sub(f'{begin}.*{end}', lambda _: f'{begin}\n{text}\n{end}', PAGE.read_text(), flags=re.DOTALL)
    PAGE.write_text(whole)


def _table(lane: str, rows: list[dict[str, Any]]) -> str:
    per = 'chunk' if lane == 'streams' else 'call'
    lines = [
        f'### {lane}',
        '',
        f'| answer | connections | | calls/s | × {BASE[lane]} | p50 ms | p99 ms | first byte p50, p99 ms '
        f'| CPU µs a {per} |',
        '|---|---|---|---|---|---|---|---|---|',
    ]
    for row in rows:
        base = next(
            other
            for other in rows
            if other['target'] == BASE[lane]
            and (other['answer'], other['connections']) == (row['answer'], row['connections'])
        )
        ratio = row['calls_per_second'] / max(1, base['calls_per_second'])
        cells = (
            row['answer'],
            f'{row["connections"]}',
            row['target'],
            f'{row["calls_per_second"]:,.0f}',
            f'{ratio:.2f}',
            f'{row["p50_us"] / 1000:,.2f}',
            f'{row["p99_us"] / 1000:,.2f}',
            f'{row["first_byte_p50_us"] / 1000:,.2f}, {row["first_byte_p99_us"] / 1000:,.2f}',
            f'{row[f"cpu_us_per_{per}"]:,.0f}',
        )
        lines.append(f'| {" | ".join(cells)} |')
    return '\n'.join(lines)
