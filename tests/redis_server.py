"""A real Redis for the tests that share counts: one that is there, else the distribution's."""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path

from prove import programs
from tests.conftest import wait_until


def find() -> str | None:
    return programs.find('redis-server', 'redis-server', 'valkey-server')


class RedisServer:
    """One that can be stopped and started again, at the same address, empty."""

    def __init__(self, program: str, directory: Path):
        self._program = program
        self._directory = directory
        with socket.socket() as listener:
            listener.bind(('127.0.0.1', 0))
            self.port = listener.getsockname()[1]
        self.url = f'redis://127.0.0.1:{self.port}'
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        options = ['--port', str(self.port), '--bind', '127.0.0.1', '--save', '', '--dir', str(self._directory)]
        self._process = subprocess.Popen([self._program, *options], stdout=subprocess.DEVNULL)
        wait_until(self._answers)

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _answers(self) -> bool:
        try:
            with socket.create_connection(('127.0.0.1', self.port), timeout=1) as connection:
                connection.sendall(b'PING\r\n')
                return connection.recv(100).startswith(b'+PONG')
        except OSError:
            return False
