"""The two secrets: strong ones pass, whatever chance made of them; short, published and patterned ones do not."""

import base64
import stat
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from lumen.config import secrets
from lumen.config.settings import Settings
from lumen.config.source import Configuration
from lumen.errors import ConfigurationError

STRONG = ('Zt7-qLwN3sB6yH1cF5dJ0gUx9vQ2mKr4', 'p8E_aD2kVb5nXh0RjS7tYc3WfGu6iOzM')
HOSTS = ('0.0.0.0', '::', '192.168.1.1', 'lumen.example.org')  # noqa: S104 - to be refused
GUESSABLE = [
    'change-me-change-me-change-me-change-me',
    'CHANGEME_0f8a7c6b5d4e3f2a1b0c9d8e7f6a',
    'this-is-an-example-of-a-key-0123456789',
    'my-super-secret-key-that-is-very-long',
    'dev-key-not-for-production-use-abcdefgh',
    'abcdefghijklmnopqrstuvwxyzabcdefghij',
    'kX9vQ2mZ7rT4pL8wN3sB6yH1cF5dJ0gU',
    '0123456789abcdef0123456789abcdef',
    '12345678901234567890123456789012',
    'zyxwvutsrqponmlkjihgfedcba9876543210',
    'kX9vQ2mZ7rT4pL8wkX9vQ2mZ7rT4pL8w',
    'lumen-lumen-lumen-lumen-lumen-lumen',
    'your-random-32-byte-key-goes-in-here',
    'a' * 40,
    'xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx',
]


def load(path: Path, **environment: str) -> Settings:
    path.write_text('version: 2\n')
    address = {'DATABASE_URL': f'sqlite:///{path.parent}/data/lumen.db'}
    return Configuration.load(path, address | environment).current


def settings(secret_key: str, encryption_key: str) -> Settings:
    return Settings.model_validate({'app': {'secret_key': secret_key, 'encryption_key': encryption_key}})


def test_secrets_left_out_are_made_once_for_the_owner_only(tmp_path: Path):
    path = tmp_path / 'config.yaml'
    first = secrets.encryption_key(load(path))
    kept = tmp_path / 'data' / 'encryption_key'
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert stat.S_IMODE(kept.parent.stat().st_mode) == 0o700
    assert len(first) >= 32
    assert secrets.encryption_key(load(path)) == first
    assert secrets.secret_key(load(path)) != first


def test_no_secret_is_made_before_it_is_used(tmp_path: Path):
    configured = load(tmp_path / 'config.yaml')
    secrets.require_safe(configured, HOSTS[0])
    assert not (tmp_path / 'data').exists()
    secrets.make_missing(configured)
    assert sorted(path.name for path in (tmp_path / 'data').iterdir()) == ['encryption_key', 'secret_key']


@pytest.mark.parametrize(
    ('address', 'folder'),
    [
        ('sqlite:///data/lumen.db', 'data'),
        ('sqlite:///lumen.db', ''),
        ('sqlite:///{elsewhere}/deep/lumen.db', '{elsewhere}/deep'),
        ('postgresql://db.example.org/lumen', 'data'),
    ],
)
def test_secrets_are_kept_beside_the_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str, folder: str
):
    here, elsewhere = tmp_path / 'here', tmp_path / 'elsewhere'
    here.mkdir()
    monkeypatch.chdir(here)
    configured = load(tmp_path / 'config.yaml', DATABASE_URL=address.format(elsewhere=elsewhere))
    made = secrets.encryption_key(configured)
    kept = here / folder.format(elsewhere=elsewhere) / 'encryption_key'
    assert kept.read_bytes() == made


def test_secrets_that_are_made_are_said_but_not_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    made = secrets.encryption_key(load(tmp_path / 'config.yaml'))
    said = capsys.readouterr().out
    assert 'encryption_key' in said
    assert made.decode() not in said


def test_given_secrets_are_used_and_none_is_written(tmp_path: Path):
    given = load(tmp_path / 'config.yaml', LUMEN_SECRET_KEY='s' * 40, LUMEN_ENCRYPTION_KEY='e' * 40)
    secrets.make_missing(given)
    assert secrets.encryption_key(given) == b'e' * 40
    assert not (tmp_path / 'data').exists()


@pytest.mark.parametrize(
    ('kept', 'said'),
    [
        (b'\xff\xfe', 'is not a secret'),
        (b'', 'is empty; delete it to have one made, or put the secret back'),
        (b' \n', 'is empty; delete it to have one made, or put the secret back'),
    ],
)
def test_a_kept_file_without_a_secret_is_refused(tmp_path: Path, kept: bytes, said: str):
    (tmp_path / 'data').mkdir()
    (tmp_path / 'data' / 'secret_key').write_bytes(kept)
    with pytest.raises(ConfigurationError, match=said):
        secrets.secret_key(load(tmp_path / 'config.yaml'))
    assert (tmp_path / 'data' / 'secret_key').read_bytes() == kept


def test_who_comes_second_uses_what_the_first_one_made_if_that_is_a_secret(tmp_path: Path):
    path = tmp_path / 'encryption_key'
    path.write_text('made by another')
    assert secrets._made('encryption_key', path) == 'made by another'
    path.write_text('')
    with pytest.raises(ConfigurationError, match='is empty'):
        secrets._made('encryption_key', path)
    assert list(tmp_path.iterdir()) == [path]


def test_a_kept_secret_is_held_to_the_same_as_a_given_one(tmp_path: Path):
    (tmp_path / 'data').mkdir()
    (tmp_path / 'data' / 'secret_key').write_text(GUESSABLE[0])
    with pytest.raises(ConfigurationError, match='looks like an example'):
        secrets.require_safe(load(tmp_path / 'config.yaml'), HOSTS[0])


@pytest.mark.parametrize('secret', ['short', *GUESSABLE])
def test_short_and_guessable_secrets_are_refused_where_others_can_reach_them(secret: str):
    for given in (settings(secret, STRONG[0]), settings(STRONG[0], secret)):
        secrets.require_safe(given, '127.0.0.1')
        secrets.require_safe(given, 'localhost')
        for host in HOSTS:
            with pytest.raises(ConfigurationError) as refused:
                secrets.require_safe(given, host)
            assert secret not in refused.value.message


def test_one_secret_for_both_purposes_is_refused_where_others_can_reach_it():
    secrets.require_safe(settings(*STRONG), HOSTS[0])
    secrets.require_safe(settings(STRONG[0], STRONG[0]), '127.0.0.1')
    with pytest.raises(ConfigurationError, match='must not be the same'):
        secrets.require_safe(settings(STRONG[0], STRONG[0]), HOSTS[0])


@pytest.mark.parametrize(
    'make',
    [
        lambda chance: base64.urlsafe_b64encode(chance.randbytes(32)).decode().rstrip('='),
        lambda chance: base64.urlsafe_b64encode(chance.randbytes(48)).decode(),
        lambda chance: chance.randbytes(16).hex(),
        lambda chance: chance.randbytes(32).hex(),
        lambda chance: base64.b64encode(chance.randbytes(48)).decode(),
    ],
    ids=['urlsafe-32', 'urlsafe-48', 'hex-16', 'hex-32', 'base64-48'],
)
def test_of_ten_thousand_random_secrets_none_is_called_an_example(make: Callable[[Random], str]):
    chance = Random(20_260)  # always the same ones: among all there are, one in millions has a word in it
    assert [secret for secret in (make(chance) for _ in range(10_000)) if secrets.is_guessable(secret)] == []
