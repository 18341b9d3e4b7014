import pytest

import models
from lumen.config.settings import Settings
from lumen.database import Database
from lumen.errors import Conflict, NotFound
from lumen.identity.permissions import COMMAND_LINE, Actor
from lumen.records import acknowledgements
from lumen.records.acknowledgements import digest_of
from tests.conftest import Clock
from tests.lumen import factories

MESSAGE = 'Data leaves the house.'


def configured(message: str = MESSAGE, **model: str) -> Settings:
    free = {'input_cost_per_million': '0', 'output_cost_per_million': '0', 'endpoints': [{'url': 'builtin:echo'}]}
    careful = {'name': 'careful', 'access': 'allowed', 'needs_ack': 'true', 'ack_message': message}
    return factories.settings(models=[careful | free | model, {'name': 'plain', 'access': 'allowed'} | free])


def accept(
    database: Database,
    client_id: int,
    *,
    actor: Actor = COMMAND_LINE,
    model: str = 'careful',
    text: str = MESSAGE,
    settings: Settings | None = None,
) -> None:
    database.write_now(
        acknowledgements.acknowledge, actor, client_id, model, digest_of(text), settings=settings or configured()
    )


def test_who_accepted_which_text_and_when_is_kept(database: Database, clock: Clock):
    client_id = database.write_now(factories.client, 'bot', configured(), 'max@example.org')
    manager = database.write_now(factories.user, 'max@example.org', configured())
    accept(database, client_id, actor=manager)
    accepted = database.read_now(acknowledgements.accepted, client_id)
    assert accepted == {('careful', digest_of(MESSAGE)): acknowledgements.Acceptance(clock(), 'max@example.org')}
    assert database.read_now(factories.audited)[-1] == ('max@example.org', 'model.acknowledged', 'careful')


def test_accepting_again_changes_nothing(database: Database, clock: Clock):
    client_id = database.write_now(factories.client, 'bot', configured())
    accept(database, client_id)
    before = (database.read_now(acknowledgements.accepted, client_id), database.read_now(factories.audited))
    clock.advance(hours=1)
    accept(database, client_id)
    assert (database.read_now(acknowledgements.accepted, client_id), database.read_now(factories.audited)) == before


def test_a_text_that_changed_meanwhile_must_be_read_first(database: Database):
    client_id = database.write_now(factories.client, 'bot', configured())
    newer = configured('Data leaves the country.')
    with pytest.raises(Conflict, match='has changed') as refused:
        accept(database, client_id, settings=newer)
    assert refused.value.code == 'message_changed'
    assert database.read_now(lambda: models.Acknowledgement.select().count()) == 0
    accept(database, client_id, text='Data leaves the country.', settings=newer)


def test_only_a_model_that_asks_and_is_allowed_can_be_acknowledged(database: Database):
    client_id = database.write_now(factories.client, 'bot', configured())
    for name in ('plain', 'unknown', 'x' * 5000):
        with pytest.raises(NotFound, match='to acknowledge'):
            accept(database, client_id, model=name)
    with pytest.raises(Conflict, match='blocked'):
        accept(database, client_id, settings=configured(access='blocked'))


def test_the_message_for_all_models_stands_in_for_a_missing_one():
    settings = configured('')
    model = settings.model('careful')
    assert model is not None
    shared = settings.model_copy(
        update={
            'defaults': settings.defaults.model_copy(
                update={'models': settings.defaults.models.model_copy(update={'ack_message': 'Read the policy.'})}
            )
        }
    )
    assert acknowledgements.message_of(shared, model) == 'Read the policy.'


def test_nobody_accepts_for_a_client_of_others(database: Database):
    client_id = database.write_now(factories.client, 'bot', configured(), 'max@example.org')
    stranger = database.write_now(factories.user, 'amy@example.org', configured())
    with pytest.raises(NotFound):
        accept(database, client_id, actor=stranger)
