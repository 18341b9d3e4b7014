"""What has an idempotency key runs once: its repeats are answered from what is kept, or told so."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from typing import Any

import httpx2
import psycopg
import pytest

import models
from lumen.config.settings import Settings
from lumen.database import Database, now
from lumen.errors import DatabaseUnavailable
from lumen.gateway import idempotency
from lumen.identity import keys
from lumen.identity.permissions import COMMAND_LINE
from lumen.records import repeats
from lumen.records.repeats import Repeat
from tests.lumen import factories
from tests.lumen.gateway.conftest import Running, Script, ScriptedServer, configured, wait_until
from tests.lumen.gateway.test_failures import STREAM
from tests.lumen.gateway.test_trying_again import PARTS, WHOLE

Run = Callable[[Settings], Running]
MARKER = 'quetzalcoatlus'
ANSWER = WHOLE.replace(b'fine', MARKER.encode())


def ask(running: Running, key: str = 'once', text: str = 'hello', *, api_key: str = '', **more: Any) -> httpx2.Response:
    headers = {'authorization': f'Bearer {api_key or running.key}', 'idempotency-key': key}
    body = {'model': 'm', 'messages': [{'role': 'user', 'content': text}], **more}
    return httpx2.post(f'{running.address}/v1/chat/completions', headers=headers, json=body, timeout=30)


def code(answer: httpx2.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()['error']['code']


def test_a_repeat_is_answered_from_what_is_kept_and_charged_once(run: Run, scripted: ScriptedServer):
    scripted.script = Script(parts=[ANSWER])
    running = run(configured(scripted.address))
    first, second = ask(running), ask(running)
    assert (second.status_code, second.content) == (200, first.content)
    assert second.headers['content-type'] == first.headers['content-type']
    assert second.headers['idempotent-replayed'] == 'true'
    assert second.headers['x-first-request-id'] == first.headers['x-request-id']
    assert 'idempotent-replayed' not in first.headers
    assert len(scripted.script.received) == len(running.requests()) == 1
    running.assert_settled()


def test_other_keys_run(run: Run, scripted: ScriptedServer):
    scripted.script = Script(parts=[ANSWER])
    running = run(configured(scripted.address))
    other = running.new_key().key
    for answer in (ask(running), ask(running, 'twice'), ask(running, api_key=other)):
        assert 'idempotent-replayed' not in answer.headers
    assert len(running.requests()) == 3


def test_a_key_that_was_used_for_something_else_is_refused(run: Run, scripted: ScriptedServer):
    scripted.script = Script(parts=[ANSWER])
    running = run(configured(scripted.address))
    ask(running)
    answer = ask(running, text='something else')
    assert code(answer) == (409, 'idempotency_key_reused')
    assert MARKER not in answer.text
    assert len(running.requests()) == 1


def test_while_the_first_runs_the_others_are_told_so_and_one_of_many_runs(run: Run, scripted: ScriptedServer):
    scripted.script = Script(parts=[ANSWER], waits_after=-1)
    running = run(configured(scripted.address))
    found: list[httpx2.Response] = []
    callers = [threading.Thread(target=lambda: found.append(ask(running))) for _ in range(8)]
    for caller in callers:
        caller.start()
    wait_until(lambda: len(found) == 7)
    assert {code(answer) for answer in found} == {(409, 'in_progress')}
    scripted.script.proceed.set()
    for caller in callers:
        caller.join()
    assert found[-1].status_code == 200
    assert len(scripted.script.received) == 1
    assert ask(running).headers['idempotent-replayed'] == 'true'
    running.assert_settled()


def test_an_answer_that_cannot_be_kept_is_given_all_the_same(
    run: Run, scripted: ScriptedServer, monkeypatch: pytest.MonkeyPatch
):
    def fail(*_: str | bytes) -> None:
        raise DatabaseUnavailable('the disk is full', 'make room')

    scripted.script = Script(parts=[ANSWER])
    running = run(configured(scripted.address))
    monkeypatch.setattr(repeats, 'keep', fail)
    assert ask(running).content == ANSWER
    wait_until(lambda: code(ask(running)) == (409, 'already_done'))
    running.assert_settled()


@pytest.mark.parametrize('stream', [True, False])
def test_what_is_not_kept_is_named_by_its_id(run: Run, scripted: ScriptedServer, stream: bool):
    """A stream, and an answer of more than a megabyte."""
    large = ANSWER.replace(MARKER.encode(), b'x' * idempotency.MOST_KEPT_BYTES)
    scripted.script = Script(headers=STREAM, parts=PARTS) if stream else Script(parts=[large])
    running = run(configured(scripted.address))
    first = ask(running, stream=stream)
    assert first.status_code == 200
    wait_until(lambda: code(ask(running, stream=stream)) == (409, 'already_done'))
    answer = ask(running, stream=stream)
    assert first.headers['x-request-id'] in answer.json()['error']['message']
    assert len(running.requests()) == 1


@pytest.mark.parametrize('status', [400, 500])
def test_what_came_to_nothing_may_be_asked_for_again(run: Run, scripted: ScriptedServer, status: int):
    scripted.script = Script(status=status, then=Script(parts=[ANSWER]))
    if status == 500:
        scripted.script = Script(status=501, then=Script(parts=[ANSWER]))
    running = run(configured(scripted.address))
    assert ask(running).status_code in (400, 502)
    wait_until(lambda: running.database.read_now(models.Repeat.select().count) == 0)
    assert ask(running).status_code == 200
    assert ask(running).headers['idempotent-replayed'] == 'true'


def test_what_the_pool_could_not_pay_may_be_asked_for_again(run: Run, scripted: ScriptedServer):
    running = run(configured(scripted.address, pool={'max': '1', 'refresh': '0', 'starting': '0'}))
    for _ in range(2):
        assert code(ask(running)) == (429, 'insufficient_coins')
        wait_until(lambda: running.database.read_now(models.Repeat.select().count) == 0)


def test_who_hung_up_and_was_charged_is_not_charged_again(run: Run, scripted: ScriptedServer):
    scripted.script = Script(parts=[ANSWER], waits_after=-1)
    running = run(configured(scripted.address))

    async def leave() -> None:
        async with httpx2.AsyncClient(timeout=30) as client:
            headers = {'authorization': f'Bearer {running.key}', 'idempotency-key': 'once'}
            body = {'model': 'm', 'messages': [{'role': 'user', 'content': 'hello'}]}
            url = f'{running.address}/v1/chat/completions'
            task = asyncio.create_task(client.post(url, headers=headers, json=body))
            await asyncio.to_thread(wait_until, lambda: len(scripted.script.received) == 1)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    asyncio.run(leave())
    (request,) = running.wait_for_requests(1)
    assert (request.outcome, request.cost > 0) == ('disconnected', True)
    wait_until(lambda: code(ask(running)) == (409, 'already_done'))
    assert len(running.requests()) == 1
    running.assert_settled()


@pytest.mark.parametrize('key', ['', 'x' * 256, 'a b', 'é'.encode().decode('latin-1')])
def test_a_key_that_cannot_be_is_refused(run: Run, scripted: ScriptedServer, key: str):
    running = run(configured(scripted.address))
    answer = ask(running, key.encode('latin-1'))  # type: ignore[arg-type]
    assert code(answer) == (400, 'invalid_request')
    assert answer.json()['error']['param'] == 'Idempotency-Key'
    assert running.requests() == []


@pytest.mark.parametrize('database_url', ['postgresql'], indirect=True)
@pytest.mark.parametrize('is_kept', [True, False])
def test_who_begins_it_in_two_processes_at_once_begins_it_once(
    run: Run, scripted: ScriptedServer, database_url: str, is_kept: bool
):
    running = run(configured(scripted.address))
    key_id = running.database.read_now(lambda: models.ApiKey.get().id)
    with psycopg.connect(database_url) as other:
        row = ('name', key_id, 'req_other', 'asked', False, running.database.read_now(now))
        insert = (
            'insert into repeat (name, key_id, request_id, asked, ended, created_at) values (%s, %s, %s, %s, %s, %s)'
        )
        other.execute(insert, row)
        begun = running.database.submit(repeats.begin, 'name', key_id, 'req_ours', 'asked')
        running.database._hand_over()
        wait_until(lambda: _waits_for_a_lock(database_url))
        (other.commit if is_kept else other.rollback)()
        found = begun.result(20)
    assert found == (Repeat('req_other', 'asked', False, None) if is_kept else None)


def _waits_for_a_lock(database_url: str) -> bool:
    with psycopg.connect(database_url) as connection:
        waiting = (
            "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
        )
        return bool(connection.execute(waiting).fetchone()[0])


async def test_old_answers_do_not_wait_for_the_next_call_to_be_forgotten(
    database: Database, monkeypatch: pytest.MonkeyPatch
):
    settings = configured('builtin:echo')
    client_id = await database.write(factories.client, 'bot', settings)
    new = await database.write(
        keys.create_key, COMMAND_LINE, client_id, 'key', None, settings=settings, secret=factories.SECRET
    )
    await database.write(repeats.begin, 'new', new.id, 'req_1', 'asked')
    await database.write(repeats.begin, 'old', new.id, 'req_2', 'asked')
    await database.write(lambda: models.Repeat.update(created_at=1).where(models.Repeat.name == 'old').execute())
    monkeypatch.setattr(idempotency, 'FORGETS_EVERY_SECONDS', 0.01)
    watching = asyncio.create_task(idempotency.Repeats(database).watch())
    await asyncio.to_thread(wait_until, lambda: database.read_now(models.Repeat.select().count) == 1)
    watching.cancel()


def test_after_a_day_it_runs_again(run: Run, scripted: ScriptedServer):
    scripted.script = Script(parts=[ANSWER])
    running = run(configured(scripted.address))
    ask(running)
    assert ask(running).headers['idempotent-replayed'] == 'true'
    day = 24 * 3_600_000_000
    running.database.write_now(lambda: models.Repeat.update(created_at=now() - day - 1).execute())
    assert 'idempotent-replayed' not in ask(running).headers
    assert len(running.requests()) == 2


@pytest.mark.parametrize(('minutes', 'runs'), [(9, False), (11, True)])
def test_a_call_whose_process_died_before_it_cost_anything_may_be_asked_for_again(
    run: Run, scripted: ScriptedServer, minutes: int, runs: bool
):
    scripted.script = Script(parts=[ANSWER])
    running = run(configured(scripted.address))
    ask(running)

    def die() -> None:
        at = now() - minutes * 60_000_000
        models.Repeat.update(request_id='req_gone', ended=False, answer=None, created_at=at).execute()

    running.database.write_now(die)
    answer = ask(running)
    assert answer.status_code == 200 if runs else code(answer) == (409, 'in_progress')


@pytest.mark.parametrize('database_url', ['sqlite'], indirect=True)
def test_nobody_who_has_the_database_can_read_what_was_asked_or_answered(
    run: Run, scripted: ScriptedServer, database_url: str
):
    scripted.script = Script(parts=[ANSWER])
    running = run(configured(scripted.address))
    question = 'a question about pterosaurs'
    assert MARKER in ask(running, text=question).text
    assert MARKER in ask(running, text=question).text
    with closing(sqlite3.connect(database_url.removeprefix('sqlite:///'))) as database:
        everything = '\n'.join(database.iterdump())
        answers = [bytes(row[0]) for row in database.execute('select answer from repeat')]
    assert len(answers) == 1
    for secret in (MARKER, 'pterosaurs', 'once'):
        assert secret not in everything
        assert secret.encode() not in answers[0]
    tampered = answers[0][:-1] + bytes([answers[0][-1] ^ 1])
    running.database.write_now(lambda: models.Repeat.update(answer=tampered).execute())
    assert ask(running, text=question).status_code == 500
