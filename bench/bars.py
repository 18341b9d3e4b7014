"""The bars of the gateway's speed, as a table, and which of them the figures of a run meet."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import inf
from typing import Any

Row = Mapping[str, Any]
"""The medians of one target in a lane: of one answer, at one number of connections."""

Lanes = Mapping[str, Sequence[Row]]
Missing = Mapping[str, Mapping[str, str]]
"""Why a target was not measured, by lane and target; a whole lane is the target `LANE`."""

LANE = 'the lane'

MEETS: Mapping[str, Callable[[float, float], bool]] = {'≥': operator.ge, '≤': operator.le, '<': operator.lt}
MINIMAL, DIRECT, ALONE, LITELLM = 'minimal relay', 'direct', 'gateway alone', 'LiteLLM'
KEYS = ('1 keys', '1,000 keys', '100,000 keys')
ONE_WORKER = ('1 worker, 1 account', '1 worker, 10,000 accounts')
PAGES = ('with the pages', 'with 5 pages open')


@dataclass(frozen=True, slots=True)
class Figure:
    """What is worked out of a target's row and that of its base."""

    name: str
    of: Callable[[Row, Row], float]
    unit: str = ''


@dataclass(frozen=True, slots=True)
class Bar:
    """The worst of the targets, at the worst of the numbers of connections, is what counts."""

    lane: str
    figure: Figure
    sign: str
    limit: float
    targets: tuple[str, ...]
    base: str
    connections: tuple[int, ...]
    answer: str = 'whole'

    @property
    def what(self) -> str:
        return f'{self.answer}, {_at(*self.connections)}: {self.figure.name.format(base=self.base)}'

    @property
    def stated(self) -> str:
        return f'{self.sign} {self.limit:g}{self.figure.unit}'


def _times(figure: str) -> Callable[[Row, Row], float]:
    return lambda row, base: row[figure] / base[figure]


def _added_ms(figure: str) -> Callable[[Row, Row], float]:
    return lambda row, base: (row[figure] - base[figure]) / 1000


CALLS = Figure('calls/s, × {base}', _times('calls_per_second'))
P50_ADDED = Figure('p50 added to {base}', _added_ms('p50_us'), ' ms')
KEYS_KEPT = Figure('calls/s with 100,000 keys, × {base}', _times('calls_per_second'))
SPREAD = Figure('p99, × its p50', lambda row, _: row['p99_us'] / row['p50_us'])
P99 = Figure('p99, × {base}', _times('p99_us'))
FIRST_BYTE_P50_ADDED = Figure('first byte, p50 added to {base}', _added_ms('first_byte_p50_us'), ' ms')
FIRST_BYTE_P99_ADDED = Figure('first byte, p99 added to {base}', _added_ms('first_byte_p99_us'), ' ms')
CPU_A_CHUNK = Figure('CPU a chunk, × {base}', _times('cpu_us_per_chunk'))


def _bars() -> Iterator[Bar]:
    answers = ('whole', 'stream')
    for answer, connections in product(answers, (32, 128)):
        yield Bar('bare', CALLS, '≥', 0.9, ('bare',), MINIMAL, (connections,), answer)
    for answer, connections in product(answers, (32, 128)):
        yield Bar('governed', CALLS, '≥', 0.5, KEYS, MINIMAL, (connections,), answer)
    for answer in answers:
        yield Bar('governed', P50_ADDED, '<', 1, KEYS, MINIMAL, (1,), answer)
        yield Bar('governed', SPREAD, '<', 3, KEYS, MINIMAL, (32,), answer)
    for answer, fewer in product(answers, KEYS[:2]):
        yield Bar('governed', KEYS_KEPT, '≥', 0.9, KEYS[2:], fewer, (1, 32, 128), answer)
    yield Bar('embedded', CALLS, '≥', 0.8, PAGES, ALONE, (32,))
    yield Bar('embedded', P99, '≤', 2, PAGES, ALONE, (32,))
    for answer in answers:
        yield Bar('scale', CALLS, '≥', 0.35, ONE_WORKER, MINIMAL, (128,), answer)
    for base in (DIRECT, MINIMAL):
        yield Bar('streams', FIRST_BYTE_P50_ADDED, '<', 2, ('lumen',), base, (400,), 'stream')
        yield Bar('streams', FIRST_BYTE_P99_ADDED, '<', 20, ('lumen',), base, (400,), 'stream')
    yield Bar('streams', CPU_A_CHUNK, '≤', 1.3, ('lumen',), MINIMAL, (400,), 'stream')
    for answer in answers:
        yield Bar('peers', CALLS, '≥', 50, ('lumen',), LITELLM, (32,), answer)
        yield Bar('peers', P99, '≤', 0.02, ('lumen',), LITELLM, (32,), answer)


BARS = tuple(_bars())


def judged(lanes: Lanes, missing: Missing) -> list[dict[str, Any]]:
    """Each bar with what was measured. `is_met` is None where it was not, and `reason` says why."""
    return [_judged(bar, lanes.get(bar.lane, ()), missing.get(bar.lane, {})) for bar in BARS]


def table(found: Sequence[Mapping[str, Any]]) -> str:
    lines = ['### Bars', '', '| lane | what | bar | measured | |', '|---|---|---|---|---|']
    for row in found:
        verdict = {True: 'met', False: '**not met**', None: f'not measured: {row["reason"]}'}[row['is_met']]
        lines.append(f'| {row["lane"]} | {row["what"]} | {row["bar"]} | {row["said"]} | {verdict} |')
    return '\n'.join(lines)


def _judged(bar: Bar, rows: Sequence[Row], missing: Mapping[str, str]) -> dict[str, Any]:
    found = {'lane': bar.lane, 'what': bar.what, 'bar': bar.stated}
    figures = []
    try:
        for number in bar.connections:
            base = _row(bar, rows, bar.base, number)
            if not base['calls_per_second']:
                raise LookupError(bar.base, 'none of its calls began and ended within a round')
            figures += [(_figure(bar, _row(bar, rows, name, number), base), name, number) for name in bar.targets]
    except LookupError as error:
        name, otherwise = error.args
        reason = missing.get(name) or missing.get(LANE) or otherwise
        return found | {'measured': None, 'said': '', 'is_met': None, 'reason': f'{name}: {reason}'}
    figure, name, number = min(figures) if bar.sign == '≥' else max(figures)
    where = [name] * (len(bar.targets) > 1) + [_at(number)] * (len(bar.connections) > 1)
    said = f'{figure:,.4g}{bar.figure.unit}' if figure < inf else 'no call ended'
    said += f' ({", ".join(where)})' if where else ''
    measured = round(figure, 4) if figure < inf else None
    return found | {'measured': measured, 'said': said, 'is_met': MEETS[bar.sign](figure, bar.limit), 'reason': ''}


def _figure(bar: Bar, row: Row, base: Row) -> float:
    """What ended no call meets no bar."""
    if row['calls_per_second']:
        return bar.figure.of(row, base)
    return 0 if bar.sign == '≥' else inf


def _row(bar: Bar, rows: Sequence[Row], target: str, connections: int) -> Row:
    """Raises LookupError with the target's name, and why, when it was not measured."""
    asked = (target, bar.answer, connections)
    for row in rows:
        if (row['target'], row['answer'], row['connections']) == asked:
            return row
    raise LookupError(target, 'it is not among the figures')


def _at(*connections: int) -> str:
    return f'{", ".join(map(str, connections))} connection{"" if connections == (1,) else "s"}'
