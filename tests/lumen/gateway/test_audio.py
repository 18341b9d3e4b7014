"""Transcriptions and translations: passed on as they come, and charged by duration or by tokens, exactly."""

from __future__ import annotations

import asyncio
import json
import math
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import openai
import pytest
from structlog.testing import capture_logs

import models
from lumen.config.settings import Settings
from lumen.gateway import upload as uploads
from lumen.gateway.audio import last_cue_us
from tests.lumen.gateway.conftest import Running, Script, ScriptedServer, configured, wait_until
from tests.lumen.gateway.forms import CONTENT_TYPE, Caller, form, wav

Run = Callable[[Settings], Running]
Begin = Callable[[Running, int | None], Caller]
COIN = 1_000_000_000
HOUR = {'audio_cost_per_hour': '0.36', 'max_audio_seconds': '36000'}
"""A tenth of a nanocoin a microsecond."""

PATHS = ('transcriptions', 'translations')
each_path = pytest.mark.parametrize('path', PATHS)
on_sqlite = pytest.mark.parametrize('database_url', ['sqlite'], indirect=True)
TIMED = {'extra_body': {'echo': {'usage': '"duration"'}}}
SILENT = {'extra_body': {'echo': {'omit_usage': 'true'}}}
LARGE = form(('model', 'm'), ('file', bytes(300_000)))
EVENTS = {'content-type': 'text/event-stream'}


def small_buffer(settings: Settings) -> Settings:
    api = settings.api.model_copy(update={'upload_buffer_kib': 16})
    return settings.model_copy(update={'api': api})


def create(running: Running, path: str = 'transcriptions', **body: Any) -> Any:
    body = {'file': ('a.wav', wav(8_470)), 'model': 'm'} | body
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', DeprecationWarning)  # translations are on their way out of OpenAI's API
        return getattr(running.openai.audio, path).create(**body)


def post(running: Running, *parts: tuple[str, str | bytes], path: str = PATHS[0], **more: str) -> httpx2.Response:
    headers = {'authorization': f'Bearer {running.key}', 'content-type': CONTENT_TYPE} | more
    content = form(*(parts or (('model', 'm'), ('file', b'x' * 1000))))
    return httpx2.post(f'{running.address}/v1/audio/{path}', headers=headers, content=content, timeout=30)


def code(answer: httpx2.Response) -> tuple[int, str, str | None]:
    error = answer.json()['error']
    return answer.status_code, error['code'], error['param']


def ended(running: Running) -> models.Request:
    (request,) = running.wait_for_requests(1)
    running.assert_settled()
    return request


def held(running: Running) -> list[models.Hold]:
    return running.database.read_now(lambda: list(models.Hold.select()))


@pytest.fixture
def begin() -> Iterator[Begin]:
    """Begins calls that are sent piece by piece."""
    callers: list[Caller] = []

    def one(running: Running, length: int | None) -> Caller:
        callers.append(Caller(running, length))
        return callers[-1]

    yield one
    for caller in callers:
        caller.leave()


# What the SDK gets, and what it costs


@each_path
@pytest.mark.parametrize('address', ['echo', 'builtin:echo'])
@pytest.mark.parametrize('shape', ['json', 'verbose_json'])
def test_the_sdk_gets_the_text_and_the_account_pays_for_the_duration(
    run: Run, echo_address: str, path: str, address: str, shape: str
):
    running = run(configured(echo_address if address == 'echo' else address, **HOUR))
    answer = create(running, path, prompt='Good morning.', response_format=shape, **TIMED)
    assert answer.text == 'Good morning.'
    (request,) = running.requests()  # without waiting: the answer is behind the settlement
    assert (request.outcome, request.status, request.estimated, request.streamed) == ('success', 200, False, False)
    assert (request.audio_us, request.cost) == (8_470_000, 847_000)
    assert running.account().balance == 10 * COIN - 847_000
    running.assert_settled()


@pytest.mark.parametrize('address', ['echo', 'builtin:echo'])
def test_the_sdk_gets_a_stream_and_the_last_event_is_behind_the_charge(run: Run, echo_address: str, address: str):
    running = run(configured(echo_address if address == 'echo' else address, **HOUR))
    *deltas, done = create(running, stream=True, prompt='Good morning, all.', **TIMED)
    (request,) = running.requests()
    assert ''.join(event.delta for event in deltas) == done.text == 'Good morning, all.'
    assert done.usage.seconds == 8.47
    assert (request.outcome, request.streamed, request.estimated) == ('success', True, False)
    assert (request.audio_us, request.cost) == (8_470_000, 847_000)
    running.assert_settled()


@each_path
@pytest.mark.parametrize('stream', [False, True], ids=['whole', 'stream'])
def test_where_audio_has_no_price_the_tokens_are_charged(run: Run, echo_address: str, path: str, stream: bool):
    running = run(configured(echo_address))
    if stream and path == 'translations':
        answer = post(running, ('model', 'm'), ('stream', 'true'), ('file', wav(8_470)), path=path)
        assert 'transcript.text.done' in answer.text
    else:
        answer = create(running, path, **({'stream': True} if stream else {}))
        assert not stream or list(answer)
    request = ended(running)
    assert (request.outcome, request.estimated, request.streamed) == ('success', False, stream)
    assert (request.input_tokens, request.output_tokens) == (85, 5)  # ten a second; I heard ... bytes .
    assert request.cost == (85 + 2 * 5) * 1_000_000
    assert request.audio_us == 0


@pytest.mark.parametrize(
    ('shape', 'said'),
    [
        ('text', 'Good morning.\n'),
        ('srt', '1\n00:00:00,000 --> 00:00:08,470\nGood morning.\n\n'),
        ('vtt', 'WEBVTT\n\n00:00:00.000 --> 00:00:08.470\nGood morning.\n\n'),
    ],
)
def test_an_answer_as_text_reports_nothing_and_is_estimated(run: Run, echo_address: str, shape: str, said: str):
    running = run(configured(echo_address, **HOUR))
    with capture_logs() as logs:
        for _ in range(2):
            assert create(running, prompt='Good morning.', response_format=shape) == said
    (request, _) = running.requests()
    assert (request.outcome, request.status, request.estimated) == ('usage_missing', 200, True)
    by_size = (len(wav(8_470)) + len(said)) * 125  # 64 kbit/s, until it is known better
    if shape == 'text':
        assert by_size <= request.audio_us <= by_size + 1000 * 125
    else:
        assert request.audio_us == 8_470_000  # where the last cue ends
    assert request.cost == -(-request.audio_us // 10)
    assert [each['reported'] for each in logs if 'usage' in each['event'] or 'report' in each['event']] == [
        'an answer as text alone'
    ]
    running.assert_settled()


def test_a_text_is_given_on_with_its_type(run: Run, scripted: ScriptedServer):
    scripted.script = Script(headers={'content-type': 'text/vtt; charset=utf-8'}, parts=['WEBVTT – é'.encode()])
    running = run(configured(scripted.address, **HOUR))
    answer = post(running, ('model', 'm'), ('response_format', 'vtt'), ('file', b'x'))
    assert (answer.headers['content-type'], answer.text) == ('text/vtt; charset=utf-8', 'WEBVTT – é')


def test_a_text_that_nobody_asked_for_is_no_answer(run: Run, scripted: ScriptedServer):
    scripted.script = Script(parts=[b'Good morning.'])
    running = run(configured(scripted.address, **HOUR))
    assert code(post(running)) == (502, 'upstream_error', None)
    assert ended(running).cost == 0


@pytest.mark.parametrize(
    ('text', 'microseconds'),
    [
        ('1\n00:00:01,000 --> 01:02:03,456\nx\n\n', 3_723_456_000),
        ('WEBVTT\n\n00:01.000 --> 00:02.500 align:start\nx\n\n00:03.000 --> 02:03.004\ny', 123_004_000),
        ('Good --> morning', None),
        ('', None),
    ],
)
def test_where_the_last_cue_ends(text: str, microseconds: int | None):
    assert last_cue_us(text) == microseconds


@pytest.mark.parametrize(
    ('answer', 'audio_us'),
    [
        ({'usage': {'type': 'duration', 'seconds': 30}}, 30_000_000),
        ({'usage': {'type': 'duration', 'seconds': 8.470000267028809}}, 8_470_000),
        ({'duration': 0.0000005}, 1),
        ({'duration': '61.5'}, 61_500_000),
        ({'usage': {'input_tokens': 3, 'output_tokens': 4}, 'duration': 12}, 12_000_000),
        ({'usage': {'type': 'duration', 'seconds': 'soon'}, 'duration': 7}, 7_000_000),
        ({'usage': {'type': 'duration', 'seconds': 0}}, 0),
    ],
)
def test_a_duration_is_read_as_servers_write_it(
    run: Run, scripted: ScriptedServer, answer: dict[str, Any], audio_us: int
):
    scripted.script = Script(parts=[json.dumps({'text': 'Good morning.'} | answer).encode()])
    running = run(configured(scripted.address, **HOUR))
    assert post(running).status_code == 200
    request = ended(running)
    assert (request.outcome, request.estimated, request.audio_us) == ('success', False, audio_us)
    assert request.cost == (audio_us + 5) // 10


@on_sqlite
@pytest.mark.parametrize(
    'seconds', ['-1', '1e99', '1e7', 'true', 'null', '"NaN"', '"Infinity"', '""', '[]', '{}', '-0.5', '"1 000"']
)
def test_a_duration_that_cannot_be_is_estimated_and_said_once(run: Run, scripted: ScriptedServer, seconds: str):
    answer = '{"text": "Good morning.", "usage": {"type": "duration", "seconds": SAID}}'.replace('SAID', seconds)
    scripted.script = Script(parts=[answer.encode()])
    running = run(configured(scripted.address, **HOUR))
    with capture_logs() as logs:
        assert [post(running).status_code for _ in range(2)] == [200, 200]
    requests = running.requests()
    assert {(each.outcome, each.estimated) for each in requests} == {('usage_missing', True)}
    assert {each.audio_us for each in requests} == {len(form(('model', 'm'), ('file', b'x' * 1000))) * 125}
    assert len([each for each in logs if each['log_level'] == 'warning']) == 1
    running.assert_settled()


def test_tokens_alone_do_not_tell_what_costs_by_the_hour_nor_the_reverse(run: Run, scripted: ScriptedServer):
    tokens = Script(parts=[b'{"text": "x", "usage": {"type": "tokens", "input_tokens": 9, "output_tokens": 9}}'])
    scripted.script = tokens
    running = run(configured(scripted.address, **HOUR))
    assert post(running).status_code == 200
    scripted.script = Script(parts=[b'{"text": "Good morning.", "usage": {"type": "duration", "seconds": 9}}'])
    running.source.current = configured(scripted.address)
    assert post(running).status_code == 200
    by_hour, by_tokens = running.requests()
    assert (by_hour.outcome, by_hour.estimated, by_hour.input_tokens) == ('usage_missing', True, 0)
    assert by_hour.audio_us > 0
    assert (by_tokens.outcome, by_tokens.estimated, by_tokens.output_tokens) == ('usage_missing', True, 4)
    running.assert_settled()


def test_an_estimate_follows_what_the_model_server_reports(run: Run, echo_address: str):
    running = run(configured(echo_address, **HOUR))
    file = ('a.wav', wav(60_000))
    for _ in range(60):
        create(running, file=file, **TIMED)
    create(running, file=file, **SILENT)
    request = running.requests()[-1]
    assert request.estimated
    assert 59_000_000 < request.audio_us < 62_000_000


def test_of_an_upload_that_did_not_say_how_large_it_is_the_true_size_is_learnt(
    run: Run, begin: Begin, scripted: ScriptedServer
):
    scripted.script = Script(parts=[b'{"text": "x", "duration": 20}'])
    running = run(small_buffer(configured(scripted.address, **HOUR)))
    caller = begin(running, None)
    caller.send(LARGE)
    caller.end()
    assert caller.answer()[0] == 200
    scripted.script = Script(parts=[b'good morning'])
    parts = [('model', 'm'), ('response_format', 'text'), ('file', bytes(10_000))]
    assert post(running, *parts).status_code == 200
    rate = 125 + 0.1 * (20_000_000 / len(LARGE) - 125)
    assert running.requests()[-1].audio_us == math.ceil(len(form(*parts)) * rate)


def test_audio_for_free_is_taken_by_who_has_no_coins(run: Run, echo_address: str):
    pool = {'max': '1', 'refresh': '0', 'starting': '0'}
    running = run(configured(echo_address, audio_cost_per_hour='0', pool=pool))
    assert create(running, **TIMED).text
    request = ended(running)
    assert (request.outcome, request.cost, request.audio_us) == ('success', 0, 8_470_000)


# What is held


def test_what_the_size_can_hold_is_held_before_a_byte_goes_on(run: Run, begin: Begin, scripted: ScriptedServer):
    scripted.script = Script(parts=[b'{"text": "x", "usage": {"type": "duration", "seconds": 20}}'])
    running = run(small_buffer(configured(scripted.address, **HOUR)))
    caller = begin(running, len(LARGE))
    caller.send(LARGE[:150_000])
    wait_until(lambda: len(scripted.script.uploaded) > 50_000)  # while the rest has not come
    (hold,) = held(running)
    most_us = 1_000_000 + len(LARGE) * 8 * 1_000_000 // 4000
    assert hold.amount == -(-most_us // 10)
    assert (hold.audio_price, hold.expected_audio_us) == (36 * COIN // 100, len(LARGE) * 125)
    caller.send(LARGE[150_000:])
    assert caller.answer()[0] == 200
    assert bytes(scripted.script.uploaded) == LARGE.replace(b'\r\n\r\nm\r\n', b'\r\n\r\nremote/name\r\n')
    request = ended(running)
    assert (request.cost, request.audio_us) == (2_000_000, 20_000_000)


def test_no_more_is_held_than_a_server_takes(run: Run, begin: Begin, scripted: ScriptedServer):
    scripted.script = Script(parts=[b'{"text": "x", "duration": 20}'], waits_after=-1)
    running = run(small_buffer(configured(scripted.address, **HOUR | {'max_audio_seconds': '100'})))
    caller = begin(running, None)  # nobody knows how large
    caller.send(LARGE[:100_000])
    wait_until(lambda: len(held(running)) == 1)
    assert held(running)[0].amount == 100 * 100_000
    caller.send(LARGE[100_000:])
    caller.end()
    scripted.script.proceed.set()
    assert caller.answer()[0] == 200
    assert scripted.script.received_headers[0]['transfer-encoding'] == 'chunked'
    assert bytes(scripted.script.uploaded) == LARGE.replace(b'\r\n\r\nm\r\n', b'\r\n\r\nremote/name\r\n')
    assert ended(running).cost == 2_000_000


def test_a_pool_that_cannot_pay_is_told_and_nothing_goes_on(run: Run, scripted: ScriptedServer):
    pool = {'max': '1', 'refresh': '0', 'starting': '0.0001'}
    running = run(configured(scripted.address, **HOUR, pool=pool))
    answer = post(running, ('model', 'm'), ('file', bytes(100_000)))
    assert code(answer) == (429, 'insufficient_coins', None)
    assert 'needed' in answer.json()['error']['message']
    assert scripted.script.received_paths == []
    assert running.requests() == []


def test_near_empty_what_such_audio_usually_costs_is_enough_and_what_is_missing_is_written_down(
    run: Run, scripted: ScriptedServer
):
    pool = {'max': '1', 'refresh': '0', 'starting': '0.002'}
    scripted.script = Script(parts=[b'{"text": "x", "duration": 30}'])
    running = run(configured(scripted.address, **HOUR, pool=pool))
    assert post(running, ('model', 'm'), ('file', bytes(100_000))).status_code == 200  # 20 s are paid for
    request = ended(running)
    assert (request.cost, request.shortfall, request.audio_us) == (2_000_000, 1_000_000, 30_000_000)
    assert running.account().balance == 0


def test_a_fallback_is_charged_at_its_own_price_of_audio(run: Run, scripted: ScriptedServer, other: ScriptedServer):
    scripted.script = Script(status=503)
    other.script = Script(parts=[b'{"text": "x", "duration": 20}'])
    settings = configured(scripted.address, **HOUR, fallbacks=['org/free'])
    second = configured(other.address, name='org/free', audio_cost_per_hour='3.6', max_audio_seconds='36000').models[0]
    settings = settings.model_copy(update={'models': (settings.models[0], second)})
    running = run(settings)
    answer = post(running)
    assert (answer.status_code, answer.headers['x-lumen-model']) == (200, 'org/free')
    request = ended(running)
    assert (request.model, request.cost, request.audio_us) == ('org/free', 20_000_000, 20_000_000)


# What goes on


def test_all_goes_on_as_it_is_but_the_name_of_the_model(run: Run, scripted: ScriptedServer):
    scripted.script = Script(parts=[b'{"text": "x", "duration": 1}'])
    running = run(configured(scripted.address, **HOUR))
    parts = [('file', b'\r\n--\x00\xff'), ('anything[]', 'é'), ('anything[]', ''), ('model', 'm'), ('language', 'de')]
    assert post(running, *parts, path='translations').status_code == 200
    named = [(name, 'remote/name' if name == 'model' else value) for name, value in parts]
    assert bytes(scripted.script.uploaded) == form(*named)
    assert scripted.script.received_paths == ['/v1/audio/translations']
    (headers,) = scripted.script.received_headers
    assert headers['content-type'] == CONTENT_TYPE
    assert headers['content-length'] == str(len(form(*named)))
    assert headers['authorization'] == 'Bearer upstream-secret'


def test_a_stream_of_vllm_is_asked_for_usage_and_ends_with_done(run: Run, scripted: ScriptedServer):
    chunk = b'data: {"object": "transcription.chunk", "choices": [{"delta": {"content": "Good morning."}}]}\n\n'
    usage = b'data: {"choices": [], "usage": {"prompt_tokens": 30, "completion_tokens": 3}}\n\n'
    scripted.script = Script(headers=EVENTS, parts=[chunk, usage, b'data: [DONE]\n\n'])
    endpoints = [{'url': scripted.address, 'continuous_usage': 'true'}]
    running = run(configured(scripted.address, endpoints=endpoints))
    answer = post(running, ('model', 'm'), ('stream', 'true'), ('file', b'x'))
    assert answer.content == chunk + usage + b'data: [DONE]\n\n'
    asked = bytes(scripted.script.uploaded)
    assert b'name="stream_include_usage"\r\n\r\ntrue\r\n' in asked
    assert scripted.script.received_headers[0]['content-length'] == str(len(asked))
    request = ended(running)
    assert (request.outcome, request.input_tokens, request.output_tokens) == ('success', 30, 3)


# What is refused


@pytest.mark.parametrize(
    ('parts', 'param'),
    [
        ([('file', b'x')], 'model'),
        ([('model', 'm')], 'file'),
        ([('model', 'm'), ('file', 'x')], 'file'),
        ([('model', 'm'), ('file', b'x'), ('stream', 'perhaps')], 'stream'),
        ([('model', 'm'), ('file', b'x'), ('model', 'org/free')], 'model'),
    ],
)
def test_a_form_that_lacks_something_is_refused(
    run: Run, scripted: ScriptedServer, parts: list[tuple[str, str | bytes]], param: str
):
    running = run(configured(scripted.address, **HOUR))
    assert code(post(running, *parts)) == (400, 'invalid_request', param)
    assert scripted.script.received_paths == running.requests() == []


@on_sqlite
def test_a_body_that_is_no_form_is_refused(run: Run, scripted: ScriptedServer):
    running = run(configured(scripted.address, **HOUR))
    assert code(post(running, **{'content-type': 'application/json'})) == (400, 'invalid_request', None)
    with pytest.raises(openai.NotFoundError, match='does not exist'):
        create(running, model='unknown')


def test_a_model_behind_a_large_file_is_asked_to_stand_before_it(run: Run, scripted: ScriptedServer):
    running = run(small_buffer(configured(scripted.address, **HOUR)))
    answer = post(running, ('file', bytes(100_000)), ('model', 'm'))
    assert code(answer) == (400, 'invalid_request', 'model')
    assert 'put all fields before the file' in answer.json()['error']['message']
    assert post(running, ('file', bytes(10_000)), ('model', 'unknown')).status_code == 404
    assert scripted.script.received_paths == running.requests() == []


@pytest.mark.parametrize(
    ('last', 'param'), [(('model', 'org/free'), 'model'), (('stream', 'true'), 'stream'), (('x', '--b0undary'), None)]
)
def test_what_is_found_to_be_wrong_in_the_middle_costs_nothing_and_is_not_asked(
    run: Run, scripted: ScriptedServer, last: tuple[str, str], param: str | None
):
    running = run(small_buffer(configured(scripted.address, **HOUR)))
    answer = post(running, ('model', 'm'), ('file', bytes(300_000)), last)
    assert code(answer) == (400, 'invalid_request', param)
    assert not scripted.script.is_uploaded
    request = ended(running)
    assert (request.outcome, request.status, request.cost, request.audio_us) == ('upload_failed', 400, 0, 0)


def test_one_that_is_too_large_is_refused_at_once_or_when_it_is(run: Run, begin: Begin, scripted: ScriptedServer):
    settings = small_buffer(configured(scripted.address, **HOUR))
    settings = settings.model_copy(update={'api': settings.api.model_copy(update={'max_upload_mb': 1})})
    running = run(settings)
    stated = begin(running, 1_000_001)
    assert stated.answer()[0] == 413
    assert running.requests() == []
    unstated = begin(running, None)
    unstated.send(form(('model', 'm'), ('file', bytes(2_000_000))))
    status, answer = unstated.answer()
    assert (status, answer['error']['code']) == (413, 'request_too_large')
    assert scripted.script.left.wait(20)
    request = ended(running)
    assert (request.outcome, request.status, request.cost) == ('upload_failed', 413, 0)


def test_one_that_stops_coming_is_given_up(
    run: Run, begin: Begin, scripted: ScriptedServer, monkeypatch: pytest.MonkeyPatch
):
    running = run(small_buffer(configured(scripted.address, **HOUR)))
    monkeypatch.setattr(uploads, 'IDLE_SECONDS', 0.5)
    caller = begin(running, len(LARGE))
    caller.send(LARGE[:150_000])
    status, answer = caller.answer()
    assert (status, answer['error']['code']) == (408, 'request_timeout')
    assert scripted.script.left.wait(20)
    request = ended(running)
    assert (request.outcome, request.status, request.cost) == ('upload_failed', 408, 0)


# Who leaves


def test_who_hangs_up_in_the_middle_of_the_upload_pays_nothing(run: Run, begin: Begin, scripted: ScriptedServer):
    running = run(small_buffer(configured(scripted.address, **HOUR)))
    caller = begin(running, len(LARGE))
    caller.send(LARGE[:150_000])
    wait_until(lambda: len(scripted.script.uploaded) > 50_000)
    caller.leave()
    assert scripted.script.left.wait(20)
    request = ended(running)
    assert (request.outcome, request.status, request.cost, request.audio_us) == ('disconnected', 499, 0, 0)


@pytest.mark.parametrize('length', [len(LARGE), None], ids=['of known length', 'of unknown length'])
def test_who_hangs_up_behind_the_upload_pays_what_was_expected(
    run: Run, begin: Begin, scripted: ScriptedServer, length: int | None
):
    scripted.script = Script(waits_after=-1)
    running = run(small_buffer(configured(scripted.address, **HOUR)))
    caller = begin(running, length)
    caller.send(LARGE)
    caller.end()
    wait_until(lambda: scripted.script.is_uploaded)
    caller.leave()
    assert scripted.script.left.wait(20)
    request = ended(running)
    assert (request.outcome, request.status, request.estimated) == ('disconnected', 499, True)
    assert request.audio_us == len(LARGE) * 125
    assert request.cost == -(-request.audio_us // 10)


@pytest.mark.parametrize('by', ['hour', 'tokens'])
def test_who_hangs_up_in_the_middle_of_a_stream_pays_for_what_was_read_and_written(
    run: Run, begin: Begin, scripted: ScriptedServer, by: str
):
    delta = b'data: {"type": "transcript.text.delta", "delta": "Good morning."}\n\n'
    scripted.script = Script(headers=EVENTS, parts=[delta], waits_after=0)
    running = run(configured(scripted.address, **HOUR if by == 'hour' else {}))
    content = form(('model', 'm'), ('stream', 'true'), ('file', b'x' * 1000))
    caller = begin(running, len(content))
    caller.send(content)
    received = b''
    while b'morning' not in received:
        received += caller.connection.recv(4096)
    caller.leave()
    assert scripted.script.left.wait(20)
    request = ended(running)
    assert (request.outcome, request.estimated, request.streamed) == ('disconnected', True, True)
    if by == 'hour':
        assert request.audio_us == len(content) * 125
    else:
        assert (request.input_tokens, request.output_tokens) == (8192, 4)


def test_on_another_server_who_hangs_up_is_noticed_too(run: Run, scripted: ScriptedServer):
    """Without the extension of ASGI that Lumen's own has."""
    running = run(small_buffer(configured(scripted.address, **HOUR)))
    scope = {'type': 'http', 'method': 'POST', 'path': '/v1/audio/transcriptions', 'scheme': 'http'}
    headers = [(b'authorization', f'Bearer {running.key}'.encode()), (b'content-type', CONTENT_TYPE.encode())]

    def call(*messages: dict[str, Any], stays: bool = False) -> list[Any]:
        answered: list[Any] = []

        async def run_it() -> None:
            waiting = list(messages)

            async def receive() -> Any:
                if not waiting and stays:
                    await asyncio.Event().wait()
                if not waiting:
                    await asyncio.to_thread(wait_until, lambda: scripted.script.is_uploaded)
                    return {'type': 'http.disconnect'}
                return waiting.pop(0)

            async def send(message: Any) -> None:
                answered.append(message)

            await running.gateway.app({**scope, 'headers': headers}, receive, send)

        asyncio.run_coroutine_threadsafe(run_it(), running.loop).result(30)
        return answered

    part = {'type': 'http.request', 'body': LARGE[:100_000], 'more_body': True}
    assert call(part, {'type': 'http.disconnect'}) == []
    scripted.script = Script(waits_after=-1)
    assert call(part, {'type': 'http.request', 'body': LARGE[100_000:]}) == []
    assert scripted.script.left.wait(20)
    scripted.script = Script(parts=[b'{"text": "x", "duration": 1}'])
    assert call({'type': 'http.request', 'body': LARGE}, stays=True)[0]['status'] == 200
    first, second, third = running.wait_for_requests(3)
    assert (first.outcome, first.cost) == ('disconnected', 0)
    assert (second.outcome, second.audio_us) == ('disconnected', len(LARGE) * 125)
    assert (third.outcome, third.cost) == ('success', 100_000)
    running.assert_settled()


# When a model server fails


def test_a_small_one_is_sent_again_where_the_first_failed(run: Run, scripted: ScriptedServer, other: ScriptedServer):
    endpoints = [{'url': scripted.address, 'weight': '1000000'}, {'url': other.address, 'weight': '0.000001'}]
    scripted.script = Script(hangs_up=True)
    other.script = Script(parts=[b'{"text": "x", "duration": 1}'])
    running = run(configured(scripted.address, **HOUR, endpoints=endpoints))
    assert post(running).status_code == 200
    assert (
        bytes(scripted.script.uploaded) == bytes(other.script.uploaded) == form(('model', 'm'), ('file', b'x' * 1000))
    )
    assert ended(running).cost == 100_000


def test_a_large_one_that_has_begun_is_not(run: Run, scripted: ScriptedServer, other: ScriptedServer):
    endpoints = [{'url': scripted.address, 'weight': '1000000'}, {'url': other.address, 'weight': '0.000001'}]
    scripted.script = Script(hangs_up=True)
    running = run(small_buffer(configured(scripted.address, **HOUR, endpoints=endpoints, fallbacks=['org/free'])))
    assert code(post(running, ('model', 'm'), ('file', bytes(300_000)))) == (502, 'upstream_error', None)
    assert other.script.received_paths == []
    request = ended(running)
    assert (request.outcome, request.cost) == ('upstream_error', 0)


def test_a_large_one_of_which_nothing_was_taken_is(run: Run, scripted: ScriptedServer):
    endpoints = [{'url': 'http://127.0.0.1:1/v1', 'weight': '1000000'}, {'url': scripted.address, 'weight': '0.000001'}]
    scripted.script = Script(parts=[b'{"text": "x", "duration": 1}'])
    running = run(small_buffer(configured(scripted.address, **HOUR, endpoints=endpoints)))
    assert post(running, ('model', 'm'), ('file', bytes(300_000))).status_code == 200
    assert len(scripted.script.uploaded) > 300_000


def test_a_server_that_breaks_off_in_the_middle_of_the_upload_is_told_at_once(
    run: Run, begin: Begin, scripted: ScriptedServer
):
    scripted.script = Script(reads=50_000, hangs_up=True)
    running = run(small_buffer(configured(scripted.address, **HOUR)))
    caller = begin(running, len(LARGE))
    caller.send(LARGE[:150_000])
    assert caller.answer()[0] == 502  # though the rest has not come
    request = ended(running)
    assert (request.outcome, request.cost) == ('upstream_error', 0)


@pytest.mark.parametrize(
    ('status', 'answer', 'outcome'),
    [(413, b'{"error": {"message": "too long"}}', 'upstream_error'), (200, b'{"text": "x", "duration": 1}', 'success')],
)
def test_an_early_answer_is_given_on_without_waiting_for_the_rest(
    run: Run, begin: Begin, scripted: ScriptedServer, status: int, answer: bytes, outcome: str
):
    scripted.script = Script(status=status, reads=50_000, parts=[answer], length=len(answer), waits_after=0)
    running = run(small_buffer(configured(scripted.address, **HOUR)))
    caller = begin(running, len(LARGE))
    caller.send(LARGE[:150_000])
    assert caller.answer() == (status, json.loads(answer))
    request = ended(running)
    assert (request.outcome, request.cost) == (outcome, 100_000 if status == 200 else 0)


def test_a_slow_caller_is_not_the_servers_stalling(run: Run, begin: Begin, scripted: ScriptedServer):
    scripted.script = Script(parts=[b'{"text": "x", "duration": 1}'])
    endpoints = [{'url': scripted.address, 'idle_timeout_seconds': '0.2', 'first_byte_timeout_seconds': '0.2'}]
    running = run(small_buffer(configured(scripted.address, **HOUR, endpoints=endpoints)))
    caller = begin(running, len(LARGE))
    caller.send(LARGE[:150_000])
    wait_until(lambda: len(scripted.script.uploaded) > 50_000)
    assert not scripted.script.left.wait(0.6)
    caller.send(LARGE[150_000:])
    assert caller.answer()[0] == 200


def test_a_server_that_says_nothing_behind_the_upload_is_not_waited_for(run: Run, scripted: ScriptedServer):
    scripted.script = Script(waits_after=-1)
    endpoints = [{'url': scripted.address, 'idle_timeout_seconds': '0.2'}]
    running = run(small_buffer(configured(scripted.address, **HOUR, endpoints=endpoints)))
    assert code(post(running, ('model', 'm'), ('file', bytes(300_000)))) == (504, 'upstream_timeout', None)
    request = ended(running)
    assert (request.outcome, request.estimated, request.audio_us) == ('timeout', True, len(LARGE) * 125)


@pytest.mark.parametrize('stop_after_chunks', [0, 2])
def test_a_stream_that_breaks_off_says_so(run: Run, echo_address: str, stop_after_chunks: int):
    running = run(configured(echo_address, **HOUR))
    told = {'extra_body': {'echo': {'stop_after_chunks': stop_after_chunks}}}
    with pytest.raises(openai.APIError, match='broke off'):
        list(create(running, stream=True, **told))
    request = running.requests()[-1]
    assert request.outcome == ('upstream_error_midstream' if stop_after_chunks else 'upstream_error')
    assert bool(request.cost) == bool(stop_after_chunks)
    running.assert_settled()


# Asking once


def test_what_is_asked_for_again_is_answered_from_what_is_kept(run: Run, scripted: ScriptedServer):
    scripted.script = Script(parts=[b'{"text": "quetzal", "duration": 1}'])
    running = run(configured(scripted.address, **HOUR))
    first = post(running, **{'idempotency-key': 'once'})
    content = form(('model', 'm'), ('file', b'x' * 1000), boundary=b'another')
    headers = {'authorization': f'Bearer {running.key}', 'idempotency-key': 'once'}
    headers['content-type'] = 'multipart/form-data; boundary=another'
    second = httpx2.post(f'{running.address}/v1/audio/transcriptions', headers=headers, content=content)
    assert (second.status_code, second.content) == (200, first.content)
    assert second.headers['idempotent-replayed'] == 'true'
    other = post(running, ('model', 'm'), ('file', b'y'), **{'idempotency-key': 'once'})
    assert code(other) == (409, 'idempotency_key_reused', 'Idempotency-Key')
    assert len(running.requests()) == 1


def test_a_text_is_not_kept_and_a_large_form_cannot_be_asked_for_once(run: Run, scripted: ScriptedServer):
    scripted.script = Script(headers={'content-type': 'text/plain'}, parts=[b'Good morning.'])
    running = run(small_buffer(configured(scripted.address, **HOUR)))
    parts = (('model', 'm'), ('response_format', 'text'), ('file', b'x'))
    assert post(running, *parts, **{'idempotency-key': 'once'}).text == 'Good morning.'
    wait_until(lambda: code(post(running, *parts, **{'idempotency-key': 'once'}))[:2] == (409, 'already_done'))
    large = post(running, ('model', 'm'), ('file', bytes(100_000)), **{'idempotency-key': 'twice'})
    assert code(large) == (400, 'invalid_request', 'Idempotency-Key')
    assert len(running.requests()) == 1


# What nobody else gets to know


@on_sqlite
def test_nothing_of_the_audio_the_prompt_or_the_answer_is_kept_or_logged(
    run: Run, scripted: ScriptedServer, tmp_path: Any, capfd: pytest.CaptureFixture[str], monkeypatch: Any
):
    monkeypatch.setenv('TMPDIR', str(tmp_path))
    scripted.script = Script(parts=[b'{"text": "quetzalcoatlus"}'])
    running = run(small_buffer(configured(scripted.address, **HOUR)))
    with capture_logs() as logs:
        marked = b'quetzalcoatlus' * 20_000
        assert post(running, ('model', 'm'), ('prompt', 'quetzalcoatlus'), ('file', marked)).status_code == 200
        wrong = form(('model', 'm'), ('prompt', 'quetzalcoatlus'), ('file', marked))[:-20]
        headers = {'authorization': f'Bearer {running.key}', 'content-type': CONTENT_TYPE}
        address = f'{running.address}/v1/audio/transcriptions'
        assert httpx2.post(address, headers=headers, content=wrong, timeout=30).status_code == 400
    running.wait_for_requests(2)
    written = [path.read_bytes() for path in tmp_path.rglob('*') if path.is_file()]
    assert written
    said = capfd.readouterr()
    for content in (*written, repr(logs).encode(), said.out.encode(), said.err.encode()):
        assert b'quetzalcoatlus' not in content
