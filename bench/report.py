"""The figures of a run as JSON, and as tables in `docs/benchmarks.md`."""

from __future__ import annotations

import json
import platform
import re
import sqlite3
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parent.parent / 'docs'
FIGURES, PAGE = DOCS / 'benchmarks.json', DOCS / 'benchmarks.md'
BASE = {'bare': 'minimal relay', 'governed': 'minimal relay', 'embedded': 'gateway alone', 'streams': 'minimal relay'}
PACKAGES = ('uvicorn', 'uvloop', 'httptools', 'aiohttp', 'peewee', 'nicegui')


def write(found: dict[str, list[dict[str, Any]]], *, rounds: int, seconds: float) -> None:
    """Keep the run's results; lanes that it did not have stay as they were."""
    whole = {
        'at': datetime.now(UTC).date().isoformat(),
        'rounds': rounds,
        'seconds': seconds,
        'python': platform.python_version(),
        'sqlite': sqlite3.sqlite_version,
        'packages': {name: version(name) for name in PACKAGES},
        'lanes': kept().get('lanes', {}) | found,
    }
    tables = '\n\n'.join(_table(name, rows) for name, rows in whole['lanes'].items())
    versions = ', '.join(f'{name} {number}' for name, number in whole['packages'].items())
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
