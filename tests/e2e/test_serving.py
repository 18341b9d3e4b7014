"""What a served installation does when it starts, stops, is beside a command, or is killed."""

import json
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import openai
import psycopg
import pytest

import models
from lumen.database import Database
from tests.e2e.launching import APP
from tests.e2e.serving import Server, wait_until


def complete(server: Server, key: str, content: str = 'hello') -> openai.types.chat.ChatCompletion:
    with openai.OpenAI(base_url=f'{server.address}/v1', api_key=key, max_retries=0) as client:
        return client.chat.completions.create(model='echo', messages=[{'role': 'user', 'content': content}])


def test_a_call_is_counted_and_paid(server: Server):
    key = server.new_key('bot')
    usage = complete(server, key).usage
    shown = server.json('client', 'show', 'bot')
    assert shown['requests'] == 1
    assert (shown['input_tokens'], shown['output_tokens']) == (usage.prompt_tokens, usage.completion_tokens)
    cost = usage.prompt_tokens * 1_000_000 + usage.completion_tokens * 2_000_000
    assert shown['coins_spent'] == f'0.{cost:09d}'
    assert shown['balance'] == f'99.{10**9 - cost:09d}'
    assert server.json('check')['clean']


def test_a_key_revoked_by_command_stops_within_a_second(server: Server):
    server.json('client', 'create', 'bot')
    key = server.json('key', 'create', 'bot')
    assert server.get('/v1/models', key['key'])[0] == 200
    server.json('key', 'revoke', str(key['id']))
    wait_until(lambda: server.get('/v1/models', key['key'])[0] == 401, seconds=1)


def test_a_client_deactivated_by_command_stops_and_starts_again_within_a_second(server: Server):
    key = server.new_key('bot')
    assert server.get('/v1/models', key)[0] == 200
    server.json('client', 'deactivate', 'bot')
    wait_until(lambda: server.get('/v1/models', key)[0] == 403, seconds=1)
    server.json('client', 'activate', 'bot')
    wait_until(lambda: server.get('/v1/models', key)[0] == 200, seconds=1)


def test_a_changed_configuration_is_in_force_within_five_seconds(server: Server):
    key = server.new_key('bot')
    assert '"second"' not in server.get('/v1/models', key)[1]
    text = server.configuration.read_text()
    added = text[text.index('  - name: echo') : text.index('clients:')].replace('name: echo', 'name: second')
    server.configuration.write_text(text.replace('clients:', f'{added}clients:'))
    wait_until(lambda: '"second"' in server.get('/v1/models', key)[1], seconds=5)
    server.configuration.write_text('version: 3')
    wait_until(lambda: 'the changed configuration is not used' in server.log.read_text(), seconds=5)
    assert '"second"' in server.get('/v1/models', key)[1]


@pytest.fixture
def stalled() -> Iterator[socket.socket]:
    """A model server that takes a call and never answers."""
    with socket.create_server(('127.0.0.1', 0)) as listener:
        yield listener


def hold_count(url: str) -> int:
    database = Database(url, readers=1)
    try:
        return database.read_now(models.Hold.select().count)
    finally:
        database.close()


def test_a_killed_server_settles_its_calls_when_it_starts_again(tmp_path: Path, stalled: socket.socket):
    server = Server(tmp_path, upstream=f'http://127.0.0.1:{stalled.getsockname()[1]}/v1')
    server.start()
    key = server.new_key('bot')

    def call() -> None:
        with pytest.raises(openai.APIConnectionError):
            complete(server, key)

    caller = threading.Thread(target=call)
    caller.start()
    wait_until(lambda: hold_count(server.database_url) == 1)
    server.stop(signal.SIGKILL)
    caller.join()
    assert server.lumen('check').returncode == 0
    try:
        server.start()
        wait_until(lambda: hold_count(server.database_url) == 0)
        assert server.json('client', 'show', 'bot')['requests'] == 1
        assert server.json('check')['clean']
    finally:
        server.stop()
    database = Database(server.database_url, readers=1)
    assert database.read_now(lambda: models.Request.get().outcome) == 'interrupted'
    database.close()


@pytest.mark.parametrize('database_url', ['postgresql'], indirect=True)
def test_a_gateway_settles_the_calls_of_another_that_was_killed_and_not_those_of_the_living(
    tmp_path: Path, database_url: str, stalled: socket.socket
):
    # Takes half a minute of waiting: after that a process without signs of life counts as dead.
    killed, alive = (gateway(tmp_path / name, database_url, stalled) for name in ('killed', 'alive'))
    callers, connections = [], []
    with psycopg.connect(database_url, autocommit=True) as database:

        def holds() -> int:
            return database.execute('select count(*) from hold').fetchone()[0]

        try:
            for server in (alive, killed):
                key = server.new_key(server.directory.name)
                server.start(role='gateway')
                callers.append(threading.Thread(target=fail, args=(server, key)))
                callers[-1].start()
                connections.append(stalled.accept()[0])
            wait_until(lambda: holds() == 2)
            killed.stop(signal.SIGKILL)
            wait_until(lambda: holds() == 1, seconds=60)
            settled = 'select name, outcome from request join account on account.id = request.account_id'
            assert database.execute(settled).fetchall() == [('killed', 'interrupted')]
            stalled.close()  # or it would be asked again, and stall again
            connections[0].close()
            wait_until(lambda: holds() == 0)
            assert database.execute(settled).fetchall()[1:] == [('alive', 'upstream_error')]
            assert alive.json('check')['clean']
        finally:
            for connection in connections:
                connection.close()
            for server in (alive, killed):
                server.stop()
            for caller in callers:
                caller.join()


def gateway(directory: Path, database_url: str, upstream: socket.socket) -> Server:
    """One of several on one database, which have their secrets in common."""
    directory.mkdir()
    server = Server(directory, database_url, upstream=f'http://127.0.0.1:{upstream.getsockname()[1]}/v1')
    server.extra_environment = {'LUMEN_ENCRYPTION_KEY': 'e' * 48, 'LUMEN_SECRET_KEY': 's' * 48}
    return server


def fail(server: Server, key: str) -> None:
    """Make a call to which no answer comes."""
    with pytest.raises((openai.APIConnectionError, openai.InternalServerError)):
        complete(server, key)


def test_calls_in_flight_finish_when_told_to_stop(server: Server):
    key = server.new_key('bot')
    words = ' '.join(f'word{number}' for number in range(40))
    with openai.OpenAI(base_url=f'{server.address}/v1', api_key=key, max_retries=0) as client:
        stream = client.chat.completions.create(
            model='echo',
            messages=[{'role': 'user', 'content': words}],
            stream=True,
            extra_body={'echo': {'chunk_delay_seconds': 0.02}},
        )
        heard = [next(iter(stream))]
        assert server.process is not None
        server.process.send_signal(signal.SIGTERM)
        wait_until(lambda: not accepts(server))
        heard += stream
    assert ''.join(chunk.choices[0].delta.content or '' for chunk in heard) == words
    assert server.process.wait(timeout=60) == 0
    assert server.json('client', 'show', 'bot')['output_tokens'] == 40
    assert server.json('check')['clean']


@pytest.mark.parametrize(
    ('grace_seconds', 'orders'),
    [
        ('0.2', [signal.SIGTERM]),
        ('60', [signal.SIGTERM, signal.SIGTERM]),
        ('60', [signal.SIGINT, signal.SIGINT]),
    ],
)
def test_what_outlasts_the_grace_or_a_second_order_is_told_so_and_settled(
    tmp_path: Path, stalled: socket.socket, grace_seconds: str, orders: list[signal.Signals]
):
    server = Server(tmp_path, upstream=f'http://127.0.0.1:{stalled.getsockname()[1]}/v1')
    allow(server, grace_seconds)
    server.start()
    assert cut_off(server, orders, seconds=10) == 0
    assert 'Traceback' not in server.log.read_text()


def allow(server: Server, grace_seconds: str) -> None:
    """How long calls may take after the order to stop."""
    text = server.configuration.read_text()
    server.configuration.write_text(text.replace('app:\n', f'app:\n  grace_seconds: {grace_seconds}\n', 1))


def cut_off(
    server: Server, orders: list[signal.Signals], seconds: float, is_told: Callable[[Server], bool] | None = None
) -> int:
    """Stop it with a call in flight that never ends, and see what is told of that. Returns the exit code.

    `is_told` is whether the order has arrived.
    """
    key = server.new_key('bot')
    told: list[openai.InternalServerError] = []

    def call() -> None:
        with pytest.raises(openai.InternalServerError) as refusal:
            complete(server, key)
        told.append(refusal.value)

    caller = threading.Thread(target=call)
    caller.start()
    wait_until(lambda: hold_count(server.database_url) == 1)
    process = server.process
    assert process is not None
    for order in orders:
        process.send_signal(order)
        wait_until(lambda: is_told(server) if is_told else not accepts(server))
    ended = process.wait(timeout=seconds)
    caller.join()
    server.stop()
    assert (told[0].status_code, told[0].code) == (503, 'unavailable')
    assert str(told[0].request_id).startswith('req_')
    assert hold_count(server.database_url) == 0
    assert server.json('check')['clean']
    database = Database(server.database_url, readers=1)
    assert database.read_now(lambda: models.Request.get().outcome) == 'interrupted'
    database.close()
    return ended


def accepts(server: Server) -> bool:
    try:
        return server.get('/healthz')[0] == 200
    except OSError:
        return False


def refused(server: Server, *arguments: str, exit_code: int = 1) -> str:
    """What `lumen serve` says in refusing to start."""
    result = server.lumen('serve', '--port', '0', *arguments)
    assert result.returncode == exit_code
    assert 'Traceback' not in result.stderr
    return result.stderr.splitlines()[-1]


def test_a_port_that_is_taken_is_told_in_one_line(installation: Server, stalled: socket.socket):
    port = str(stalled.getsockname()[1])
    assert refused(installation, '--port', port) == f'cannot listen on 127.0.0.1:{port}: address already in use'


def test_a_configuration_with_three_faults_is_refused_with_all_three(installation: Server):
    text = installation.configuration.read_text()
    text = text.replace('refresh: 0,', 'refresh: -1,').replace('access: allowed', 'access: granted')
    installation.configuration.write_text(text.replace('support_email', 'suport_email'))
    lines = installation.configuration.read_text().splitlines()
    result = installation.lumen('serve', '--port', '0')
    assert (result.returncode, result.stdout) == (2, '')
    assert 'Traceback' not in result.stderr
    for found, (word, fault) in zip(
        result.stderr.splitlines()[-3:],
        [
            ('suport_email', 'app.suport_email: is not a key of this section (did you mean "support_email"?)'),
            ('granted', "models[0].access: must be 'allowed' or 'blocked'"),
            ('refresh', 'clients.default.refresh: must be 0 or more, got -1'),
        ],
        strict=True,
    ):
        line = next(number for number, line in enumerate(lines, 1) if word in line)
        assert found == f'config.yaml:{line}: {fault}'


def test_a_file_that_is_emptied_takes_no_model_away(server: Server):
    key = server.new_key('bot')
    server.configuration.write_text('')
    wait_until(lambda: 'the changed configuration is not used' in server.log.read_text(), seconds=5)
    assert '"echo"' in server.get('/v1/models', key)[1]
    assert 'configuration reloaded' not in server.log.read_text()


def test_a_database_that_cannot_be_reached_is_told_in_one_line(installation: Server):
    installation.database_url = 'postgresql://lumen:hunter2@127.0.0.1:1/lumen'
    said = refused(installation, exit_code=2)
    assert said.startswith('the database cannot be used: ')
    assert said.endswith('; check that it runs, and its address')
    assert 'hunter2' not in said


def test_a_start_says_what_to_do_first(server: Server):
    assert server.process is not None
    said = [server.process.stdout.readline() for _ in range(2)]
    assert said == [
        'Open it, sign in as "Ada Admin", then choose Clients and + New Client.\n',
        'Press Ctrl+C to stop.\n',
    ]


def test_keys_are_not_served_under_another_secret_than_they_were_made_with(server: Server):
    key = server.new_key('bot')
    server.stop()
    server.extra_environment = {'LUMEN_ENCRYPTION_KEY': 'another secret of thirty-two characters'}
    said = refused(server, exit_code=2)
    assert said.startswith('app.encryption_key (from LUMEN_ENCRYPTION_KEY of the environment) is not the one that ')
    (server.directory / 'data' / 'encryption_key').rename(server.directory / 'kept')
    server.extra_environment = {}
    assert f'(from {server.directory}/data/encryption_key)' in refused(server, exit_code=2)
    (server.directory / 'kept').rename(server.directory / 'data' / 'encryption_key')
    server.start()
    assert server.get('/v1/models', key)[0] == 200


def test_a_start_makes_both_secrets_and_says_so(server: Server):
    for name in ('secret_key', 'encryption_key'):
        assert (server.directory / 'data' / name).read_text()
        assert f'app.{name} was not configured: one was made and is kept' in server.log.read_text()


def test_a_second_server_on_one_sqlite_file_is_refused_whatever_it_is_called(server: Server):
    assert 'another Lumen is already serving' in refused(server)
    file = server.directory / 'data' / 'lumen.db'
    (server.directory / 'alias.db').symlink_to(file)
    url, server.database_url = server.database_url, f'sqlite:///{server.directory}/alias.db'
    assert 'another Lumen is already serving' in refused(server)
    (server.directory / 'data' / 'alias.db').hardlink_to(file)
    server.database_url = f'sqlite:///{server.directory}/data/alias.db'
    assert 'has several names' in refused(server)
    server.database_url = url


def test_a_database_that_can_only_be_read_is_told_in_one_line(installation: Server, postgresql_server: str):
    with psycopg.connect(postgresql_server, autocommit=True) as connection:
        connection.execute('create database standby')
    installation.database_url = postgresql_server.replace('/postgres?', '/standby?')
    assert installation.lumen('migrate').returncode == 0
    with psycopg.connect(postgresql_server, autocommit=True) as connection:
        connection.execute('alter database standby set default_transaction_read_only = on')
    said = refused(installation, exit_code=2)
    assert said.startswith('the database can only be read: ')
    assert 'let this user write to it' in said
    assert installation.lumen('client', 'list').returncode == 0
    result = installation.lumen('client', 'create', 'bot')
    assert (result.returncode, len(result.stderr.splitlines())) == (2, 1)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own with room for little more than an empty database."""
    place = tmp_path / 'disk'
    place.mkdir()
    mounted = subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=2m', 'tmpfs', str(place)], capture_output=True)
    if mounted.returncode:
        pytest.skip('only root may mount a file system')
    yield place
    subprocess.run(['umount', '--lazy', str(place)], check=True)


def told_in_one_line(server: Server, *command: str) -> str:
    """All that a command says besides that it made secrets."""
    result = server.lumen(*command)
    assert (result.returncode, result.stdout) == (2, '')
    lines = [line for line in result.stderr.splitlines() if 'was not configured: one was made' not in line]
    assert len(lines) == 1, result.stderr
    return lines[0]


def test_a_disk_that_is_full_or_can_only_be_read_is_told_in_one_line(installation: Server, small_disk: Path):
    installation.database_url = f'sqlite:///{small_disk}/lumen.db'
    installation.json('client', 'create', 'bot')
    commands = (('client', 'create', 'another'), ('serve', '--port', '0'))
    filler = small_disk / 'filler'
    with suppress(OSError), filler.open('wb', buffering=0) as file:
        while True:
            file.write(b'x' * 4096)
    for command in commands:
        assert told_in_one_line(installation, *command).startswith('the database has no room left: ')
    filler.unlink()
    subprocess.run(['mount', '-o', 'remount,ro', str(small_disk)], check=True)
    for command in commands:
        assert told_in_one_line(installation, *command).startswith('the database can only be read: ')


def test_a_file_that_is_no_database_is_told_in_one_line(installation: Server):
    (installation.directory / 'data').mkdir()
    (installation.directory / 'data' / 'lumen.db').write_text('This is a letter, not a database. ' * 100)
    said = refused(installation, exit_code=2)
    assert said.startswith('the database is no database of Lumen, or is damaged: ')


def test_a_database_of_a_newer_lumen_is_told_in_one_line(server: Server):
    server.stop()
    with closing(sqlite3.connect(server.directory / 'data' / 'lumen.db')) as connection:
        connection.execute("insert into schema_migration (name, applied) values ('9999_of_tomorrow', '2099-01-01')")
        connection.commit()
    said = refused(server, exit_code=2)
    assert said == 'the database was made by a newer Lumen (it has 9999_of_tomorrow); run that one, or a later one'
    for command in (('client', 'list'), ('check',), ('migrate',)):
        result = server.lumen(*command)
        assert (result.returncode, result.stderr.strip()) == (2, said)


def test_postgresql_is_not_migrated_behind_ones_back(installation: Server, postgresql_server: str):
    with psycopg.connect(postgresql_server, autocommit=True) as connection:
        connection.execute('create database unmigrated')
    installation.database_url = postgresql_server.replace('/postgres?', '/unmigrated?')
    assert refused(installation, exit_code=2).endswith('run `lumen migrate`')
    assert installation.lumen('migrate').returncode == 0
    installation.start()
    assert installation.get('/healthz') == (200, '{"status": "alive"}')


def test_a_gateway_alone_serves_no_pages_and_loads_none(installation: Server):
    with from_scratch(
        installation, 'serve', '--port', '0', '--role', 'gateway', PYTHONPROFILEIMPORTTIME='1'
    ) as process:
        assert process.stdout is not None
        installation.address = process.stdout.readline().split()[-1].removesuffix('/v1')
        assert installation.get('/')[0] == 404
        assert installation.get('/v1/models')[0] == 401
        process.terminate()
    imported = installation.log.read_text()
    assert 'lumen.gateway' in imported
    assert 'nicegui' not in imported
    assert 'lumen_ui' not in imported


@contextmanager
def from_scratch(installation: Server, *arguments: str, **variables: str) -> Iterator[subprocess.Popen[str]]:
    """`python app.py` with nothing imported beforehand."""
    with (
        installation.log.open('w') as log,
        subprocess.Popen(
            [sys.executable, str(APP), *arguments],
            cwd=installation.directory,
            env=installation.environment | variables,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        ) as process,
    ):
        yield process


def test_the_line_that_says_ready_is_json_when_asked(installation: Server):
    for command in ('serve', 'echo'):
        with from_scratch(installation, command, '--port', '0', '--json') as process:
            assert process.stdout is not None
            ready = json.loads(process.stdout.readline())
            process.terminate()
        assert ready['address'].startswith('http://127.0.0.1:')


def test_the_command_and_python_app_are_the_same(installation: Server):
    def say(*command: str | Path) -> tuple[int, str, str]:
        said = subprocess.run(
            command,
            cwd=installation.directory,
            env=installation.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return said.returncode, said.stdout, said.stderr

    script = Path(sys.executable).with_name('lumen')  # which the installation of the package put there
    installation.json('client', 'create', 'bot')
    for arguments, shown in (
        (('--help',), 'Commands:'),
        (('client', 'list', '--json'), '"name": "bot"'),
        (('client', 'show', 'nobody'), 'nobody'),
    ):
        said = say(script, *arguments)
        assert said == say(sys.executable, APP, *arguments)
        assert shown in said[1] + said[2]
