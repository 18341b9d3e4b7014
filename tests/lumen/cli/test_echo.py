"""The flags of `lumen echo`, on a real process. Times are bounded from below only: a busy machine adds to them."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from tests.lumen.gateway.conftest import echo_process


def ask(address: str, content: str = 'one two three', **more: Any) -> tuple[httpx2.Response, float]:
    """The answer, and how many seconds it took."""
    body = {'model': 'echo', 'messages': [{'role': 'user', 'content': content}], **more}
    began = time.monotonic()
    response = httpx2.post(f'{address}/chat/completions', json=body, timeout=60)
    return response, time.monotonic() - began


@pytest.mark.parametrize('stream', [False, True])
def test_delay_is_before_each_answer(stream: bool):
    with echo_process('--delay', '0.4') as address:
        for _ in range(2):
            response, seconds = ask(address, stream=stream)
            assert response.status_code == 200
            assert seconds >= 0.4


def test_chunk_delay_is_between_the_chunks_of_a_stream():
    with echo_process('--chunk-delay', '0.1') as address:
        response, seconds = ask(address, stream=True)
        chunks = [line for line in response.text.splitlines() if line.startswith('data: {')]
        assert ''.join(json.loads(chunk[6:])['choices'][0]['delta'].get('content', '') for chunk in chunks) == (
            'one two three'
        )
        assert len(chunks) > 3
        assert seconds >= 0.1 * (len(chunks) - 1)


@pytest.mark.parametrize('status', ['429', '503'])
def test_status_fails_every_call(status: str):
    with echo_process('--status', status) as address:
        for stream in (False, True):
            response, _ = ask(address, stream=stream)
            assert response.status_code == int(status)
            assert 'choices' not in response.json()
            assert response.json()['error']['message']


@pytest.fixture(scope='module')
def address() -> Iterator[str]:
    with echo_process() as found:
        yield found


@pytest.mark.parametrize(
    ('wrong', 'param'),
    [
        ({'messages': None}, 'messages'),
        ({'messages': []}, 'messages'),
        ({'messages': [1]}, 'messages[0]'),
        ({'messages': ['x']}, 'messages[0]'),
        ({'messages': [{'role': 'user', 'content': 5}]}, 'messages[0].content'),
        ({'messages': [{'role': 'user', 'content': {'type': 'text', 'text': 'x'}}]}, 'messages[0].content'),
        ({'messages': [{'role': 'user', 'content': ['x', 5]}]}, 'messages[0].content[1]'),
        ({'messages': [{'role': 'user', 'content': [{'type': 'text', 'text': 5}]}]}, 'messages[0].content[0].text'),
        ({'max_tokens': 'x'}, 'max_tokens'),
        ({'max_tokens': -1}, 'max_tokens'),
        ({'max_completion_tokens': 1.5}, 'max_completion_tokens'),
        ({'n': 'x'}, 'n'),
        ({'n': 0}, 'n'),
        ({'stream': 'x'}, 'stream'),
        ({'stream_options': 5}, 'stream_options'),
        ({'echo': {'tokens': 'x'}}, 'echo'),
    ],
)
def test_what_is_mistyped_is_refused_by_its_name(address: str, wrong: dict[str, Any], param: str):
    response, _ = ask(address, **wrong)
    assert response.status_code == 400, response.text
    error = response.json()['error']
    assert (error['type'], error['param'], error['code']) == ('invalid_request_error', param, 'invalid_request')
    assert error['message']


@pytest.mark.parametrize('content', [b'', b'[]', b'{', b'[' * 100_000])
def test_what_is_no_object_is_refused(address: str, content: bytes):
    response = httpx2.post(f'{address}/chat/completions', content=content, timeout=60)
    assert (response.status_code, response.json()['error']['code']) == (400, 'invalid_request')


def test_a_call_needs_no_more_than_messages(address: str):
    response = httpx2.post(f'{address}/chat/completions', json={'messages': [{'role': 'user', 'content': None}]})
    assert response.json()['model'] == 'echo'
