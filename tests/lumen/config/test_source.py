import asyncio
import os
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from lumen.config.source import Configuration
from lumen.errors import ConfigurationError

GOOD = 'version: 2\napp: {{name: {name}}}\nadmins: [a@x.org]\nlogin: {{dev_users: [{{email: a@x.org, name: A}}]}}\n'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / 'config.yaml'
    path.write_text(GOOD.format(name='First'))
    return path


def load(path: Path, **environment: str) -> Configuration:
    return Configuration.load(path, environment)


def look(configuration: Configuration) -> bool:
    """Look twice, as a change has to be seen alike to be taken. Whether new settings came into force."""
    return configuration.reload_if_changed() or configuration.reload_if_changed()


def test_a_change_is_noticed_and_takes_effect(path: Path):
    configuration = load(path)
    assert not look(configuration)
    path.write_text(GOOD.format(name='Second'))
    assert look(configuration)
    assert not look(configuration)
    assert configuration.current.app.name == 'Second'


def test_a_bad_file_leaves_the_last_good_one_in_force_and_says_so(path: Path):
    configuration = load(path)
    path.write_text('version: 2\napp: {nam: Broken}\n')
    assert not look(configuration)
    assert configuration.current.app.name == 'First'
    assert configuration.faults == ('config.yaml:2: app.nam: is not a key of this section (did you mean "name"?)',)
    path.unlink()
    assert not look(configuration)
    assert 'cannot be read' in configuration.faults[0]
    path.write_text(GOOD.format(name='Mended'))
    assert look(configuration)
    assert (configuration.faults, configuration.current.app.name) == ((), 'Mended')


def test_a_bad_file_stops_the_start(path: Path):
    path.write_text('app: {nam: Broken}\n')
    with pytest.raises(ConfigurationError):
        load(path)


async def test_watching_takes_less_than_five_seconds_also_after_a_fault(path: Path, monkeypatch: pytest.MonkeyPatch):
    configuration = load(path)
    faults = [MemoryError()]
    reload = configuration.reload_if_changed

    def fail_once() -> bool:
        if faults:
            raise faults.pop()
        return reload()

    monkeypatch.setattr(configuration, 'reload_if_changed', fail_once)
    watching = asyncio.create_task(configuration.watch())
    await asyncio.to_thread(path.write_text, GOOD.format(name='Second'))
    async with asyncio.timeout(5):
        while configuration.current.app.name != 'Second':  # noqa: ASYNC110 - the watch tells nobody
            await asyncio.sleep(0.02)
    watching.cancel()


def test_what_needs_a_restart_keeps_its_value_and_says_so(path: Path):
    configuration = load(path)
    before = configuration.current.app.database
    path.write_text(GOOD.format(name='x') + 'defaults: {}\n')
    path.write_text(path.read_text().replace('{name: x}', '{name: x, database: {url: "sqlite:///other.db"}}'))
    assert look(configuration)
    assert configuration.current.app.database == before
    assert any('app.database changed' in warning for warning in configuration.warnings)


def test_a_secret_that_is_configured_while_running_waits_for_the_next_start(path: Path):
    configuration = load(path)
    path.write_text(GOOD.format(name='x, encryption_key: ' + 'e' * 40))
    assert look(configuration)
    assert configuration.current.app.encryption_key is None
    assert any('app.encryption_key changed' in warning for warning in configuration.warnings)


@pytest.mark.parametrize('text', ['', '\n', '# nothing but a remark\n', '---\n', '{}\n', '---\n...\n', 'null\n', '~'])
def test_a_file_that_says_nothing_changes_nothing_and_starts_nothing(path: Path, text: str):
    configuration = load(path)
    path.write_text(text)
    assert not look(configuration)
    assert configuration.current.app.name == 'First'
    (fault,) = configuration.faults
    assert 'is empty' in fault or 'must be a mapping' in fault
    with pytest.raises(ConfigurationError):
        load(path)


def test_a_file_that_is_still_being_written_is_waited_for(path: Path):
    whole = GOOD.format(name='Second') + 'clients: {default: {max: 100}}\n'
    configuration = load(path)
    for end in (40, 60, 80):
        path.write_text(whole[:end])
        assert not configuration.reload_if_changed()
        assert (configuration.current.app.name, configuration.faults) == ('First', ())
    path.write_text(whole)
    assert not configuration.reload_if_changed()
    assert configuration.reload_if_changed()
    assert 'default' in configuration.current.clients


def test_a_file_that_is_away_for_a_moment_is_no_fault(path: Path):
    configuration = load(path)
    path.rename(path.with_name('away'))
    assert not configuration.reload_if_changed()
    path.with_name('away').rename(path)
    assert not look(configuration)
    assert configuration.faults == ()


def test_a_change_that_leaves_the_time_as_it_was_is_noticed(path: Path):
    configuration = load(path)
    before = path.stat()
    other = path.with_name('other')
    other.write_text(GOOD.format(name='Other'))
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert other.stat().st_size == before.st_size
    other.replace(path)
    assert look(configuration)
    assert configuration.current.app.name == 'Other'


def test_a_file_may_lack_its_version_at_start_but_not_lose_it(path: Path):
    without = GOOD.format(name='Second').removeprefix('version: 2\n')
    configuration = load(path)
    path.write_text(without)
    assert not look(configuration)
    assert configuration.faults == ('config.yaml:1: version: is missing: write `version: 2` as its first line',)
    older = load(path)
    assert any('version: is missing' in warning for warning in older.warnings)
    path.write_text(without.replace('Second', 'Third'))
    assert look(older)
    assert older.current.app.name == 'Third'


def test_the_faults_of_a_changed_file_are_all_in_the_log(path: Path):
    configuration = load(path)
    path.write_text('version: 2\napp: {nam: x, theme: pink}\nadmins: [bob]\n')
    with capture_logs() as said:
        assert not look(configuration)
    assert len(configuration.faults) == 3
    assert [line['fault'] for line in said if 'fault' in line] == list(configuration.faults)


def test_a_question_of_one_among_many_is_answered_by_a_map_made_beforehand(path: Path):
    names = '\n'.join(f'  client-{number}: {{max: 1}}' for number in range(300))
    path.write_text(GOOD.format(name='First') + f'clients:\n{names}\nusers: {{b@x.org: {{max: 1}}}}\n')
    configuration = load(path)
    path.write_text(path.read_text().replace('First', 'Second'))
    before = configuration.current
    assert look(configuration)
    for settings in (before, configuration.current):
        maps = {name for name in vars(settings) if name.startswith('_')}
        assert maps == {'_admins', '_models', '_clients', '_default', '_users', '_pools'}
        assert settings.pool('client', 'client-299').max == settings.pool('user', 'b@x.org').max == 10**9
        assert {name for name in vars(settings) if name.startswith('_')} == maps
