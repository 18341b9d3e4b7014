"""`make` as a newcomer calls it: what it lists, what it installs, and that `make run` serves and says what to do."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sysconfig
import time
import urllib.request
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LOCK = 'requirements.txt'
START_SECONDS = 5
OURS = ('LUMEN_', 'NICEGUI_', 'MAKE', 'MFLAGS', 'DATABASE_URL', 'PYTHON', 'PORT', 'HOST')
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
"""That of a shell in which nobody set up anything for Lumen, and which no other make has called."""


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """All that git knows of the project, in a folder of its own."""
    listed = subprocess.run(['git', 'ls-files', '-z'], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in listed.rstrip('\0').split('\0'):
        if (ROOT / name).is_file() and not name.startswith('docs/pictures/'):
            target = tmp_path / 'clone' / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, target)
    return tmp_path / 'clone'


@pytest.fixture
def installed(clone: Path) -> Path:
    """The clone with a virtual environment as the first `make run` leaves it, with the libraries of this one."""
    venv.create(clone / '.venv')
    packages = Path(sysconfig.get_path('purelib', vars={'base': str(clone / '.venv')}))
    (packages / 'libraries.pth').write_text(f'{sysconfig.get_path("purelib")}\n{sysconfig.get_path("platlib")}\n')
    stamp(clone, clone / '.venv')
    return clone


def stamp(clone: Path, place: Path) -> None:
    """Note that an environment holds what the lock says."""
    command = f'{{ pwd; cat {LOCK} pyproject.toml; }} | cksum'
    held = subprocess.run(['sh', '-c', command], cwd=clone, capture_output=True, text=True, check=True).stdout
    (place / f'.holds-{LOCK}').write_text(held)


def free_port() -> int:
    with socket.create_server(('127.0.0.1', 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


@contextmanager
def make_run(clone: Path, port: int) -> Iterator[subprocess.Popen[str]]:
    """`make run`, and the end of make and all that it started."""
    process = subprocess.Popen(
        ['make', 'run', f'PORT={port}'],
        cwd=clone,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.communicate(timeout=60)  # until the last of them has closed it


def said_until(process: subprocess.Popen[str], last: str) -> str:
    """All that it says up to the line with `last` in it."""
    assert process.stdout is not None
    said = ''
    while last not in said:
        line = process.stdout.readline()
        assert line, said
        said += line
    return said


def test_make_run_serves_says_what_to_do_first_and_starts_again_in_under_five_seconds(installed: Path):
    port = free_port()
    for _ in range(4):  # the first start compiles; the later ones are tried again when the machine is busy
        began = time.monotonic()
        with make_run(installed, port) as process:
            said = said_until(process, 'Press Ctrl+C to stop.')
            with urllib.request.urlopen(f'http://127.0.0.1:{port}/readyz', timeout=30) as answer:
                assert answer.status == 200
            seconds = time.monotonic() - began
        assert f'Lumen is ready on http://127.0.0.1:{port}\n' in said
        assert 'Open it, sign in as "Ada Admin", then choose Clients and + New Client.\n' in said
        assert 'Installing' not in said
        is_first = 'one was made and is kept' in said
        if not is_first and seconds < START_SECONDS:
            return
    raise AssertionError(f'the last start took {seconds:.1f} s')


PIP = """#!/bin/sh
[ "$1" = -c ] || echo "$@" >>"$0.calls"
"""


def test_what_is_installed_already_is_not_installed_again(clone: Path):
    place = clone / '.venv'
    python = place / 'bin' / 'python'
    python.parent.mkdir(parents=True)
    python.write_text(PIP)  # notes what would be installed
    python.chmod(0o700)

    def installs() -> int:
        calls = python.with_name('python.calls')
        calls.unlink(missing_ok=True)
        subprocess.run(['make', 'venv-run'], cwd=clone, env=ENVIRONMENT, check=True, capture_output=True)
        return calls.read_text().count('pip install') if calls.exists() else 0

    began = time.monotonic()
    assert [installs(), installs(), installs()] == [2, 0, 0]
    assert time.monotonic() - began < START_SECONDS
    stamp(clone, place)
    assert installs() == 0
    (clone / LOCK).write_text((clone / LOCK).read_text() + '# changed\n')
    assert [installs(), installs()] == [2, 0]
    clone.rename(clone.with_name('moved'))
    clone = clone.with_name('moved')
    python = clone / '.venv' / 'bin' / 'python'
    assert [installs(), installs()] == [2, 0]


def test_make_help_names_every_target_that_is_not_a_step_of_another():
    targets = set(re.findall(r'^\.PHONY: (.+)$', (ROOT / 'Makefile').read_text(), re.MULTILINE)[0].split())
    steps = {target for target in targets if target.startswith('venv-')}
    for command in (['make'], ['make', 'help']):
        said = subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, check=True).stdout
        assert set(re.findall(r'^make (\S+)', said, re.MULTILINE)) == targets - steps - {'help'}
