from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from lumen.cli.times import expiry, grace_end, iso
from lumen.errors import Invalid
from lumen.identity.keys import LAST_EXPIRY, looks_valid
from tests.lumen.cli.conftest import CONFIGURATION, Lumen

MOMENT = 1_800_000_000_000_000


def test_a_key_is_shown_once_it_is_made(lumen: Lumen):
    lumen.json('client', 'create', 'bot')
    made = lumen.json('key', 'create', 'BOT', '--name', 'laptop', '--expires', '30d')
    assert list(made) == ['id', 'key', 'hint']
    assert looks_valid(made['key'])
    assert made['hint'].endswith(made['key'][-4:])
    shown = lumen('key', 'create', 'bot').stdout.splitlines()
    assert looks_valid(shown[0])


def test_a_key_is_revoked_and_stays_revoked(lumen: Lumen):
    lumen.json('client', 'create', 'bot')
    made = lumen.json('key', 'create', 'bot')
    revoked = {'id': made['id'], 'hint': made['hint'], 'state': 'revoked'}
    assert lumen.json('key', 'revoke', str(made['id'])) == revoked
    assert lumen.json('key', 'revoke', str(made['id'])) == revoked


def test_keys_that_cannot_be_are_refused(lumen: Lumen):
    lumen.json('client', 'create', 'bot')
    assert lumen.refusal('key', 'create', 'nobody')['code'] == 'client_not_found'
    assert lumen.refusal('key', 'create', 'bot', '--name', '')['param'] == 'name'
    assert lumen.refusal('key', 'create', 'bot', '--expires', '2001-01-01')['param'] == 'expires_at'
    assert lumen.refusal('key', 'create', 'bot', '--expires', 'soon', exit_code=2)['param'] == 'expires'
    assert lumen.refusal('key', 'revoke', '12345')['code'] == 'key_not_found'
    assert lumen('key', 'revoke', 'x').exit_code == 2
    lumen.json('client', 'deactivate', 'bot')
    assert 'deactivated' in lumen.refusal('key', 'create', 'bot')['message']


@pytest.mark.parametrize(
    ('text', 'moment'),
    [
        ('2030-12-31', datetime(2031, 1, 1, tzinfo=UTC)),
        ('2030-12-31T12:00+02:00', datetime(2030, 12, 31, 10, tzinfo=UTC)),
        ('2030-12-31T12:00', datetime(2030, 12, 31, 12, tzinfo=UTC)),
        ('2030-12-31T12:00:00.000001Z', datetime(2030, 12, 31, 12, 0, 0, 1, tzinfo=UTC)),
    ],
)
def test_a_date_is_the_last_day_and_a_time_is_exact(text: str, moment: datetime):
    whole_seconds = int(moment.replace(microsecond=0).timestamp())
    assert expiry(text, MOMENT) == whole_seconds * 1_000_000 + moment.microsecond


def test_a_key_can_work_until_the_end_of_9999_and_not_longer(lumen: Lumen):
    lumen.json('client', 'create', 'bot')
    for expires in ('9999-12-31', '9999-12-31T23:59:59.999999Z', '99999d'):
        lumen.json('key', 'create', 'bot', '--expires', expires)
    assert expiry('9999-12-31', MOMENT) == expiry('9999-12-31T23:59:59.999999Z', MOMENT) == LAST_EXPIRY
    refusal = lumen.refusal('key', 'create', 'bot', '--expires', '9999-12-31T23:59:59.999999-00:01')
    assert refusal['param'] == 'expires_at'
    assert '9999-12-31' in refusal['message']


def test_days_count_from_now():
    assert expiry('90d', MOMENT) == MOMENT + 90 * 86_400_000_000
    assert expiry('never', MOMENT) is None


@pytest.mark.parametrize('text', ['', '0d', '-1d', '30', '30 days', '2030-13-01', '10000-01-01', '1d1d', '١d'])
def test_anything_else_is_refused(text: str):
    with pytest.raises(Invalid, match='is no expiry') as refused:
        expiry(text, MOMENT)
    assert refused.value.param == 'expires'


def test_a_key_is_rotated_and_the_old_one_works_on_for_a_while(lumen: Lumen):
    lumen.json('client', 'create', 'bot')
    old = lumen.json('key', 'create', 'bot', '--name', 'laptop')
    new = lumen.json('key', 'rotate', str(old['id']), '--grace', '12h', '--expires', '90d')
    assert list(new) == ['id', 'key', 'hint', 'expires_at']
    assert new['id'] != old['id']
    assert looks_valid(new['key'])
    event = lumen.json('audit')[-1]
    assert (event['action'], event['subject'], event['after']['hint']) == ('key.rotated', old['hint'], new['hint'])
    until = iso(event['after']['works_until'])
    assert f'{old["hint"]} works on until {until} [bot]' in lumen('audit').stdout.splitlines()[-1]
    assert lumen.refusal('key', 'rotate', str(new['id']), '--grace', '31d')['param'] == 'works_until'
    assert lumen.refusal('key', 'rotate', str(new['id']), '--grace', 'soon', exit_code=2)['param'] == 'grace'
    lumen.json('key', 'rotate', str(new['id']), '--grace', 'none')
    assert 'is revoked' in lumen.refusal('key', 'rotate', str(new['id']))['message']
    assert lumen.refusal('key', 'rotate', '999')['code'] == 'key_not_found'


def test_a_rotated_key_expires_as_the_old_one_does_unless_said_otherwise(lumen: Lumen):
    lumen.json('client', 'create', 'bot')

    def made(expires: str) -> str:
        return str(lumen.json('key', 'create', 'bot', '--expires', expires)['id'])

    assert lumen.json('key', 'rotate', made('2090-12-31'))['expires_at'] == '2091-01-01T00:00:00+00:00'
    before = datetime.now(UTC)
    found = datetime.fromisoformat(lumen.json('key', 'rotate', made('45d'))['expires_at'])
    assert before <= found - timedelta(days=45) <= datetime.now(UTC)
    assert lumen.json('key', 'rotate', made('30d'), '--expires', 'never')['expires_at'] is None
    assert 'It never expires.' in lumen('key', 'rotate', made('never')).stdout
    assert 'It expires at 2091-01-01T00:00:00+00:00.' in lumen('key', 'rotate', made('2090-12-31')).stdout


def test_a_grace_time_is_a_length_of_time_or_none():
    assert grace_end('12h', MOMENT) == MOMENT + 12 * 3_600_000_000
    assert grace_end('7d', MOMENT) == MOMENT + 7 * 86_400_000_000
    assert grace_end('None', MOMENT) is None
    for text in ('', '0h', '-1d', 'never', '2030-01-01', '1.5h'):
        with pytest.raises(Invalid, match='is no grace time'):
            grace_end(text, MOMENT)


def test_only_commands_that_make_keys_need_the_secret(lumen: Lumen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    lumen.json('client', 'create', 'bot')
    first = lumen.json('key', 'create', 'bot')
    monkeypatch.setenv('LUMEN_ENCRYPTION_KEY', 'f' * 48)
    for arguments in (('create', 'bot'), ('rotate', str(first['id']))):
        refusal = lumen.refusal('key', *arguments, exit_code=2)
        assert refusal['code'] == 'configuration'
        assert refusal['message'] == (
            'app.encryption_key (from LUMEN_ENCRYPTION_KEY of the environment) is not the one that the keys in this '
            'database were made with; configure that one, or revoke the keys that are there with '
            f'`lumen key revoke`: {first["id"]}'
        )
    monkeypatch.delenv('LUMEN_ENCRYPTION_KEY')
    for arguments in (('client', 'list'), ('client', 'show', 'bot'), ('key', 'revoke', str(first['id'])), ('audit',)):
        lumen.json(*arguments)
    assert list(tmp_path.rglob('*encryption_key')) == []
    lumen.json('key', 'create', 'bot')
    assert len(list(tmp_path.rglob('*encryption_key'))) == 1


def test_a_key_made_in_another_folder_is_made_under_the_same_secret(
    write_configuration: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    write_configuration(CONFIGURATION)
    monkeypatch.setenv('DATABASE_URL', f'sqlite:///{tmp_path}/data/lumen.db')
    monkeypatch.delenv('LUMEN_ENCRYPTION_KEY')
    lumen = Lumen()
    lumen.json('client', 'create', 'bot')
    lumen.json('key', 'create', 'bot')
    kept = (tmp_path / 'data' / 'encryption_key').read_text()
    (tmp_path / 'elsewhere').mkdir()
    monkeypatch.chdir(tmp_path / 'elsewhere')
    lumen.json('key', 'create', 'bot')
    assert list((tmp_path / 'elsewhere').iterdir()) == []
    assert (tmp_path / 'data' / 'encryption_key').read_text() == kept
