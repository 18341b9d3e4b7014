"""Bodies that are small in bytes and large in what they are made of: refused before they hold up everybody else."""

from __future__ import annotations

import gc
import json
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import pytest

from lumen.config.settings import Settings
from lumen.errors import Invalid
from lumen.gateway import body, bounds, checks
from lumen.gateway.body import MAX_DIGITS, MAX_VALUES
from lumen.server.parts import GC_THRESHOLD
from tests.lumen.gateway.conftest import Running, configured
from tests.lumen.gateway.test_bounds import model
from tests.lumen.gateway.test_refusals import code, send

T = TypeVar('T')

LARGEST = 32_000_000
START = b'{"model": "m", "messages": [{"role": "user", "content": "hello"}], "input": "x", "more": '
SECONDS = 1.0
"""Of processor time, on a machine that does other things too. The measured figures are about half of it."""
TRIES = 3
TIMES_PYTHONS = 2


def many(item: bytes, number: int) -> bytes:
    return START + b'[' + (item + b',') * (number - 1) + item + b']}'


NESTED = many(b'{"a":' * 150 + b'1' + b'}' * 150, MAX_VALUES // 151 - 10)


def full_of(item: bytes) -> bytes:
    return many(item, (LARGEST - len(START) - 3) // (len(item) + 1))


@pytest.fixture(autouse=True)
def as_served() -> Iterator[None]:
    """What the tests before this one left behind is not looked through again and again, nor is it by a gateway."""
    before = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD, 20, 20)
    yield
    gc.set_threshold(*before)
    gc.unfreeze()


def takes_less_than(seconds: float, step: Callable[[], T]) -> T:
    """What the step returns. One that took longer is tried again, and may take twice as long as Python's own reading of
    nested JSON takes in the same moment: beside others on a machine everything costs more.
    """
    for _ in range(TRIES):
        begun = time.process_time()
        made = step()
        took = time.process_time() - begun
        if took < seconds:
            return made
        begun = time.process_time()
        json.loads(NESTED)
        if took < (time.process_time() - begun) * TIMES_PYTHONS:
            return made
    raise AssertionError(f'it took {took:.2f} s of processor time, and Python {time.process_time() - begun:.2f} s')


def refuse(content: bytes, match: str) -> None:
    with pytest.raises(Invalid, match=match):
        body.parse(content)


@pytest.mark.parametrize('item', [b'{}', b'[]', b'{"":1}', b'7', b'""', b'1.5'])
def test_millions_of_tiny_values_are_refused_before_they_are_parsed(item: bytes):
    content = full_of(item)
    takes_less_than(SECONDS, lambda: refuse(content, 'more than 500,000 values'))


@pytest.mark.parametrize('digits', [4300, MAX_DIGITS + 1])
def test_numbers_of_very_many_digits_are_refused(digits: int):
    content = full_of(b'9' * digits)
    takes_less_than(SECONDS, lambda: refuse(content, 'more than 400 digits'))


def test_a_number_of_as_many_digits_as_may_be_passes_as_it_is():
    number = b'9' * MAX_DIGITS
    assert b'[%b]' % number in body.dump(body.parse(many(number, 1)))


@pytest.mark.parametrize(
    'make',
    [
        lambda: many(b'1', MAX_VALUES - 10),
        lambda: many(b'{}', MAX_VALUES // 2 - 10),
        lambda: NESTED,
        lambda: full_of(b'9' * MAX_DIGITS),
        lambda: START + b'{' + b','.join(b'"name %d":1.5' % number for number in range(MAX_VALUES - 10)) + b'}}',
    ],
    ids=['numbers', 'objects', 'nested', 'digits', 'names'],
)
def test_the_most_that_is_taken_holds_up_nobody_for_long(make: Callable[[], bytes]):
    content = make()

    def read() -> dict[str, Any]:
        found = body.parse(content)
        checks.chat(found)
        return found

    found = takes_less_than(SECONDS, read)
    for step in (
        lambda: bounds.of_chat(found, model()),
        lambda: bounds.of_embeddings(found, model()),
        lambda: body.dump(found),
    ):
        takes_less_than(SECONDS, step)


@pytest.mark.parametrize(
    'piece',
    [b'x, ', b'{\\"a\\": [1, 2]}, ', b'\\\\, [', 'é, '.encode()],
    ids=['commas', 'JSON', 'backslashes', 'accents'],
)
def test_a_text_of_any_kind_may_be_as_large_as_a_body(piece: bytes):
    text = piece * ((LARGEST - len(START) - 3) // len(piece))
    content = START + b'"' + text + b'"}'
    assert len(content) <= LARGEST
    assert takes_less_than(SECONDS, lambda: body.parse(content))['more'] == json.loads(b'"' + text + b'"')


def test_a_quote_that_is_escaped_ends_no_text():
    hidden = START + b'["\\\\\\"", ' + b'"\\"", ' * (MAX_VALUES // 2) + b'[' + b'{},' * MAX_VALUES + b'{}]]}'
    with pytest.raises(Invalid, match='values'):
        body.parse(hidden)
    assert len(body.parse(START + b'["\\\\", "\\"' + b',' * MAX_VALUES + b'\\\\"]}')['more']) == 2


@pytest.mark.parametrize('database_url', ['sqlite'], indirect=True)
def test_callers_are_told_and_embeddings_are_no_exception(run: Callable[[Settings], Running]):
    running = run(configured('builtin:echo'))
    for path in ('/v1/chat/completions', '/v1/embeddings'):
        response = send(running, path, content=many(b'[]', MAX_VALUES + 1))
        assert code(response) == (400, 'invalid_request')
        assert '500,000 values' in response.json()['error']['message']
        inputs = b'{"model": "m", "input": [' + b','.join([b'7'] * (MAX_VALUES + 1)) + b']}'
        assert code(send(running, path, content=inputs)) == (400, 'invalid_request')
        assert '400 digits' in send(running, path, content=many(b'9' * 4300, 1)).json()['error']['message']
    assert running.requests() == []
