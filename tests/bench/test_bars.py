"""The bars of `make bench`, on made-up results."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bench import bars, gateway, report

DOCS = Path(__file__).parents[2] / 'docs'


def row(target: str, connections: int, answer: str = 'whole', **figures: float) -> dict[str, Any]:
    plain = {'calls_per_second': 1000.0, 'p50_us': 1000, 'p99_us': 2000, 'first_byte_p50_us': 1000}
    plain |= {'first_byte_p99_us': 2000, 'cpu_us_per_call': 100.0, 'cpu_us_per_chunk': 10.0}
    return {'target': target, 'connections': connections, 'answer': answer} | plain | figures


def lane(name: str, **figures: dict[str, float]) -> list[dict[str, Any]]:
    """All rows that the bars of a lane ask for; `figures` are those of a target that are not as everybody's."""
    asked = {
        (target, connections, bar.answer)
        for bar in bars.BARS
        if bar.lane == name
        for target in (bar.base, *bar.targets)
        for connections in bar.connections
    }
    return [row(*one, **figures.get(one[0].replace(' ', '_'), {})) for one in sorted(asked)]


def verdicts(name: str, rows: list[dict[str, Any]], missing: bars.Missing | None = None) -> dict[str, tuple[Any, ...]]:
    """By what is measured: what it came to, and whether that meets the bar, or why there is nothing."""
    found = bars.judged({name: rows}, missing or {})
    return {bar['what']: (bar['said'], bar['reason'] or bar['is_met']) for bar in found if bar['lane'] == name}


@pytest.mark.parametrize(('calls', 'is_met'), [(900, True), (899, False), (1100, True)])
def test_bare_meets_its_bar_at_nine_tenths_of_the_minimal_relay(calls: float, is_met: bool):
    found = verdicts('bare', lane('bare', bare={'calls_per_second': calls}))
    said = f'{calls / 1000:g}'
    assert found == {
        f'{answer}, {connections} connections: calls/s, × minimal relay': (said, is_met)
        for answer in ('whole', 'stream')
        for connections in (32, 128)
    }


def test_the_worst_number_of_keys_counts():
    slower = {'calls_per_second': 499.0, 'p50_us': 2000, 'p99_us': 6000}
    rows = lane('governed')
    rows[rows.index(row('100,000 keys', 32))] = row('100,000 keys', 32, **slower)
    found = verdicts('governed', rows)
    missed = {what: said for what, (said, verdict) in found.items() if verdict is False}
    assert missed == {
        'whole, 32 connections: calls/s, × minimal relay': '0.499 (100,000 keys)',
        'whole, 32 connections: p99, × its p50': '3 (100,000 keys)',
        'whole, 1, 32, 128 connections: calls/s with 100,000 keys, × 1 keys': '0.499 (32 connections)',
        'whole, 1, 32, 128 connections: calls/s with 100,000 keys, × 1,000 keys': '0.499 (32 connections)',
    }
    assert len(found) == 12


def test_less_than_a_millisecond_is_added_at_one_connection():
    rows = [one | {'p50_us': 1000 + 999 * (one['target'] != bars.MINIMAL)} for one in lane('governed')]
    what = 'whole, 1 connection: p50 added to minimal relay'
    assert verdicts('governed', rows)[what] == ('0.999 ms (100,000 keys)', True)
    rows = [one | {'p50_us': 1000 + 1000 * (one['target'] != bars.MINIMAL)} for one in lane('governed')]
    assert verdicts('governed', rows)[what] == ('1 ms (100,000 keys)', False)


def test_pages_may_cost_a_fifth_of_the_calls_and_double_the_p99():
    one, other = {'calls_per_second': 800.0, 'p99_us': 4000}, {'calls_per_second': 799.0, 'p99_us': 4001}
    assert [
        [verdict for _, verdict in verdicts('embedded', lane('embedded', with_5_pages_open=figures)).values()]
        for figures in (one, other)
    ] == [[True, True], [False, False]]


def test_what_is_added_to_a_stream_counts_beside_no_gateway_and_beside_the_minimal_relay():
    rows = lane(
        'streams',
        lumen={'first_byte_p50_us': 4000, 'first_byte_p99_us': 15_000, 'cpu_us_per_chunk': 13.1},
        minimal_relay={'first_byte_p50_us': 2500, 'first_byte_p99_us': 9000},
    )
    assert verdicts('streams', rows) == {
        'stream, 400 connections: first byte, p50 added to direct': ('3 ms', False),
        'stream, 400 connections: first byte, p99 added to direct': ('13 ms', True),
        'stream, 400 connections: first byte, p50 added to minimal relay': ('1.5 ms', True),
        'stream, 400 connections: first byte, p99 added to minimal relay': ('6 ms', True),
        'stream, 400 connections: CPU a chunk, × minimal relay': ('1.31', False),
    }


def test_a_peer_has_a_fiftieth_of_the_calls_and_fifty_times_the_p99():
    found = verdicts('peers', lane('peers', LiteLLM={'calls_per_second': 20.0, 'p99_us': 100_001}))
    assert [verdict for _, verdict in found.values()] == [True] * 4
    found = verdicts('peers', lane('peers', LiteLLM={'calls_per_second': 20.1, 'p99_us': 99_999}))
    assert [verdict for _, verdict in found.values()] == [False] * 4


def test_what_is_missing_is_not_measured_for_a_reason():
    reason = {'LiteLLM': 'which is not installed'}
    assert set(verdicts('peers', [], {'peers': reason}).values()) == {('', 'LiteLLM: which is not installed')}
    failed = {bars.LANE: 'it failed: no answer'}
    assert set(verdicts('bare', [], {'bare': failed}).values()) == {('', 'minimal relay: it failed: no answer')}
    without = [one for one in lane('embedded') if one['target'] != 'with the pages']
    assert set(verdicts('embedded', without).values()) == {('', 'with the pages: it is not among the figures')}
    none_ended = lane('peers', LiteLLM={'calls_per_second': 0.0, 'p99_us': 0})
    assert set(verdicts('peers', none_ended).values()) == {
        ('', 'LiteLLM: none of its calls began and ended within a round')
    }


def test_who_ends_no_call_meets_no_bar():
    found = verdicts('peers', lane('peers', lumen={'calls_per_second': 0.0, 'p99_us': 0}))
    assert set(found.values()) == {('0', False), ('no call ended', False)}


def test_the_bars_ask_for_what_is_measured():
    assert tuple(f'{count:,} keys' for count in gateway.KEYS) == bars.KEYS
    assert f'with {gateway.PAGES} pages open' in bars.PAGES
    assert tuple(f'1 worker, {accounts}' for accounts in gateway.ACCOUNTS) == bars.ONE_WORKER
    assert {bar.connections for bar in bars.BARS if bar.lane == 'streams'} == {(gateway.STREAMS,)}
    assert {bar.lane for bar in bars.BARS} == set(report.BASE)


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the page, with no figures yet."""
    monkeypatch.setattr(report, 'FIGURES', tmp_path / 'benchmarks.json')
    monkeypatch.setattr(report, 'PAGE', Path(shutil.copy(DOCS / 'benchmarks.md', tmp_path)))
    return tmp_path / 'benchmarks.md'


def test_a_run_writes_its_bars_above_its_figures_and_names_what_is_missing(page: Path):
    judged = report.write(
        {'bare': lane('bare', bare={'calls_per_second': 500.0}), 'peers': []},
        rounds=5,
        seconds=2,
        missing={'bare': {'nginx': 'which is not installed'}, 'peers': {'LiteLLM': 'which is not installed'}},
    )
    assert [bar['is_met'] for bar in judged] == [False] * 4 + [None] * 4
    figures = page.read_text().partition('<!-- figures -->')[2].partition('<!-- end of figures -->')[0]
    assert figures.index('### Bars') < figures.index('### bare') < figures.index('### peers')
    assert '| bare | whole, 32 connections: calls/s, × minimal relay | ≥ 0.9 | 0.5 | **not met** |' in figures
    assert '- Not measured: nginx, which is not installed.' in figures
    assert '### peers\n\n- Not measured: LiteLLM, which is not installed.' in figures
    assert '### streams\n\n- Not measured: the lane, it was not asked for.' in figures
    assert [bar['is_met'] for bar in json.loads(report.FIGURES.read_text())['bars'][:4]] == [False] * 4


def test_a_lane_of_an_earlier_run_says_so_and_keeps_its_bars(page: Path):
    report.write({'bare': lane('bare')}, rounds=5, seconds=2, missing={'bare': {'nginx': 'which is not installed'}})
    judged = report.write({'embedded': lane('embedded')}, rounds=3, seconds=1)
    assert {bar['lane'] for bar in judged} == {'embedded'}
    kept = json.loads(report.FIGURES.read_text())
    assert kept['runs']['bare'] | {'at': ''} == {'at': '', 'rounds': 5, 'seconds': 2}
    assert [bar['is_met'] for bar in kept['bars'] if bar['lane'] == 'bare'] == [True] * 4
    text = page.read_text()
    assert '; medians of 5 rounds of 2 s.' in text.partition('### bare')[2].partition('### governed')[0]
    assert '- Not measured: nginx, which is not installed.' in text


def test_what_the_database_takes_has_a_column_where_it_was_measured(page: Path):
    (minimal, worker), *_ = (lane('scale', worker={'calls_per_second': 400.0})[:2],)
    report.write({'scale': [minimal, worker | {report.DATABASE: 123.4}], 'bare': lane('bare')}, rounds=5, seconds=2)
    text = page.read_text()
    of_scale, of_bare = (text.partition(f'### {name}')[2].partition('###')[0] for name in ('scale', 'bare'))
    assert of_scale.count(' of the database |') == 1
    assert of_scale.count(' | 123 |') == 1
    assert 'of the database' not in of_bare
    widths = {line.count('|') for line in of_scale.splitlines() if line.startswith('|')}
    assert len(widths) == 1


@pytest.mark.parametrize(('calls', 'code'), [(900.0, 0), (899.0, 1)])
def test_a_run_ends_with_1_when_a_bar_is_not_met(page: Path, monkeypatch: pytest.MonkeyPatch, calls: float, code: int):
    rows = lane('bare', bare={'calls_per_second': calls})
    assert _run(monkeypatch, lambda *_: rows) == code
    assert json.loads(report.FIGURES.read_text())['lanes']['bare'] == rows


def test_a_lane_that_fails_is_named_and_the_run_ends_with_1(page: Path, monkeypatch: pytest.MonkeyPatch):
    def fail(*_: object) -> list[dict[str, Any]]:
        raise SystemExit('bare failed')

    assert _run(monkeypatch, fail) == 1
    assert '### bare\n\n- Not measured: the lane, it failed: bare failed.' in page.read_text()


def _run(monkeypatch: pytest.MonkeyPatch, measured: Any) -> int:
    """`make bench` of one lane, of which nothing is started and the figures are made up."""
    monkeypatch.setattr('sys.argv', ['bench', '--lanes', 'bare'])
    monkeypatch.setattr(gateway, 'Bench', _NoBench)
    monkeypatch.setattr(gateway, '_measured', measured)
    return gateway.main()


class _NoBench:
    def __init__(self, *_: object): ...

    @contextmanager
    def lane(self, name: str) -> Iterator[gateway.Lane]:
        yield gateway.Lane(name, [], ())
