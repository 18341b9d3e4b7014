"""`make bench` and `make prove` write into the same documents, and neither touches what the other wrote."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import bench.report
import prove.__main__
import prove.report
from prove.proof import Proof

DOCS = Path(__file__).parents[2] / 'docs'
WELL = Proof('a case', 'SQLite', 5, 'it holds', {'calls': 5}, ())
ILL = Proof('another', 'SQLite', 5, 'it holds', {'calls': 4}, ('one | is lost',))
NOT_RUN = Proof('a third', 'SQLite', 0, 'it holds', {'not run': 'no room'}, ())


@pytest.fixture
def documents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """Copies of the figures and of the page."""
    figures, page = (Path(shutil.copy(DOCS / name, tmp_path)) for name in ('benchmarks.json', 'benchmarks.md'))
    monkeypatch.setattr(bench.report, 'FIGURES', figures)
    monkeypatch.setattr(bench.report, 'PAGE', page)
    return figures, page


def test_each_keeps_what_the_other_wrote(documents: tuple[Path, Path]):
    figures, page = documents
    before, text = json.loads(figures.read_text()), page.read_text()
    prove.report.write({'abort': [WELL], 'crash': [WELL, ILL, NOT_RUN]}, seed=3, postgresql='18.0')
    prove.report.write({'abort': [WELL, WELL]}, seed=4, postgresql='18.0')
    found = json.loads(figures.read_text())
    assert {name: found[name] for name in before if name != 'proofs'} == {
        name: part for name, part in before.items() if name != 'proofs'
    }
    assert found['proofs']['seed'] == 4
    assert [found['proofs']['runs'][lane]['seed'] for lane in ('abort', 'crash')] == [4, 3]
    assert [len(found['proofs']['lanes'][lane]) for lane in ('abort', 'crash')] == [2, 3]
    written = page.read_text()
    headings = {lane: written.partition(f'### {lane}\n\n')[2].partition('\n')[0] for lane in ('abort', 'crash')}
    assert headings['crash'].startswith('Of ')
    assert headings['crash'].endswith(', seed 3.')
    assert headings['abort'] == 'Stated: it holds.'
    assert written.partition('<!-- proofs -->')[0] == text.partition('<!-- proofs -->')[0]
    bench.report.write({'bare': before['lanes']['bare']}, rounds=1, seconds=1)
    assert json.loads(figures.read_text())['proofs'] == found['proofs']
    assert page.read_text().partition('<!-- proofs -->')[2] == written.partition('<!-- proofs -->')[2]


def test_a_table_says_what_is_not_as_stated_and_what_did_not_run(documents: tuple[Path, Path]):
    prove.report.write({'crash': [WELL, ILL, NOT_RUN]}, seed=0, postgresql='18.0')
    lane = documents[1].read_text().partition('### crash\n')[2].splitlines()
    assert lane[1] == 'Stated: it holds.'
    assert lane[5:8] == [
        '| a case | SQLite | 5 | calls 5 | as stated |',
        '| another | SQLite | 5 | calls 4 | **not as stated**: one \\| is lost |',
        '| a third | SQLite | 0 | not run no room | not run |',
    ]


def test_a_run_names_what_it_did_not_run(capsys: pytest.CaptureFixture[str]):
    prove.__main__._say_what_was_not_run(
        {'abort': [WELL], 'correctness': [ILL], 'faults': [WELL, NOT_RUN], 'clock': []}
    )
    assert capsys.readouterr().out.splitlines() == [
        'Not run: crash, which was not asked for',
        'Not run: changes, which was not asked for',
        'Not run: faults: a third, SQLite: no room',
    ]
    assert [prove.__main__._verdict(proof) for proof in (WELL, ILL, NOT_RUN)] == [
        'as stated',
        'one | is lost',
        'not run',
    ]
