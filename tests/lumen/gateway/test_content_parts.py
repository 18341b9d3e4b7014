"""Content that is not text or an image, and fields that multiply what is read: bounded by the window, or refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from lumen.config.settings import Settings
from lumen.errors import Invalid
from lumen.gateway import bounds, checks
from lumen.gateway.expectation import Expectation
from tests.lumen.gateway.conftest import Running, configured
from tests.lumen.gateway.test_bounds import chat, model
from tests.lumen.gateway.test_refusals import code, send

WINDOW = 1000
IMAGE = {'url': 'data:image/png;base64,' + 'A' * 5000}


def with_parts(*parts: Any, **more: Any) -> dict[str, Any]:
    return chat(messages=[{'role': 'user', 'content': list(parts)}], **more)


@pytest.mark.parametrize(
    'part',
    [
        {'type': 'video_url', 'video_url': {'url': 'https://example.org/v.mp4'}},
        {'type': 'audio_url', 'audio_url': {'url': 'https://example.org/a.wav'}},
        {'type': 'input_audio', 'input_audio': {'data': 'AAAA', 'format': 'wav'}},
        {'type': 'file', 'file': {'file_data': 'data:application/pdf;base64,AAAA'}},
        {'type': 'input_file', 'file_url': 'https://example.org/f.pdf'},
        {'type': 'image_embeds', 'image_embeds': 'AAAA'},
        {'type': 'of_the_future', 'x': 1},
        {'type': ['text'], 'text': 'x'},
        {'type': 7},
        {'video_url': {'url': 'https://example.org/v.mp4'}},
        {'type': 'text', 'text': 'x', 'uuid': 'u', 'video_url': {'url': 'https://example.org/v.mp4'}},
        {'type': 'image_url', 'image_url': IMAGE, 'max_pixels': 10**9},
    ],
)
def test_what_its_size_tells_nothing_of_may_fill_the_window(part: dict[str, Any]):
    for body in (with_parts({'type': 'text', 'text': 'x'}, part), chat(messages=[{'role': 'user', 'content': part}])):
        checks.chat(body)
        assert bounds.of_chat(body, model()).input == WINDOW


@pytest.mark.parametrize(
    'part',
    [
        {'type': 'image_url', 'image_url': IMAGE},
        {'type': 'input_image', 'image_url': IMAGE['url'], 'detail': 'low'},
        {'image_url': IMAGE},
        {'image_url': IMAGE['url']},
    ],
)
def test_an_image_is_one_with_and_without_its_type(part: dict[str, Any]):
    found = bounds.of_chat(with_parts(part), model(max_image_tokens='300', context_window='100000'))
    assert (found.images, found.reads_more) == (1, False)
    assert 300 < found.input < 500


def test_text_parts_count_as_text():
    parts = ['a', {'text': 'b'}, {'type': 'text', 'text': 'c'}, {'type': 'refusal', 'refusal': 'd'}]
    found = bounds.of_chat(with_parts(*parts), model())
    assert not found.reads_more
    assert found.input < 150


def test_an_image_within_a_tool_is_text():
    schema = {'type': 'image_url', 'image_url': 'x' * 700}
    found = bounds.of_chat(chat(tools=[{'type': 'function', 'function': schema}]), model(max_image_tokens='1'))
    assert found.input > 700
    assert found.images == 0


@pytest.mark.parametrize(
    'more',
    [
        {'chat_template': '{% for i in range(10000) %}x{% endfor %}'},
        {'chat_template': ''},
        {'chat_template_kwargs': {'chat_template': 'x'}},
        {'mm_processor_kwargs': {'fps': 100}},
        {'media_io_kwargs': {'video': {'num_frames': -1}}},
        {'web_search_options': {}},
        {'search_parameters': {'mode': 'on'}},
        {'plugins': [{'id': 'web'}]},
        {'data_sources': [{'type': 'azure_search'}]},
    ],
)
def test_a_server_that_reads_more_than_was_sent_may_fill_the_window(more: dict[str, Any]):
    assert bounds.of_chat(chat(**more), model()).input == WINDOW


def test_what_a_template_is_told_may_be_said_with_each_message():
    messages = [{'role': 'user', 'content': 'hello'}] * 4
    plain = bounds.of_chat(chat(messages=messages), model(context_window='9999'))
    told = bounds.of_chat(
        chat(messages=messages, chat_template_kwargs={'system': 'x' * 50}), model(context_window='9999')
    )
    assert told.input - plain.input == 5 * len('system' + 'x' * 50)


def test_documents_count_as_text_with_something_around_each():
    documents = [{'title': 'a', 'text': 'x' * 100}] * 2
    plain, given = bounds.of_chat(chat(), model()), bounds.of_chat(chat(documents=documents), model())
    assert given.input - plain.input >= 2 * (100 + bounds.TOKENS_PER_TOOL)


@pytest.mark.parametrize(
    ('more', 'choices'),
    [({'best_of': 5}, 5), ({'n': 3, 'best_of': 5}, 5), ({'n': 3, 'use_beam_search': True}, 3), ({'best_of': None}, 1)],
)
def test_every_answer_that_is_written_counts_also_those_that_are_thrown_away(more: dict[str, Any], choices: int):
    assert bounds.of_chat(chat(**more), model()).choices == choices


@pytest.mark.parametrize(
    ('body', 'param'),
    [
        (chat(best_of=0), 'best_of'),
        (chat(best_of=129), 'best_of'),
        (chat(conversation='c'), 'conversation'),
        (chat(file_ids=['f']), 'file_ids'),
        (chat(prediction={'type': 'content', 'content': 'x'}), 'prediction'),
        (chat(models=['other']), 'models'),
        (chat(kv_transfer_params={'do_remote_prefill': True}), 'kv_transfer_params'),
        (chat(tools=[{'type': 'function'}, {'type': 'web_search'}]), 'tools[1].type'),
        (chat(tools=[{'type': 'mcp', 'server_url': 'x'}]), 'tools[0].type'),
        (with_parts('x', {'type': 'file', 'file': {'file_id': 'f'}}), 'messages[0].content[1].file.file_id'),
        (with_parts({'type': 'input_file', 'file_id': 'f'}), 'messages[0].content[0].file_id'),
        (with_parts({'type': 'input_image', 'file_id': 'f'}), 'messages[0].content[0].file_id'),
        (chat(messages=[{'content': {'type': 'file', 'file_id': 'f'}}]), 'messages[0].content.file_id'),
        (chat(messages=[{'role': 'user', 'file_ids': ['f']}]), 'messages[0].file_ids'),
        (chat(messages=[{}, {'role': 'assistant', 'audio': {'id': 'a'}}]), 'messages[1].audio'),
    ],
)
def test_what_only_the_model_server_has_is_refused_by_name(body: dict[str, Any], param: str):
    with pytest.raises(Invalid) as refused:
        checks.chat(body)
    assert refused.value.param == param


def test_the_refusal_reaches_the_caller_and_nothing_is_held(run: Callable[[Settings], Running]):
    running = run(configured('builtin:echo'))
    response = send(running, json=with_parts({'type': 'file', 'file': {'file_id': 'f'}}))
    assert code(response) == (400, 'invalid_request')
    assert response.json()['error']['param'] == 'messages[0].content[0].file.file_id'
    assert running.requests() == []


def test_embeddings_with_more_than_their_input_may_fill_the_window_each():
    body = {'model': 'm', 'input': ['a', 'b']}
    for more in ({'chat_template': 'x'}, {'messages': [{'role': 'user', 'content': []}]}):
        assert bounds.of_embeddings(body | more, model()).input == 2 * WINDOW


def test_what_cannot_be_measured_is_expected_to_be_the_most_until_some_was_reported():
    expectation = Expectation()
    bound = bounds.of_chat(with_parts({'type': 'input_audio', 'input_audio': {}}), model())
    assert expectation.input_tokens('m', bound) == WINDOW
    expectation.learn('m', bound, input_tokens=300, output_tokens=1, output_bytes=4)
    assert expectation.input_tokens('m', bound) == 300
