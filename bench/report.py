"""The figures of a run as JSON, and as tables in `docs/benchmarks.md`."""

from __future__ import annotations

import json
import platform
import re
import sqlite3
from collections.abc import Container, Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType
from typing import Any

from bench import bars

DOCS = Path(__file__).parent.parent / 'docs'
FIGURES, PAGE = DOCS / 'benchmarks.json', DOCS / 'benchmarks.md'
BASE = {
    'bare': 'minimal relay',
    'governed': 'minimal relay',
    'embedded': 'gateway alone',
    'scale': 'minimal relay',
    'streams': 'minimal relay',
    'peers': 'LiteLLM',
}
DATABASE = 'database_cpu_us_per_call'
"""The figure that only what works on a database server has."""

PACKAGES = ('uvicorn', 'uvloop', 'httptools', 'aiohttp', 'peewee', 'nicegui')


def write(
    found: dict[str, list[dict[str, Any]]],
    *,
    rounds: int,
    seconds: float,
    missing: bars.Missing = MappingProxyType({}),
    peers: Mapping[str, str] = MappingProxyType({}),
) -> list[dict[str, Any]]:
    """Keep the run's results, and return its bars. Lanes that were not asked for stay as they were, each of its run.

    `missing` says why a lane or a target is not there, `peers` are the versions of what is compared with.
    """
    before = kept()
    run = {'at': datetime.now(UTC).date().isoformat(), 'rounds': rounds, 'seconds': seconds}
    former = {'lanes': before.get('lanes', {}), 'missing': before.get('missing', {}), 'runs': before.get('runs', {})}
    runs = {lane: {name: before.get(name) for name in run} for lane in former['lanes']} | former['runs']
    lanes = former['lanes'] | found
    reasons = {name: {bars.LANE: 'it was not asked for'} for name in BASE if name not in lanes}
    reasons |= former['missing'] | {name: dict(missing.get(name, {})) for name in found}
    peers = dict(peers or before.get('peers', {}))
    judged = bars.judged(lanes, reasons)
    whole = run | {
        'python': platform.python_version(),
        'sqlite': sqlite3.sqlite_version,
        'packages': {name: version(name) for name in PACKAGES} | peers,
        'peers': peers,
        'bars': judged,
        'lanes': lanes,
        'missing': reasons,
        'runs': runs | dict.fromkeys(found, run),
    }
    keep(whole, 'figures', _text(whole, found))
    return [row for row in judged if row['lane'] in found]


def _text(whole: dict[str, Any], found: Container[str]) -> str:
    versions = ', '.join(f'{name} {number}' for name, number in whole['packages'].items())
    parts = [
        f'{whole["at"]}, Python {whole["python"]}, SQLite {whole["sqlite"]}, {versions}; {_rounds(whole)}.',
        bars.table(whole['bars']),
    ]
    for lane in BASE:
        parts.append(f'### {lane}')
        rows = whole['lanes'].get(lane)
        if rows and lane not in found:
            parts.append(f'Of {whole["runs"][lane]["at"]}; {_rounds(whole["runs"][lane])}.')
        if rows:
            parts.append(_table(lane, rows))
        if reasons := whole['missing'].get(lane):
            parts.append('\n'.join(f'- Not measured: {name}, {reason}.' for name, reason in reasons.items()))
    return '\n\n'.join(parts)


def _rounds(run: Mapping[str, Any]) -> str:
    return f'medians of {run["rounds"]} rounds of {run["seconds"]:g} s'


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
        f'| answer | connections | | calls/s | × {BASE[lane]} | p50 ms | p99 ms | first byte p50, p99 ms '
        f'| CPU µs a {per} |',
        '|---|---|---|---|---|---|---|---|---|',
    ]
    if with_database := any(DATABASE in row for row in rows):
        lines = [f'{lines[0]} of the database |', f'{lines[1]}---|']
    for row in rows:
        base = next(
            (
                other['calls_per_second']
                for other in rows
                if other['target'] == BASE[lane]
                and (other['answer'], other['connections']) == (row['answer'], row['connections'])
            ),
            0,
        )
        cells = (
            row['answer'],
            f'{row["connections"]}',
            row['target'],
            f'{row["calls_per_second"]:,.0f}',
            f'{row["calls_per_second"] / base:.2f}' if base else '',
            f'{row["p50_us"] / 1000:,.2f}',
            f'{row["p99_us"] / 1000:,.2f}',
            f'{row["first_byte_p50_us"] / 1000:,.2f}, {row["first_byte_p99_us"] / 1000:,.2f}',
            f'{row[f"cpu_us_per_{per}"]:,.0f}',
            *([f'{row[DATABASE]:,.0f}' if DATABASE in row else ''] * with_database),
        )
        lines.append(f'| {" | ".join(cells)} |')
    return '\n'.join(lines)
