import ast
from pathlib import Path

import pytest

import models
from lumen.database import Database
from lumen.errors import Forbidden, NotFound
from lumen.identity import keys, people
from lumen.identity.permissions import COMMAND_LINE
from lumen.identity.rotation import rotate_key
from lumen.records import clients, history, managers
from tests.conftest import Clock
from tests.lumen import factories

CONFIGURED = factories.settings()
SECRET = factories.SECRET


def sentences(database: Database, client_id: int) -> list[str]:
    """Oldest first."""
    events = database.read_now(history.history_of, COMMAND_LINE, client_id, settings=CONFIGURED)
    return [event.sentence for event in reversed(events)]


def test_the_life_of_a_client_reads_as_sentences(database: Database, clock: Clock):
    def live() -> tuple[int, list[keys.NewKey]]:
        client_id = factories.client('bot', CONFIGURED, 'max@example.org', 'amy@example.org')
        amy = factories.user('amy@example.org', CONFIGURED).account_id
        assert amy is not None
        made = [keys.create_key(COMMAND_LINE, client_id, 'ci', None, settings=CONFIGURED, secret=SECRET)]
        rotation = {'expires_at': None, 'settings': CONFIGURED, 'secret': SECRET}
        made.append(rotate_key(COMMAND_LINE, made[0].id, works_until=clock() + 1000, **rotation))
        made.append(rotate_key(COMMAND_LINE, made[1].id, works_until=None, **rotation))
        keys.revoke_key(COMMAND_LINE, made[2].id, settings=CONFIGURED)
        managers.hand_over(COMMAND_LINE, client_id, amy, settings=CONFIGURED)
        managers.remove_manager(COMMAND_LINE, client_id, amy, settings=CONFIGURED)
        max_ = factories.user('max@example.org', CONFIGURED)
        managers.leave(max_, client_id, settings=CONFIGURED)
        clients.rename_client(COMMAND_LINE, client_id, 'robot', settings=CONFIGURED)
        clients.set_active(COMMAND_LINE, client_id, False, settings=CONFIGURED)
        clients.set_active(COMMAND_LINE, client_id, True, settings=CONFIGURED)
        return client_id, made

    client_id, made = database.write_now(live)
    hints = [new.hint for new in made]
    assert sentences(database, client_id) == [
        'created the client',
        'made max@example.org the owner',
        'made amy@example.org a manager',
        f'made the key "ci" ({hints[0]})',
        f'rotated the key "ci": {hints[1]} is new, {hints[0]} works on',
        f'rotated the key "ci": {hints[2]} is new, {hints[1]} stopped working',
        f'revoked the key "ci" ({hints[2]})',
        'made amy@example.org the owner',
        'removed amy@example.org from its managers',
        'left its managers',
        'renamed it from "bot" to "robot"',
        'deactivated the client',
        'activated the client',
    ]


def test_a_rotation_says_until_when_the_old_key_works(database: Database, clock: Clock):
    def rotate(expires_at: int | None, works_until: int | None) -> int | None:
        client_id = factories.client(f'bot {expires_at} {works_until}', CONFIGURED)
        old = keys.create_key(COMMAND_LINE, client_id, 'ci', expires_at, settings=CONFIGURED, secret=SECRET)
        rotate_key(COMMAND_LINE, old.id, expires_at=None, works_until=works_until, settings=CONFIGURED, secret=SECRET)
        ended = models.ApiKey.get_by_id(old.id)
        event = history.history_of(COMMAND_LINE, client_id, settings=CONFIGURED)[0]
        assert event.until == (None if ended.revoked_at else ended.expires_at)
        return event.until

    assert database.write_now(rotate, None, clock() + 1000) == clock() + 1000
    assert database.write_now(rotate, clock() + 500, clock() + 1000) == clock() + 500
    assert database.write_now(rotate, clock() + 5000, clock() + 1000) == clock() + 1000
    assert database.write_now(rotate, clock() + 5000, None) is None


def test_a_first_sign_in_and_a_new_name_read_as_sentences(database: Database):
    database.write_now(factories.client, 'bot', CONFIGURED, 'max@example.org')
    for email in ('max@example.org', factories.ADMIN):
        database.write_now(people.sign_in_dev, email, CONFIGURED)
    events = database.read_now(history.audit_events, COMMAND_LINE, settings=CONFIGURED)
    assert [event.sentence for event in reversed(events) if event.action.startswith('user.')] == [
        'made the user max@example.org',
        'renamed the user max@example.org from "max" to "Max"',
        'signed in for the first time',
    ]


def test_every_action_that_is_audited_has_a_sentence():
    audited = set()
    for path in (Path(__file__).parents[3] / 'lumen').rglob('*.py'):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == 'audit.record':
                audited.update(part.value for part in ast.walk(node.args[1]) if isinstance(part, ast.Constant))
    assert 'client.created' in audited
    assert history.SENTENCES.keys() == audited | {'demo.made'}  # written with the rows of a demo, all at once


def test_a_history_is_for_those_who_see_the_client(database: Database):
    client_id = database.write_now(factories.client, 'bot', CONFIGURED, 'max@example.org')
    manager = database.write_now(factories.user, 'max@example.org', CONFIGURED)
    stranger = database.write_now(factories.user, 'amy@example.org', CONFIGURED)
    assert len(database.read_now(history.history_of, manager, client_id, settings=CONFIGURED)) == 2
    with pytest.raises(NotFound):
        database.read_now(history.history_of, stranger, client_id, settings=CONFIGURED)
    with pytest.raises(Forbidden):
        database.read_now(history.audit_events, manager, settings=CONFIGURED)


def test_the_audit_is_asked_by_client_by_actor_and_by_time(database: Database, clock: Clock):
    first = database.write_now(factories.client, 'first', CONFIGURED, 'max@example.org')
    manager = database.write_now(factories.user, 'max@example.org', CONFIGURED)
    clock.advance(hours=1)
    database.write_now(clients.set_active, manager, first, False, settings=CONFIGURED)
    database.write_now(factories.client, 'second', CONFIGURED)

    def asked(**more: object) -> list[tuple[str, str | None]]:
        events = database.read_now(history.audit_events, COMMAND_LINE, settings=CONFIGURED, **more)
        return [(event.action, event.client) for event in events]

    assert asked(limit=2) == [('client.created', 'second'), ('client.deactivated', 'first')]
    assert asked(by='max@example.org') == [('client.deactivated', 'first')]
    assert asked(since=clock()) == asked(limit=2)
    assert [action for action, _ in asked(client_id=first)] == [
        'client.deactivated',
        'manager.added',
        'client.created',
    ]
    assert ('user.created', None) in asked()


def test_events_cannot_be_changed_or_removed(database: Database):
    database.write_now(factories.client, 'bot', CONFIGURED)
    for change in (models.AuditEvent.update(actor='nobody'), models.AuditEvent.delete()):
        with pytest.raises(Exception, match='append-only'):
            database.write_now(change.execute)
    assert len(database.read_now(factories.audited)) == 1


COLUMNS = 'id, at, actor, via, action, account_id, subject, before, after'
REPLACED = "select id, at, 'nobody', via, action, account_id, subject, before, after from audit_event where id > 0"
REPLACING = {
    'replace': f'replace into audit_event ({COLUMNS}) {REPLACED}',
    'insert or replace': f'insert or replace into audit_event ({COLUMNS}) {REPLACED}',
    'upsert': f'insert into audit_event ({COLUMNS}) {REPLACED} on conflict (id) do update set actor = excluded.actor',
}


@pytest.mark.parametrize('statement', REPLACING)
def test_events_cannot_be_replaced(database: Database, statement: str):
    if statement != 'upsert' and not database.is_sqlite:
        statement = 'upsert'  # PostgreSQL has nothing else
    database.write_now(factories.client, 'bot', CONFIGURED)
    before = database.read_now(lambda: list(models.AuditEvent.select().dicts()))
    with pytest.raises(Exception, match='append-only'):
        database.write_now(lambda: database.engine.execute_sql(REPLACING[statement]))
    assert database.read_now(lambda: list(models.AuditEvent.select().dicts())) == before
    # The next event is added as always, with a number of its own.
    database.write_now(factories.client, 'other', CONFIGURED)
    assert len(database.read_now(factories.audited)) == 2
