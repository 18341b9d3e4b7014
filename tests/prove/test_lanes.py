"""The lanes of `make prove` in small: everything that they find is as stated."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Coroutine, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from bench.processes import Processes
from prove import abort, changes, clock, correctness, crash, database_faults, upstream_faults
from prove.proof import Proof

IN_SMALL = ('resets in the middle', 'stalls in the middle', 'ends after half an event', 'sends an event of 10 MB')


@pytest.fixture
def processes() -> Iterator[Processes]:
    with tempfile.TemporaryDirectory(prefix='lumen-prove-') as directory, Processes(Path(directory)) as processes:
        yield processes


def wrong(way: Coroutine[Any, Any, list[Proof] | Proof]) -> list[tuple[str, tuple[str, ...]]]:
    """What is not as stated, by its case. Skips the test when this machine does not allow one of them."""
    found = asyncio.run(way)
    proofs = found if isinstance(found, list) else [found]
    for proof in proofs:
        if proof.not_run:
            pytest.skip(f'{proof.case}: {proof.not_run}')
    if all('SERIALIZABLE, ' in proof.on for proof in proofs):  # several who met, or nothing is proved of it
        assert proofs[-1].found['transactions taken back'] > 0
    assert all(proof.calls for proof in proofs)
    return [(proof.case, proof.wrong) for proof in proofs if proof.wrong]


@pytest.fixture
def site(processes: Processes) -> Path:
    return processes.directory / 'site'


@pytest.mark.parametrize(
    ('database_url', 'gateways'),
    [('postgresql', 1), ('postgresql', 2), ('serializable', 2), ('pooled', 2)],
    indirect=['database_url'],
)
def test_a_pool_pays_for_what_it_is_worth_and_no_more(
    processes: Processes, site: Path, database_url: str, gateways: int
):
    proving = correctness.prove(processes, site, database_url, calls=60, worth=(10, 25), gateways=gateways)
    assert wrong(proving) == []


def test_who_hangs_up_pays_for_what_was_generated(processes: Processes, site: Path, monkeypatch: pytest.MonkeyPatch):
    # Beside other tests a process may wait for its turn longer than the hundred that `make prove` asks for. A stop that
    # nobody asks for comes with the end of the stream, 1.2 s later at the earliest.
    monkeypatch.setattr(abort, 'ALLOWED_MS', 1000)
    for name, value in (('EVENTS', 40), ('LEARNT', 30), ('POINTS', {'at 0 %': 1, 'at 25 %': 10})):
        monkeypatch.setattr(abort, name, value)
    assert wrong(abort.prove(processes, site, times=3)) == []


def test_a_model_server_that_fails_has_its_stated_outcome(
    processes: Processes, site: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(upstream_faults, 'IDLE_SECONDS', 2)
    faults = tuple(fault for fault in upstream_faults.FAULTS if fault.streams and fault.name in IN_SMALL)
    assert len(faults) == len(IN_SMALL)
    assert wrong(upstream_faults.prove(processes, site, times=1, faults=faults)) == []


def test_calls_wait_for_a_database_that_is_locked(processes: Processes, site: Path):
    assert wrong(database_faults.locked(processes, site, seconds=0.5)) == []


def test_a_full_disk_loses_and_doubles_nothing(processes: Processes, site: Path):
    assert wrong(database_faults.full(processes, site)) == []


def test_what_was_answered_before_a_kill_is_charged(processes: Processes, site: Path):
    assert wrong(crash.prove(processes, site, kills=1, seed=1)) == []


@pytest.mark.parametrize(
    ('database_url', 'gateways'),
    [('serializable', 1), ('postgresql', 2), ('serializable', 2), ('pooled', 2)],
    indirect=['database_url'],
)
def test_what_a_killed_gateway_left_is_settled_by_those_that_live(
    processes: Processes, site: Path, database_url: str, gateways: int
):
    proving = crash.prove(processes, site, database_url, kills=1, gateways=gateways, are_declared_dead=True, seed=1)
    assert wrong(proving) == []


@pytest.mark.parametrize('database_url', ['postgresql'], indirect=True)
def test_what_is_changed_reaches_every_gateway(processes: Processes, site: Path, database_url: str):
    assert wrong(changes.prove(processes, site, database_url, times=2, gateways=2)) == []


def test_a_clock_that_is_set_moves_no_pool(processes: Processes, site: Path):
    assert wrong(clock.jumps(processes, site)) == []


def test_summer_time_moves_no_pool(processes: Processes, site: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(clock, 'BEFORE_SECONDS', 6)  # beside other tests a gateway takes longer to start
    assert wrong(clock.summer_time(processes, site)) == []


@pytest.mark.parametrize('way', [clock.jumps, clock.summer_time])
def test_what_needs_a_compiler_is_skipped_without_one(
    way: Any, processes: Processes, site: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(clock, 'compiler', lambda: None)
    with pytest.raises(pytest.skip.Exception, match=r'(set an hour ahead|summer time).*no C compiler'):
        wrong(way(processes, site))


def test_what_needs_root_is_skipped_without_it(processes: Processes, site: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(database_faults, 'small_disk', lambda _: nullcontext())
    with pytest.raises(pytest.skip.Exception, match='database: full: only root may mount a disk'):
        wrong(database_faults.full(processes, site))
