"""What `make bench` names when it cannot be measured here."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bench import gateway, litellm, nginx, peers, portkey


class Unstarted:
    """Processes of which none is started."""

    def __init__(self, directory: Path):
        self.directory = directory

    def build(self, name: str) -> Path:
        return self.directory / name

    def start(self, *_: object, **__: object) -> Any:
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
