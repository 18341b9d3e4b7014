"""What `make bench` names when it cannot be measured here."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bench import gateway, litellm, nginx, peers, portkey


class Unstarted:
    """Processes of which none is started."""

    def __init__(self, directory: Path):
        self.directory = directory
        self.started: list[tuple[list[str], object]] = []

    def build(self, name: str) -> Path:
        return self.directory / name

    def processors(self, on: Sequence[int]) -> set[int]:
        return set(on)

    def run(self, command: object) -> str:
        return ''

    def start(self, command: Sequence[object], port: int, *, on: object = (0,), **_: object) -> Any:
        self.started.append(([str(word) for word in command], on))
        return SimpleNamespace(port=1)

    def stop(self, running: object) -> None: ...


@pytest.fixture
def bench(tmp_path: Path) -> gateway.Bench:
    processes: Any = Unstarted(tmp_path)
    return gateway.Bench(processes, tmp_path)


@pytest.mark.parametrize(
    ('program', 'targets', 'missing'),
    [
        ('/usr/sbin/nginx', ['nginx', 'minimal relay', 'bare'], {}),
        (None, ['minimal relay', 'bare'], {'nginx': nginx.MISSING}),
    ],
)
def test_nginx_is_named_where_it_is_not_installed(
    bench: gateway.Bench, monkeypatch: pytest.MonkeyPatch, program: str | None, targets: list[str], missing: object
):
    monkeypatch.setattr(nginx, 'find', lambda: program)
    with bench.lane('bare') as lane:
        assert [target.name for target in lane.targets] == targets
        assert lane.missing == missing


def test_on_postgresql_one_gateway_has_a_processor_and_several_have_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    class Server:
        pid = os.getpid()

        def new_database(self) -> str:
            return 'postgresql://one'

    class Filled(gateway.Installation):
        def fill(self, count: int) -> Path:
            return self.directory / str(count)

    processes = Unstarted(tmp_path)
    monkeypatch.setattr('bench.gateway.postgresql.serving', lambda: nullcontext(Server()))
    monkeypatch.setattr(gateway, 'Installation', Filled)
    pinned: list[tuple[int, set[int]]] = []
    monkeypatch.setattr('os.sched_setaffinity', lambda pid, processors: pinned.append((pid, processors)))
    with gateway.Bench(processes, tmp_path).lane('scale') as lane:  # type: ignore[arg-type]  # it starts nothing
        assert [(target.name, target.keys.name, target.database) for target in lane.targets] == [
            ('minimal relay', 'anybody', None),
            *(
                (f'{workers} worker{"s" * (workers > 1)}, {accounts}', keys, Server.pid)
                for workers in (1, 2, 4)
                for accounts, keys in (('1 account', '1'), ('10,000 accounts', '10000'))
            ),
        ]
    assert (Server.pid, {1}) in pinned
    served = [(command, on) for command, on in processes.started if 'serve' in command]
    assert [on for _, on in served] == [(0,), (0,), (0, 1), (0, 1), (0, 1), (0, 1)]
    assert [command[-2:] for command, _ in served[2:]] == [['--workers', n] for n in ('2', '2', '4', '4')]


def test_peers_are_named_where_none_is_installed(bench: gateway.Bench):
    with bench.lane('peers') as lane:
        assert lane.targets == []
        assert lane.missing == {**peers.ELSEWHERE, 'LiteLLM': litellm.MISSING, 'Portkey': portkey.MISSING}


def test_portkey_is_found_where_its_package_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr('shutil.which', lambda name: f'/usr/bin/{name}')
    assert portkey.find('') is None
    assert portkey.find(str(tmp_path)) is None
    (tmp_path / 'build').mkdir()
    (tmp_path / 'build' / 'start-server.js').touch()
    (tmp_path / 'package.json').write_text('{"version": "1.15.2"}')
    program = portkey.find(str(tmp_path))
    assert program is not None
    assert peers.versions(None, program) == {'portkey': '1.15.2'}
