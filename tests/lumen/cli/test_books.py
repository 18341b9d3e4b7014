from collections.abc import Callable
from pathlib import Path

import models
from lumen.database import Database
from tests.lumen.cli.conftest import CONFIGURATION, Lumen


def test_books_that_add_up_are_clean(lumen: Lumen):
    lumen.json('client', 'create', 'bot')
    assert lumen.json('check') == {'clean': True, 'differences': []}
    assert lumen('check').exit_code == 0


def test_every_difference_is_named(lumen: Lumen, database_url: str, new_database: Callable[[str], Database]):
    client_id = lumen.json('client', 'create', 'bot')['id']

    def lose_a_request() -> None:
        models.Account.update(requests=models.Account.requests + 1).where(models.Account.id == client_id).execute()

    new_database(database_url).write_now(lose_a_request)
    result = lumen('check')
    assert result.exit_code == 1
    assert f'account {client_id}: requests 1 counted on the account, 0 in its requests' in result.stdout.splitlines()
    result = lumen('check', '--json')
    assert result.exit_code == 1
    assert '"clean": false' in result.stdout


def test_migrating_again_does_nothing(lumen: Lumen):
    assert lumen.json('migrate') == {'applied': []}
    assert 'up to date' in lumen('migrate').stdout


def test_an_empty_database_is_migrated_and_not_checked_before(
    write_configuration: Callable[[str], Path], tmp_path: Path
):
    write_configuration(f'{CONFIGURATION}\napp: {{database: {{url: "sqlite:///{tmp_path}/new.db"}}}}\n')
    lumen = Lumen()
    assert 'does not exist' in lumen.refusal('check', exit_code=2)['message']
    assert not (tmp_path / 'new.db').exists()
    (tmp_path / 'new.db').touch()
    assert lumen.refusal('check', exit_code=2)['code'] == 'migrations_pending'
    assert lumen.json('migrate')['applied'][0] == '0001_first_schema'
    assert lumen.json('check')['clean']


def test_a_bad_configuration_is_told_with_every_fault(write_configuration: Callable[[str], Path]):
    write_configuration(CONFIGURATION.replace('refresh: 0', 'refresh: -1').replace('admins:', 'admin:'))
    result = Lumen()('client', 'list')
    assert result.exit_code == 2
    assert 'clients.default.refresh: must be 0 or more, got -1' in result.stderr
    assert 'admins' in result.stderr
    assert 'Traceback' not in result.stderr


def test_a_database_that_cannot_be_reached_is_told_in_one_line(write_configuration: Callable[[str], Path]):
    write_configuration(
        f'{CONFIGURATION}\napp: {{database: {{url: "postgresql://lumen:hunter2@127.0.0.1:1/lumen"}}}}\n'
    )
    result = Lumen()('client', 'list')
    assert result.exit_code == 2
    assert result.stderr.startswith('the database cannot be used: ')
    assert len(result.stderr.splitlines()) == 1
    assert 'hunter2' not in result.stderr
