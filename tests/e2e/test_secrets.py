"""Secrets that are planted everywhere are found nowhere: not in a log, an answer, an address, an error or a file."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx2
import pytest
from playwright.sync_api import Page, Request, Response, WebSocket, expect

from tests.e2e.launching import APP
from tests.e2e.serving import Server, wait_until

PLANTED = {
    'secret_key': 'planted-SECRETKEY-q8Zr5Lw2Vn7Xc4Mb1Kd6Hg3',
    'encryption_key': 'planted-ENCRYPTION-j5Tq9Wb3Rf8Yp2Nd7Zs4Lx',
    'api_key': 'planted-UPSTREAM-KEY-w3e4r5',
    'address': 'planted-UPSTREAM-PASSWORD',
    'database': 'planted-DATABASE-PASSWORD',
    'client_secret': 'planted-OAUTH-SECRET-a1s2d3',
    'token': 'planted-METRICS-TOKEN-z9x8c7',
    'storage': 'planted-REDIS-PASSWORD',
}
SECRETS = f"""
  secret_key: {PLANTED['secret_key']}
  encryption_key: {PLANTED['encryption_key']}
"""
MODEL = """  - name: {name}
    access: allowed
    input_cost_per_million: 0
    output_cost_per_million: 0
    endpoints: [{{url: "{url}"{key}}}]
"""
REFUSAL = 'the changed configuration is not used'
OTHERS = f"""
api:
  monitoring: {{token: {PLANTED['token']}}}
  prometheus: {{token: {PLANTED['token']}}}
rate_limiting: {{storage_url: "redis://:{PLANTED['storage']}@redis.example.org"}}
"""


class Talkative(BaseHTTPRequestHandler):
    """A model server that repeats what it was sent, key and all, with the status that its address names."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers['content-length']))
        body = f'{{"error": {{"message": "Incorrect API key: {self.headers["authorization"]}"}}}}'.encode()
        self.send_response(int(self.path.split('/')[1]))
        self.send_header('content-type', 'application/json')
        self.send_header('x-key', self.headers['authorization'])
        self.send_header('content-length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 - the name is the base class's
        pass


@pytest.fixture
def talkative() -> Iterator[str]:
    with ThreadingHTTPServer(('127.0.0.1', 0), Talkative) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f'127.0.0.1:{server.server_port}'
        server.shutdown()


@pytest.fixture
def installation(tmp_path: Path, talkative: str) -> Iterator[Server]:
    """An installation with every secret that there can be, and models whose servers fail in every way."""
    server = Server(tmp_path)
    user, key = f'u:{PLANTED["address"]}', f', api_key: {PLANTED["api_key"]}'
    failing = ''.join(
        MODEL.format(name=f'fails-{status}', url=f'http://{talkative}/{status}', key=key)
        for status in (400, 401, 404, 422, 429, 500)
    )
    failing += MODEL.format(name='user', url=f'http://{user}@{talkative}/500', key='')
    failing += MODEL.format(name='gone', url=f'http://{user}@127.0.0.1:1/v1', key='')
    text = server.configuration.read_text()
    text = text.replace('app:\n', f'app:{SECRETS}', 1).replace('clients:\n', f'{failing}clients:\n', 1)
    oauth = (
        f'  oauth2: {{client_id: lumen, client_secret: {PLANTED["client_secret"]}, '
        'server_metadata_url: "https://idp.example.org"}\n'
    )
    server.configuration.write_text(text.replace('login:\n', f'login:\n{oauth}', 1) + OTHERS)
    yield server
    server.stop()


class Heard(list[str]):
    """Everything that anybody could read. Says which of the secrets is in it."""

    def found(self, secrets: list[str]) -> list[str]:
        return [f'{secret} in {text[:300]}' for secret in secrets for text in self if secret in text]


def test_no_secret_is_in_any_page_call_log_or_file(page: Page, server: Server):
    heard = Heard()
    page.on('request', lambda request: heard.append(_written(request)))
    page.on('response', lambda response: heard.append(_answered(response)))
    page.on('websocket', lambda socket: _overhear(socket, heard))
    cookie = httpx2.post(
        f'{server.address}/sign-in/dev', data={'email': 'admin@example.org'}, headers={'origin': server.address}
    ).headers['set-cookie']
    session = cookie.partition('=')[2].partition(';')[0]
    page.context.add_cookies([{'name': 'lumen_session', 'value': session, 'url': server.address}])
    key = server.new_key('bot')
    everything = [*PLANTED.values(), key, session]

    for path in ('/', '/clients', '/clients/4', '/help/api', '/nothing'):
        shown = page.goto(path)
        assert shown is not None
        heard.append(shown.text())
        expect(page.locator('.frame-footer')).to_be_visible()
    headers = {'authorization': f'Bearer {key}'}
    for model in (
        'echo',
        'fails-400',
        'fails-401',
        'fails-404',
        'fails-422',
        'fails-429',
        'fails-500',
        'user',
        'gone',
        'none',
    ):
        for stream in (False, True):
            call = {'model': model, 'messages': [{'role': 'user', 'content': 'Hello'}], 'stream': stream}
            answer = httpx2.post(f'{server.address}/v1/chat/completions', json=call, headers=headers, timeout=30)
            heard.append(f'{answer.headers}{answer.text}')
    for wrong in (key[:-1], f'{key}x', key.lower(), f'sk_lumen_{"0" * 38}', f'{key} {key}'):
        answer = httpx2.get(f'{server.address}/v1/models', headers={'authorization': f'Bearer {wrong}'})
        assert answer.status_code == 401
        heard.append(f'{answer.headers}{answer.text}')
    for command in (
        'client list',
        'client show bot',
        'manager list bot',
        'audit',
        'check',
        'key revoke 99',
        'client show x',
    ):
        for json in ([], ['--json']):
            told = server.lumen(*command.split(), *json)
            heard.append(told.stdout + told.stderr)
    _break_configuration(server)

    files = [path for path in server.directory.rglob('*') if path.is_file() and path != server.configuration]
    heard += [path.read_bytes().decode('latin-1') for path in files]
    assert len(heard) > 100
    assert heard.found(everything) == []
    assert [path.name for path in files if path.name.startswith('storage-')] == []


def _break_configuration(server: Server) -> None:
    """Change the file into faulty ones whose faults are the secrets, until the running server said so of each."""
    good = server.configuration.read_text()
    for number, name in enumerate(('secret_key', 'api_key', 'client_secret'), start=1):
        server.configuration.write_text(good.replace(f'{name}: {PLANTED[name]}', f'{name}: [!{PLANTED[name]}]'))
        told = server.lumen('client', 'list')
        assert told.returncode == 2
        assert 'planted' not in told.stdout + told.stderr
        wait_until(lambda least=number: server.log.read_text().count(REFUSAL) >= least)


def _written(request: Request) -> str:
    # The cookie itself is what a browser sends; it must not be anywhere else.
    headers = {name: value for name, value in request.headers.items() if name != 'cookie'}
    return f'{request.url} {headers} {request.post_data or ""}'


def _answered(response: Response) -> str:
    return f'{response.url} {response.headers}'


def _overhear(socket: WebSocket, heard: Heard) -> None:
    socket.on('framereceived', lambda content: heard.append(str(content)))
    socket.on('framesent', lambda content: heard.append(str(content)))


@pytest.mark.parametrize(
    'address',
    [
        'postgresql://lumen:{}@127.0.0.1:1/lumen',
        'postgresql://lumen:{}/x@127.0.0.1:1/lumen',
        'postgresql://lumen:{}%zz@127.0.0.1:1/lumen',
        'postgresql://lumen:x@[{}/lumen',
        'postgresql://127.0.0.1:1/lumen?password={}',
        '{}',
    ],
)
def test_no_database_address_is_quoted_when_it_does_not_work(installation: Server, address: str):
    installation.database_url = address.format(PLANTED['database'])
    for command in (('client', 'list', '--json'), ('serve', '--port', '0')):
        told = installation.lumen(*command)
        assert told.returncode == 2
        assert 'planted' not in told.stdout + told.stderr
        assert 'Traceback' not in told.stderr


def test_no_secret_is_in_the_log_of_a_terminal(installation: Server):
    with on_a_terminal(installation) as address:
        key = installation.new_key('bot')
        for model in ('echo', 'fails-401', 'fails-500', 'user', 'gone'):
            call = {'model': model, 'messages': [{'role': 'user', 'content': 'Hello'}]}
            headers = {'authorization': f'Bearer {key}'}
            httpx2.post(f'{address}/v1/chat/completions', json=call, headers=headers, timeout=30)
        httpx2.get(f'{address}/clients?cookie=x', headers={'authorization': f'Bearer {key}'})
    said = installation.log.read_text()
    assert 'outcome' in said
    assert [secret for secret in (*PLANTED.values(), key) if secret in said] == []


@contextmanager
def on_a_terminal(server: Server) -> Iterator[str]:
    """Serve with a terminal for the log, which is kept in the installation's log at the end."""
    ours, theirs = pty.openpty()
    chunks: list[bytes] = []

    def read() -> None:
        try:
            while chunk := os.read(ours, 4096):
                chunks.append(chunk)
        except OSError:
            return  # the terminal is gone

    command = [sys.executable, str(APP), 'serve', '--port', '0']
    with subprocess.Popen(
        command, cwd=server.directory, env=server.environment, stdout=subprocess.PIPE, stderr=theirs, text=True
    ) as process:
        os.close(theirs)
        reader = threading.Thread(target=read)
        reader.start()
        try:
            assert process.stdout is not None
            found = re.search(r'http://[^/\s]+', process.stdout.readline())
            assert found
            wait_until(lambda: httpx2.get(f'{found[0]}/readyz').status_code == 200)
            yield found[0]
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=60)
            reader.join()
            os.close(ours)
            server.log.write_bytes(b''.join(chunks))
