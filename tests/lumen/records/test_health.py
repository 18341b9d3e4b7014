import pytest

from lumen.config.places import place_of
from lumen.config.settings import Model
from lumen.database import Database
from lumen.records import health
from lumen.records.health import Health
from tests.conftest import Clock
from tests.lumen import factories

ONE, TWO = 'http://one.example.org/v1', 'http://two.example.org/v1'


def model(*urls: str, **more: str) -> Model:
    values = {
        'name': 'm',
        'input_cost_per_million': '0',
        'output_cost_per_million': '0',
        'endpoints': [{'url': url} for url in urls],
    }
    found = factories.settings(models=[values | more]).model('m')
    assert found is not None
    return found


def test_a_model_is_as_well_as_its_endpoints(database: Database, clock: Clock):
    both = model(ONE, TWO)

    def state() -> Health:
        return health.of_model(both, database.read_now(health.seen))

    assert state() == Health('unknown')
    database.write_now(health.note, 'm', ONE, True, '')
    assert state() == Health('ok', clock())
    clock.advance(seconds=10)
    database.write_now(health.note, 'm', TWO, False, 'timeout 504')
    assert state() == Health('degraded', clock())
    clock.advance(seconds=10)
    database.write_now(health.note, 'm', ONE, False, 'upstream_error 502')
    assert state() == Health('down', clock())
    clock.advance(seconds=10)
    for place in (ONE, TWO):
        database.write_now(health.note, 'm', place, True, '')
    assert state() == Health('ok', clock())


def test_what_is_said_again_does_not_move_the_time(database: Database, clock: Clock):
    database.write_now(health.note, 'm', ONE, False, 'timeout 504')
    began = clock()
    clock.advance(hours=1)
    database.write_now(health.note, 'm', ONE, False, 'timeout 504')
    assert health.of_model(model(ONE), database.read_now(health.seen)) == Health('down', began)


def test_only_the_endpoints_that_are_configured_count(database: Database):
    database.write_now(health.note, 'm', TWO, False, 'timeout 504')
    database.write_now(health.note, 'other', ONE, False, 'timeout 504')
    assert health.of_model(model(ONE), database.read_now(health.seen)) == Health('unknown')
    assert health.of_model(model(ONE, disabled='true'), database.read_now(health.seen)) == Health('disabled')


@pytest.mark.parametrize(
    ('url', 'place'),
    [
        ('http://user:secret@host:8000/v1?key=secret#secret', 'http://host:8000/v1'),
        ('https://host/v1', 'https://host/v1'),
        ('builtin:echo', 'builtin:echo'),
    ],
)
def test_a_place_holds_nothing_secret(url: str, place: str):
    assert place_of(url) == place
