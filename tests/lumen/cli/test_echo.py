"""The flags of `lumen echo`, on a real process. Times are bounded from below only: a busy machine adds to them."""

from __future__ import annotations

import json
import time
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
