"""Usage is taken out of an event, and nothing else of it changes."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lumen.config.settings import Settings
from lumen.gateway.hiding import without_member, without_usage
from lumen.gateway.stream import LATE_USAGE_SECONDS
from tests.lumen.gateway.conftest import Running, ScriptedServer, configured
from tests.lumen.gateway.test_failures import STREAM, call

USAGE = b'"usage": {"prompt_tokens": 5, "completion_tokens": 6}'


@pytest.mark.parametrize(
    ('came', 'left'),
    [
        (b'data: {"a": 1.0, %b}\n\n', b'data: {"a": 1.0}\n\n'),
        (b'data:{%b ,"a": "\\u00e9 \xc3\xa9"}\r\n\r\n', b'data:{"a": "\\u00e9 \xc3\xa9"}\r\n\r\n'),
        (
            b': beat\nid: 7\nevent: chunk\ndata: { "a" : 1e5 , %b , "b":[{"usage": 1}] }\nretry: 5\nown: x\n\n',
            b': beat\nid: 7\nevent: chunk\ndata: { "a" : 1e5 , "b":[{"usage": 1}] }\nretry: 5\nown: x\n\n',
        ),
        (b'\xef\xbb\xbfdata: {"a": "\xff", %b}\r\r', b'\xef\xbb\xbfdata: {"a": "\xff"}\r\r'),
        (b'data: {"a": 1,\nid: 7\ndata: %b}\n\n', b'data: {"a": 1}\nid: 7\n\n'),
        (b'data: {%b}', b'data: {}'),
    ],
)
def test_only_usage_is_taken_out_of_an_event(came: bytes, left: bytes):
    assert without_usage(came.replace(b'%b', USAGE)) == left


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(st.text(max_size=3) | st.just('usage'), json_values), st.booleans(), st.sampled_from([None, 2]))
def test_an_object_without_a_member_is_the_rest_of_it(found: dict[str, Any], ascii_only: bool, indent: int | None):
    text = json.dumps(found, ensure_ascii=ascii_only, indent=indent)
    left = without_member(text, 'usage')
    found.pop('usage', None)
    assert json.loads(left) == found


def test_callers_who_did_not_ask_get_the_event_as_it_came_but_for_its_usage(
    run: Callable[[Settings], Running], scripted: ScriptedServer
):
    event = 'id: 7\nevent: of its own\ndata: {"choices": [{"delta": {"content": "Grüße"}}], "x": 1.0%s}\n\n'
    scripted.script.headers = STREAM
    scripted.script.parts = [(event % f', {USAGE.decode()}').encode(), b'data: [DONE]\n\n']
    running = run(configured(scripted.address))
    assert call(running, stream=True).content == (event % '').encode() + b'data: [DONE]\n\n'
    asked = call(running, stream=True, stream_options={'include_usage': True})
    assert asked.content == b''.join(scripted.script.parts)
    assert running.requests()[0].output_tokens == 6


def test_usage_that_comes_with_the_end_but_behind_it_counts(
    run: Callable[[Settings], Running], scripted: ScriptedServer
):
    text = b'data: {"choices": [{"delta": {"content": "one two three"}}]}\n\n'
    scripted.script.headers = STREAM
    scripted.script.parts = [text + b'data: [DONE]\n\ndata: {"choices": [], %b}\n\n' % USAGE]
    running = run(configured(scripted.address))
    assert call(running, stream=True).content == text + b'data: [DONE]\n\n'
    (request,) = running.requests()
    assert (request.outcome, request.input_tokens, request.output_tokens) == ('success', 5, 6)
    running.assert_settled()


LATE = b'data: {"choices": [], %b}\n\n' % USAGE


def test_usage_that_comes_soon_after_the_end_is_waited_for(
    run: Callable[[Settings], Running], scripted: ScriptedServer
):
    text = b'data: {"choices": [{"delta": {"content": "one two three"}}]}\n\n'
    scripted.script.headers = STREAM
    scripted.script.parts = [text, b'data: [DONE]\n\n', LATE]
    scripted.script.waits_after = 1
    running = run(configured(scripted.address))
    threading.Timer(LATE_USAGE_SECONDS / 4, scripted.script.proceed.set).start()
    assert call(running, stream=True).content == text + b'data: [DONE]\n\n'
    (request,) = running.requests()
    assert (request.outcome, request.input_tokens, request.output_tokens) == ('success', 5, 6)
    running.assert_settled()


def test_usage_that_comes_too_late_is_estimated_and_holds_nobody_up(
    run: Callable[[Settings], Running], scripted: ScriptedServer
):
    text = b'data: {"choices": [{"delta": {"content": "one two three"}}]}\n\n'
    scripted.script.headers = STREAM
    scripted.script.parts = [text, b'data: [DONE]\n\n', LATE]
    scripted.script.waits_after = 1  # for longer than anybody listens
    running = run(configured(scripted.address))
    assert call(running, stream=True).content == text + b'data: [DONE]\n\n'
    assert scripted.script.left.wait(5)
    (request,) = running.requests()
    assert (request.outcome, request.estimated) == ('usage_missing', True)
    running.assert_settled()
