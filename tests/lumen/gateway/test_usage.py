from typing import Any

import pytest

from lumen.gateway import usage
from lumen.gateway.bounds import Bound
from lumen.gateway.expectation import Expectation
from lumen.gateway.usage import Usage


def test_reported_usage_is_taken():
    assert usage.reported({'usage': {'prompt_tokens': 3, 'completion_tokens': 4, 'more': 'x'}}) == Usage(3, 4)


@pytest.mark.parametrize(
    'report',
    [
        None,
        [],
        {},
        {'prompt_tokens': 3},
        {'prompt_tokens': -1, 'completion_tokens': 1},
        {'prompt_tokens': 1.5, 'completion_tokens': 1},
        {'prompt_tokens': '1', 'completion_tokens': 1},
        {'prompt_tokens': True, 'completion_tokens': 1},
        {'prompt_tokens': 1, 'completion_tokens': 10**9 + 1},
    ],
)
def test_nonsense_counts_as_no_report(report: Any):
    assert usage.reported({'usage': report}) is None


@pytest.mark.parametrize(
    ('answer', 'expected'),
    [
        ({'choices': [{'delta': {'content': 'héllo'}}]}, 6),
        ({'choices': [{'message': {'content': 'ab', 'reasoning_content': 'cd'}}, {'message': {'content': 'e'}}]}, 5),
        ({'choices': [{'delta': {'tool_calls': [{'function': {'name': 'f', 'arguments': '{}'}}]}}]}, 3),
        ({'choices': [{'text': 'abc'}]}, 3),
        ({'choices': [None, 7, {'delta': 'x'}, {'delta': {'content': 5, 'tool_calls': [None, {'function': 1}]}}]}, 0),
        ({'choices': 'x'}, 0),
        ({}, 0),
    ],
)
def test_generated_text_is_measured_wherever_it_stands(answer: dict[str, Any], expected: int):
    assert usage.generated_bytes(answer) == expected


def test_expectations_follow_what_is_reported_and_stay_within_the_bound():
    expectation = Expectation()
    bound = Bound(input=500, output=40, choices=2, text_bytes=1000, images=0)
    assert expectation.input_tokens('m', bound) == 250
    assert expectation.output_tokens('m', bound) == 80
    for _ in range(100):
        expectation.learn('m', bound, input_tokens=100, output_tokens=10, output_bytes=100)
    assert expectation.input_tokens('m', bound) in (100, 101)
    assert expectation.output_tokens('m', bound) == 12
    assert expectation.tokens_of('m', 1000) in (100, 101)
    assert expectation.input_tokens('other', bound) == 250
