"""A gateway on a real port, and model servers in other processes: the echo server and one that misbehaves on demand."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import openai
import pytest
import uvicorn

import models
from lumen.config.settings import Settings
from lumen.database import Database
from lumen.gateway import Gateway
from lumen.identity import keys
from lumen.identity.permissions import COMMAND_LINE
from lumen.ledger import Ledger
from lumen.ledger.check import differences
from lumen.server.http import Http
from tests.conftest import wait_until
from tests.e2e.launching import APP, Launched
from tests.lumen import factories


@contextmanager
def echo_process(*options: str) -> Iterator[str]:
    """`lumen echo` in a process of its own; its base address."""
    process = Launched(('echo', '--port', '0', *options), APP.parent, os.environ, Path(os.devnull))
    with process.stdout:
        try:
            found = re.search(r'http://\S+', process.stdout.readline())
            assert found is not None
            yield found.group()
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=20)


@pytest.fixture(scope='session')
def echo_address() -> Iterator[str]:
    with echo_process() as address:
        yield address


@dataclass
class Script:
    """What the scripted model server does with the next calls, and what it was sent."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=lambda: {'content-type': 'application/json'})
    parts: list[bytes] = field(default_factory=list)
    length: int | None = None
    proceed: threading.Event = field(default_factory=threading.Event)
    waits_after: int | None = None
    hangs_up: bool = False
    received: list[dict[str, Any]] = field(default_factory=list)
    received_headers: list[dict[str, str]] = field(default_factory=list)
    received_paths: list[str] = field(default_factory=list)
    left: threading.Event = field(default_factory=threading.Event)
    uploaded: bytearray = field(default_factory=bytearray)
    """What has come of a form, while it comes."""
    is_uploaded: bool = False
    reads: int | None = None
    """So much of a form it waits for before it goes on."""
    then: Script | None = None
    """What it does with the calls after the next one."""


class ScriptedServer(ThreadingHTTPServer):
    """It answers probes with `probe_status`, and keeps their paths, headers and times."""

    daemon_threads = True
    script: Script
    probe_status = 200

    def __init__(self, *arguments: Any):
        super().__init__(*arguments)
        self.probed: list[tuple[str, dict[str, str]]] = []
        self.probed_at: list[float] = []

    @property
    def address(self) -> str:
        return f'http://127.0.0.1:{self.server_address[1]}/v1'


class Scripted(BaseHTTPRequestHandler):
    server: ScriptedServer
    protocol_version = 'HTTP/1.0'

    def do_GET(self) -> None:
        self.server.probed_at.append(time.monotonic())
        self.server.probed.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
        self.send_response(self.server.probe_status)
        self.send_header('content-length', '2')
        self.end_headers()
        self.wfile.write(b'{}')

    def do_POST(self) -> None:
        script = self.server.script
        self.server.script = script.then or script
        if self.headers['content-type'].startswith('application/json'):
            script.received.append(json.loads(self.rfile.read(int(self.headers['content-length']))))
        script.received_paths.append(self.path)
        script.received_headers.append({name.lower(): value for name, value in self.headers.items()})
        if not self.headers['content-type'].startswith('application/json') and not self._upload(script):
            return
        if script.waits_after == -1 and not self._wait(script):
            return
        if script.hangs_up:
            return
        self.send_response(script.status)
        for name, value in script.headers.items():
            self.send_header(name, value)
        if script.length is not None:
            self.send_header('content-length', str(script.length))
        self.end_headers()
        for number, part in enumerate(script.parts):
            self.wfile.write(part)
            self.wfile.flush()
            if script.waits_after == number and not self._wait(script):
                return

    def _upload(self, script: Script) -> bool:
        """Read a form as it comes; False when the gateway hung up meanwhile."""
        is_chunked = self.headers.get('transfer-encoding') == 'chunked'
        left = 0 if is_chunked else int(self.headers['content-length'])
        try:
            while script.reads is None or len(script.uploaded) < script.reads:
                if is_chunked and left == 0 and (left := int(self.rfile.readline(), 16)) == 0:
                    self.rfile.readline()
                    break
                if left == 0:
                    break
                piece = self.rfile.read1(min(left, 65536))
                if not piece:
                    raise ConnectionResetError
                script.uploaded += piece
                left -= len(piece)
                if is_chunked and left == 0:
                    self.rfile.readline()
            else:
                return True
        except (OSError, ValueError):
            script.left.set()
            return False
        script.is_uploaded = True
        return True

    def _wait(self, script: Script) -> bool:
        """Wait until told to go on; False when the gateway hung up meanwhile."""
        self.connection.settimeout(0.05)
        while not script.proceed.is_set():
            try:
                if self.connection.recv(1) == b'':
                    script.left.set()
                    return False
            except TimeoutError:
                continue
            except OSError:
                script.left.set()
                return False
        return True

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 - the name is the base class's
        pass


@contextmanager
def scripted_server() -> Iterator[ScriptedServer]:
    server = ScriptedServer(('127.0.0.1', 0), Scripted)
    server.script = Script()
    thread = threading.Thread(target=server.serve_forever, kwargs={'poll_interval': 0.01})
    thread.start()
    yield server
    server.script.proceed.set()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def scripted() -> Iterator[ScriptedServer]:
    with scripted_server() as server:
        yield server


@pytest.fixture
def other() -> Iterator[ScriptedServer]:
    """Another one."""
    with scripted_server() as server:
        yield server


class Source:
    """Settings that a test may change while the gateway runs."""

    def __init__(self, settings: Settings):
        self.current = settings


NO_PROBE = {'interval_seconds': '0'}


def configured(address: str, *, pool: dict[str, str] | None = None, **model: Any) -> Settings:
    """One priced model `m` at `address`, one that is free, one blocked, one disabled. Prices: 1 and 2 millicoins.

    Endpoints are not probed unless they say so.
    """
    priced = {
        'input_cost_per_million': '1000',
        'output_cost_per_million': '2000',
        'context_window': '8192',
        'max_output_tokens': '512',
        'endpoints': [
            {
                'url': address,
                'model': 'remote/name',
                'api_key': 'upstream-secret',
                'idle_timeout_seconds': '2',
                'probe': NO_PROBE,
            }
        ],
    }
    own = {'name': 'm', 'access': 'allowed'} | priced | model
    own['endpoints'] = [{'probe': NO_PROBE} | endpoint for endpoint in own['endpoints']]
    return factories.settings(
        models=[
            own,
            priced
            | {'name': 'org/free', 'access': 'allowed', 'input_cost_per_million': '0', 'output_cost_per_million': '0'},
            {'name': 'blocked', 'access': 'blocked'} | priced,
            {'name': 'disabled', 'access': 'allowed', 'disabled': 'true'} | priced,
        ],
        clients={'default': pool or {'max': '10', 'refresh': '0', 'starting': '10'}},
    )


def _client(settings: Settings) -> int:
    found = models.Account.get_or_none(models.Account.handle == 'bot')
    return int(found.id) if found is not None else factories.client('bot', settings)


class Running:
    """A gateway that serves on a port, with one client (of all gateways on the database) and a key of its own."""

    def __init__(self, database: Database, settings: Settings):
        self.database = database
        self.source = Source(settings)
        self.gateway = Gateway(self.source, database, Ledger(database, self.source), factories.SECRET)
        self.client_id = database.write_now(_client, settings)
        self.key = self.new_key().key
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))
        self._thread.start()
        assert self._ready.wait(20)

    def new_key(self) -> keys.NewKey:
        return self.database.write_now(
            keys.create_key,
            COMMAND_LINE,
            self.client_id,
            'key',
            None,
            settings=self.source.current,
            secret=factories.SECRET,
        )

    @property
    def openai(self) -> openai.OpenAI:
        return openai.OpenAI(base_url=f'{self.address}/v1', api_key=self.key, max_retries=0)

    def account(self) -> models.Account:
        return self.database.read_now(lambda: models.Account.get_by_id(self.client_id))

    def requests(self) -> list[models.Request]:
        return self.database.read_now(lambda: list(models.Request.select().order_by(models.Request.id)))

    def wait_for_requests(self, number: int) -> list[models.Request]:
        """The request rows, once there are `number` of them."""
        wait_until(lambda: len(self.requests()) >= number)
        return self.requests()

    def assert_settled(self) -> None:
        """No coins are held and the books add up."""
        assert self.account().held == 0
        assert self.database.read_now(lambda: models.Hold.select().count()) == 0
        assert self.database.read_now(differences) == []

    def finish(self, grace_seconds: float = 1.0) -> None:
        """Tell the gateway to stop, as it is told of a signal."""
        self.loop.call_soon_threadsafe(self.gateway.finish, grace_seconds)

    def stop(self) -> None:
        if self._thread.is_alive():
            self.finish()
        self._server.should_exit = True
        self._thread.join(30)

    async def _serve(self) -> None:
        self.loop = asyncio.get_running_loop()
        await self.gateway.start()
        config = uvicorn.Config(
            self.gateway.app,
            port=0,
            interface='asgi3',
            http=Http,
            proxy_headers=False,
            log_config=None,
            lifespan='off',
            timeout_graceful_shutdown=5,
        )
        self._server = uvicorn.Server(config)
        serving = asyncio.create_task(self._server.serve())
        while not self._server.started:  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0.01)
        self.address = f'http://127.0.0.1:{self._server.servers[0].sockets[0].getsockname()[1]}'
        self._ready.set()
        await serving
        await self.gateway.stop()


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """Real time: the gateway measures it."""
    database = Database(database_url)
    yield database
    database.close()


@pytest.fixture
def run(database: Database) -> Iterator[Callable[[Settings], Running]]:
    """Starts gateways, and stops them."""
    running: list[Running] = []

    def start(settings: Settings) -> Running:
        running.append(Running(database, settings))
        return running[-1]

    yield start
    for gateway in running:
        gateway.stop()
