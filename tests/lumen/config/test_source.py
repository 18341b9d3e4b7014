import asyncio
import stat
from pathlib import Path

import pytest

from lumen.config import secrets
from lumen.config.settings import Settings
from lumen.config.source import Configuration
from lumen.errors import ConfigurationError

GOOD = 'app: {{name: {name}}}\nadmins: [a@x.org]\nlogin: {{dev_users: [{{email: a@x.org, name: A}}]}}\n'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / 'config.yaml'
    path.write_text(GOOD.format(name='First'))
    return path


def load(path: Path, **environment: str) -> Configuration:
    return Configuration.load(path, environment, path.parent / 'data')


def test_a_change_is_noticed_and_takes_effect(path: Path):
    configuration = load(path)
    assert not configuration.reload_if_changed()
    path.write_text(GOOD.format(name='Second'))
    assert configuration.reload_if_changed()
    assert configuration.current.app.name == 'Second'


def test_a_bad_file_leaves_the_last_good_one_in_force_and_says_so(path: Path):
    configuration = load(path)
    path.write_text('app: {nam: Broken}\n')
    assert not configuration.reload_if_changed()
    assert configuration.current.app.name == 'First'
    assert configuration.faults == ('config.yaml:1: app.nam: is not a key of this section (did you mean "name"?)',)
    path.unlink()
    configuration.reload_if_changed()
    assert 'cannot be read' in configuration.faults[0]
    path.write_text(GOOD.format(name='Mended'))
    assert configuration.reload_if_changed()
    assert (configuration.faults, configuration.current.app.name) == ((), 'Mended')


def test_a_bad_file_stops_the_start(path: Path):
    path.write_text('app: {nam: Broken}\n')
    with pytest.raises(ConfigurationError):
        load(path)


async def test_watching_takes_less_than_five_seconds(path: Path):
    configuration = load(path)
    watching = asyncio.create_task(configuration.watch())
    await asyncio.to_thread(path.write_text, GOOD.format(name='Second'))
    async with asyncio.timeout(5):
        while configuration.current.app.name != 'Second':  # noqa: ASYNC110 - the watch tells nobody
            await asyncio.sleep(0.02)
    watching.cancel()


def test_what_needs_a_restart_keeps_its_value_and_says_so(path: Path):
    configuration = load(path)
    before = configuration.current.app.database
    path.write_text(GOOD.format(name='x') + 'version: 2\n' + 'defaults: {}\n')
    path.write_text(path.read_text().replace('{name: x}', '{name: x, database: {url: "sqlite:///other.db"}}'))
    assert configuration.reload_if_changed()
    assert configuration.current.app.database == before
    assert any('app.database changed' in warning for warning in configuration.warnings)


def test_secrets_left_out_are_made_once_for_the_owner_only(path: Path):
    first = load(path).current
    kept = path.parent / 'data' / 'encryption_key'
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert len(secrets.encryption_key(first)) >= 32
    assert secrets.encryption_key(load(path).current) == secrets.encryption_key(first)
    assert secrets.secret_key(first) != secrets.encryption_key(first)


def test_secrets_that_are_made_are_said_but_not_told(path: Path, capsys: pytest.CaptureFixture[str]):
    settings = load(path).current
    said = capsys.readouterr().out
    assert 'encryption_key' in said
    assert secrets.encryption_key(settings).decode() not in said


def test_given_secrets_are_used_and_none_is_written(path: Path):
    configuration = load(path, LUMEN_SECRET_KEY='s' * 40, LUMEN_ENCRYPTION_KEY='e' * 40)
    assert secrets.encryption_key(configuration.current) == b'e' * 40
    assert not (path.parent / 'data').exists()


@pytest.mark.parametrize('secret', ['short', 'change-me-change-me-change-me-change-me', 'a' * 40])
def test_short_and_published_secrets_are_refused_where_others_can_reach_them(secret: str):
    strong = 'kX9vQ2mZ7rT4pL8wN3sB6yH1cF5dJ0gU'
    for one, other in ((secret, strong), (strong, secret)):
        settings = Settings.model_validate({'app': {'secret_key': one, 'encryption_key': other}})
        secrets.require_safe(settings, '127.0.0.1')
        secrets.require_safe(settings, 'localhost')
        for host in ('0.0.0.0', '::', '192.168.1.1', 'lumen.example.org'):  # noqa: S104 - to be refused
            with pytest.raises(ConfigurationError) as refused:
                secrets.require_safe(settings, host)
            assert secret not in refused.value.message
    good = Settings.model_validate({'app': {'secret_key': strong, 'encryption_key': strong}})
    secrets.require_safe(good, '0.0.0.0')  # noqa: S104 - a strong secret may be reached by all
