"""What a run found, as JSON and as tables, beside the figures of `make bench`."""

from __future__ import annotations

import platform
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from bench import report
from prove.proof import Proof


def write(found: dict[str, list[Proof]], *, seed: int, postgresql: str) -> None:
    """Keep the run's results. Lanes that it did not have stay as they were, each of its run."""
    before = report.kept().get('proofs', {})
    run = {
        'at': datetime.now(UTC).date().isoformat(),
        'seed': seed,
        'python': platform.python_version(),
        'sqlite': sqlite3.sqlite_version,
        'postgresql': postgresql,
    }
    lanes: dict[str, list[dict[str, Any]]] = before.get('lanes', {})
    lanes = lanes | {lane: [asdict(proof) for proof in proofs] for lane, proofs in found.items()}
    runs = before.get('runs', {}) | dict.fromkeys(found, run)
    tables = [_table(lane, proofs, '' if runs[lane] == run else _said(runs[lane])) for lane, proofs in lanes.items()]
    report.keep({'proofs': run | {'lanes': lanes, 'runs': runs}}, 'proofs', '\n\n'.join([_said(run), *tables]))


def _said(run: Mapping[str, Any]) -> str:
    return '{at}, Python {python}, SQLite {sqlite}, PostgreSQL {postgresql}, seed {seed}.'.format(**run)


def _table(lane: str, proofs: list[dict[str, Any]], of: str) -> str:
    is_one = len({proof['stated'] for proof in proofs}) == 1
    head = ['case', 'database', 'calls', *([] if is_one else ['stated']), 'found', '']
    rows = [_line(head), f'|{"---|" * len(head)}']
    for proof in proofs:
        found = ', '.join(f'{name} {figure}' for name, figure in proof['found'].items())
        stated = [] if is_one else [proof['stated']]
        rows.append(_line([proof['case'], proof['on'], f'{proof["calls"]:,}', *stated, found, _verdict(proof)]))
    said = [f'Of {of}'] if of else []
    said += [f'Stated: {proofs[0]["stated"]}.'] if is_one else []
    return '\n'.join([f'### {lane}', '', *(line for sentence in said for line in (sentence, '')), *rows])


def _verdict(proof: dict[str, Any]) -> str:
    if not proof['calls']:
        return 'not run'
    return 'as stated' if not proof['wrong'] else f'**not as stated**: {"; ".join(proof["wrong"])}'


def _line(cells: Iterable[str]) -> str:
    escaped = [cell.replace('|', r'\|') for cell in cells]
    return f'| {" | ".join(escaped)} |'
