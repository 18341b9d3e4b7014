"""What a run found, as JSON and as tables, beside the figures of `make bench`."""

from __future__ import annotations

import platform
import sqlite3
from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from bench import report
from prove.proof import Proof


def write(found: dict[str, list[Proof]], *, seed: int, postgresql: str) -> None:
    """Keep the run's results; lanes that it did not have stay as they were."""
    lanes: dict[str, list[dict[str, Any]]] = report.kept().get('proofs', {}).get('lanes', {})
    lanes = lanes | {lane: [asdict(proof) for proof in proofs] for lane, proofs in found.items()}
    at = datetime.now(UTC).date().isoformat()
    whole = {
        'at': at,
        'seed': seed,
        'python': platform.python_version(),
        'sqlite': sqlite3.sqlite_version,
        'postgresql': postgresql,
        'lanes': lanes,
    }
    said = f'{at}, Python {whole["python"]}, SQLite {whole["sqlite"]}, PostgreSQL {postgresql}, seed {seed}.'
    tables = '\n\n'.join(_table(lane, proofs) for lane, proofs in lanes.items())
    report.keep({'proofs': whole}, 'proofs', f'{said}\n\n{tables}')


def _table(lane: str, proofs: list[dict[str, Any]]) -> str:
    is_one = len({proof['stated'] for proof in proofs}) == 1
    head = ['case', 'database', 'calls', *([] if is_one else ['stated']), 'found', '']
    rows = [_line(head), f'|{"---|" * len(head)}']
    for proof in proofs:
        found = ', '.join(f'{name} {figure}' for name, figure in proof['found'].items())
        stated = [] if is_one else [proof['stated']]
        rows.append(_line([proof['case'], proof['on'], f'{proof["calls"]:,}', *stated, found, _verdict(proof)]))
    return '\n'.join([f'### {lane}', '', *([f'Stated: {proofs[0]["stated"]}.', ''] if is_one else []), *rows])


def _verdict(proof: dict[str, Any]) -> str:
    if not proof['calls']:
        return 'not run'
    return 'as stated' if not proof['wrong'] else f'**not as stated**: {"; ".join(proof["wrong"])}'


def _line(cells: Iterable[str]) -> str:
    escaped = [cell.replace('|', r'\|') for cell in cells]
    return f'| {" | ".join(escaped)} |'
