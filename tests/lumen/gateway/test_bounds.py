from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lumen.config.settings import Model
from lumen.errors import Invalid
from lumen.gateway import body as request_body
from lumen.gateway import bounds, checks
from lumen.gateway.echo_tokens import count_input, tokens


def model(**changes: Any) -> Model:
    values = {
        'name': 'm',
        'input_cost_per_million': '1',
        'output_cost_per_million': '1',
        'context_window': '1000',
        'max_output_tokens': '100',
        'endpoints': [{'url': 'builtin:echo'}],
    }
    return Model.model_validate(values | changes)


def chat(**changes: Any) -> dict[str, Any]:
    return {'model': 'm', 'messages': [{'role': 'user', 'content': 'hello'}]} | changes


@given(text=st.text(max_size=60), tool=st.text(max_size=20), images=st.integers(0, 3))
def test_the_bound_is_never_below_what_the_model_server_counts(text: str, tool: str, images: int):
    parts = [{'type': 'text', 'text': text}] + [{'type': 'image_url', 'image_url': {'url': 'data:x'}}] * images
    body = chat(
        messages=[{'role': 'system', 'content': text}, {'role': 'user', 'content': parts}],
        tools=[{'type': 'function', 'function': {'name': tool, 'parameters': {tool: text}}}],
    )
    assert bounds.of_chat(body, model(context_window='1000000')).input >= count_input(body)


@given(st.text())
def test_the_tokens_of_a_text_are_the_text(text: str):
    assert ''.join(tokens(text)) == text
    assert all(tokens(text))


def test_text_counts_in_bytes_and_images_by_the_model():
    plain = bounds.of_chat(chat(), model())
    longer = bounds.of_chat(chat(messages=[{'role': 'user', 'content': 'hello €'}]), model())
    assert longer.input - plain.input == len(' €'.encode())
    image = {'type': 'image_url', 'image_url': {'url': 'data:image/png;base64,' + 'A' * 100_000}}
    seen = bounds.of_chat(chat(messages=[{'role': 'user', 'content': [image]}]), model(max_image_tokens='300'))
    assert 300 < seen.input < 500
    assert seen.images == 1


def test_the_context_window_bounds_the_input():
    assert bounds.of_chat(chat(messages=[{'role': 'user', 'content': 'x' * 5000}]), model()).input == 1000


@pytest.mark.parametrize(
    ('changes', 'output', 'choices'),
    [
        ({}, 100, 1),
        ({'max_tokens': 7}, 7, 1),
        ({'max_completion_tokens': 8, 'max_tokens': 9}, 8, 1),
        ({'max_tokens': 5000}, 100, 1),
        ({'n': 3}, 100, 3),
    ],
)
def test_the_smallest_limit_bounds_the_output(changes: dict[str, Any], output: int, choices: int):
    bound = bounds.of_chat(chat(**changes), model())
    assert (bound.output, bound.choices) == (output, choices)


@pytest.mark.parametrize(
    ('body', 'param'),
    [
        ({'messages': [{}]}, 'model'),
        ({'model': 7, 'messages': [{}]}, 'model'),
        ({'model': 'm'}, 'messages'),
        ({'model': 'm', 'messages': []}, 'messages'),
        ({'model': 'm', 'messages': 'hello'}, 'messages'),
        (chat(messages=[{}, 'x']), 'messages[1]'),
        (chat(max_tokens=0), 'max_tokens'),
        (chat(max_tokens=True), 'max_tokens'),
        (chat(max_tokens=1.0), 'max_tokens'),
        (chat(max_completion_tokens='9'), 'max_completion_tokens'),
        (chat(n=0), 'n'),
        (chat(n=129), 'n'),
        (chat(stream='yes'), 'stream'),
        (chat(stream_options=[]), 'stream_options'),
        (chat(tools={}), 'tools'),
        (chat(background=True), 'background'),
        (chat(previous_response_id='r'), 'previous_response_id'),
    ],
)
def test_what_cannot_be_bounded_names_its_field(body: dict[str, Any], param: str):
    with pytest.raises(Invalid) as refused:
        checks.chat(body)
    assert refused.value.param == param


@pytest.mark.parametrize(
    'content',
    [
        b'',
        b'{',
        b'[]',
        b'"x"',
        b'\xff{}',
        b'{"a": NaN}',
        b'{"a": 1e999}',
        b'[' * 100_000,
        b'{"a": ' + b'9' * 5000 + b'}',
    ],
)
def test_what_is_not_json_is_refused(content: bytes):
    with pytest.raises(Invalid):
        request_body.parse(content)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(st.text(), json_values, max_size=5))
def test_what_is_passed_on_is_what_came(body: dict[str, Any]):
    assert request_body.parse(request_body.dump(body)) == body


def test_half_a_surrogate_pair_is_passed_on_as_it_came():
    body = request_body.parse(b'{"a": "\\ud800", "b": 123456789012345678901234567890}')
    assert b'\\ud800' in request_body.dump(body)
    assert bounds.of_chat(chat(extra=body['a']), model()).input > 0
