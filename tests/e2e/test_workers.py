"""A gateway of several processes behind one port."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import openai
import psycopg
import pytest

from tests.e2e.launching import APP
from tests.e2e.serving import Server, wait_until
from tests.e2e.test_serving import allow, complete, cut_off, fail


@pytest.fixture
def stalled() -> Iterator[socket.socket]:
    """A model server that never answers."""
    with socket.create_server(('127.0.0.1', 0)) as listener:
        listener.settimeout(20)
        yield listener


class Parent(Server):
    """One that may have children, which a process forked for the tests may not."""

    def launch(self, arguments: tuple[str, ...], directory: Path, environment: dict[str, str], errors: Path) -> Any:
        with errors.open('ab') as log:
            return subprocess.Popen(
                [sys.executable, APP, *arguments],
                cwd=directory,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )


def served_by(directory: Path, database_url: str, upstream: str = 'builtin:echo') -> Server:
    directory.mkdir(exist_ok=True)
    server = Parent(directory, database_url, upstream)
    server.extra_environment = {'LUMEN_ENCRYPTION_KEY': 'e' * 48, 'LUMEN_SECRET_KEY': 's' * 48}
    return server


def processes(database_url: str) -> set[str]:
    with psycopg.connect(database_url) as database:
        return {str(row[0]) for row in database.execute('select id from process').fetchall()}


def children(server: Server) -> list[int]:
    """The processes that serve: those of its children that listen."""
    assert server.process is not None
    found = Path(f'/proc/{server.process.pid}/task/{server.process.pid}/children').read_text().split()
    return [int(pid) for pid in found if b'spawn_main' in Path(f'/proc/{pid}/cmdline').read_bytes()]


@pytest.mark.parametrize('database_url', ['postgresql', 'pooled'], indirect=True)
def test_several_processes_serve_one_address_and_the_books_add_up(tmp_path: Path, database_url: str):
    server = served_by(tmp_path, database_url)
    key = server.new_key('bot')
    server.start('gateway', 0, '--workers', '3')
    try:
        assert len(processes(database_url)) == len(children(server)) == 3
        with ThreadPoolExecutor(max_workers=24) as threads:
            assert list(threads.map(lambda _: complete(server, key) is not None, range(96))) == [True] * 96
        assert server.json('check')['clean']
        assert server.json('client', 'show', 'bot')['requests'] == 96
    finally:
        assert server.stop() in (0, -signal.SIGTERM)
    assert processes(database_url) == set()


@pytest.mark.parametrize('database_url', ['postgresql'], indirect=True)
def test_one_that_is_killed_is_replaced_and_its_call_is_settled_by_another(
    tmp_path: Path, database_url: str, stalled: socket.socket
):
    # Takes half a minute of waiting: after that a process without signs of life counts as dead.
    server = served_by(tmp_path, database_url, f'http://127.0.0.1:{stalled.getsockname()[1]}/v1')
    key = server.new_key('bot')
    server.start('gateway', 0, '--workers', '2')
    before = processes(database_url)
    caller = threading.Thread(target=fail, args=(server, key))
    caller.start()
    connection = stalled.accept()[0]
    try:
        with psycopg.connect(database_url, autocommit=True) as database:
            held_by = wait_until(lambda: database.execute('select process_id from hold').fetchone())[0]
            for pid in children(server):
                if connection_of(pid, stalled):
                    os.kill(pid, signal.SIGKILL)
            caller.join(20)
            wait_until(lambda: len(children(server)) == 2 and server.get('/readyz')[0] == 200)
            wait_until(lambda: database.execute('select count(*) from hold').fetchone()[0] == 0, seconds=60)
            assert database.execute('select outcome from request').fetchall() == [('interrupted',)]
        assert held_by in before
        assert held_by not in processes(database_url)
        assert server.json('check')['clean']
    finally:
        connection.close()
        server.stop()
        caller.join()


def connection_of(pid: int, server: socket.socket) -> bool:
    """Whether the process has a connection to that model server."""
    port = f':{server.getsockname()[1]:04X}'
    inodes = {
        line.split()[9]
        for line in Path(f'/proc/{pid}/net/tcp').read_text().splitlines()[1:]
        if line.split()[2].endswith(port) and line.split()[3] == '01'
    }
    links = [str(link.readlink()) for link in Path(f'/proc/{pid}/fd').iterdir()]
    return any(f'socket:[{inode}]' in links for inode in inodes)


@pytest.mark.parametrize('database_url', ['postgresql', 'pooled'], indirect=True)
def test_calls_of_several_processes_wait_for_the_same_coins_and_never_overspend(tmp_path: Path, database_url: str):
    server = served_by(tmp_path, database_url)
    text = server.configuration.read_text()
    server.configuration.write_text(
        text.replace('max: 100, refresh: 0, starting: 100', 'max: 3, refresh: 0, starting: 3')
    )
    key = server.new_key('bot')
    server.start('gateway', 0, '--workers', '2')

    def outcome(_: int) -> str:
        try:
            complete(server, key)
        except openai.RateLimitError:
            return 'refused'
        return 'served'

    try:
        with ThreadPoolExecutor(max_workers=40) as threads:
            found = list(threads.map(outcome, range(80)))
        shown = server.json('client', 'show', 'bot')
        assert shown['requests'] == found.count('served') > 1
        assert server.json('check')['clean']
    finally:
        server.stop()


def test_what_cannot_be_several_is_told_in_one_line(installation: Server):
    for more, said in (
        (('--role', 'all'), '--role gateway'),
        (('--role', 'gateway'), 'several workers need PostgreSQL'),
    ):
        result = installation.lumen('serve', '--workers', '2', *more)
        assert result.returncode == 2
        assert said in result.stderr
        assert len(result.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize('database_url', ['postgresql'], indirect=True)
@pytest.mark.parametrize(
    ('grace_seconds', 'orders'), [('0.2', [signal.SIGTERM]), ('60', [signal.SIGTERM, signal.SIGTERM])]
)
def test_what_outlasts_the_grace_or_a_second_order_is_told_so_by_each(
    tmp_path: Path, database_url: str, stalled: socket.socket, grace_seconds: str, orders: list[signal.Signals]
):
    server = served_by(tmp_path, database_url, f'http://127.0.0.1:{stalled.getsockname()[1]}/v1')
    allow(server, grace_seconds)
    server.start('gateway', 0, '--workers', '2')

    def is_told(server: Server) -> bool:
        try:
            return len(children(server)) < 2  # the one that has nothing to finish is gone
        except OSError:
            return True

    try:
        assert cut_off(server, orders, 20, is_told) in (0, -signal.SIGTERM)
    finally:
        server.stop()
    assert 'Traceback' not in server.log.read_text()
    assert processes(database_url) == set()
