"""How the echo model answers chats and completions."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any, ClassVar, Protocol
from uuid import uuid4

from lumen.errors import Invalid
from lumen.gateway import checks
from lumen.gateway.bounds import inputs_of
from lumen.gateway.echo_tokens import count_input, tokens


class Shape(Protocol):
    """A kind of answer. It is made of a checked body and the tokens to say."""

    def __init__(self, body: dict[str, Any], said: list[str], *, is_cut: bool, with_usage: bool): ...

    @staticmethod
    def check(body: dict[str, Any]) -> None:
        """Raises Invalid naming the first field that is mistyped."""

    @staticmethod
    def text_of(body: dict[str, Any]) -> str:
        """What is said back."""

    @staticmethod
    def most_of(body: dict[str, Any]) -> int | None:
        """How many tokens may be."""

    def whole(self) -> dict[str, Any] | str: ...

    def events(self) -> Iterator[bytes]:
        """Those of a stream but the last one."""

    def last(self) -> bytes: ...


class Chat:
    kinds: ClassVar = ('chat.completion', 'chat.completion.chunk')

    def __init__(self, body: dict[str, Any], said: list[str], *, is_cut: bool, with_usage: bool):
        self._said = said
        self._finish_reason = 'length' if is_cut else 'stop'
        self._with_usage = with_usage
        self._choices = range(self._choices_of(body))
        self._stream_options = body.get('stream_options') or {}
        self._input_tokens = self._read(body)
        self._head = {'id': f'echo-{uuid4().hex}', 'created': int(time.time()), 'model': body['model']}

    @staticmethod
    def check(body: dict[str, Any]) -> None:
        checks.chat(body)
        for number, message in enumerate(body['messages']):
            check_content(message.get('content'), f'messages[{number}].content')

    @staticmethod
    def text_of(body: dict[str, Any]) -> str:
        return last_text(body['messages'])

    @staticmethod
    def most_of(body: dict[str, Any]) -> int | None:
        return body.get('max_completion_tokens') or body.get('max_tokens')

    def whole(self) -> dict[str, Any]:
        choices = [
            {'index': index, 'logprobs': None, 'finish_reason': self._finish_reason}
            | self._saying(''.join(self._said), 'message')
            for index in self._choices
        ]
        answer = self._head | {'object': self.kinds[0], 'choices': choices}
        if self._with_usage:
            answer['usage'] = self._usage(len(self._said) * len(self._choices))
        return answer

    def events(self) -> Iterator[bytes]:
        return (data_event(chunk) for chunk in self._chunks())

    def last(self) -> bytes:
        return b'data: [DONE]\n\n'

    def _chunks(self) -> Iterator[dict[str, Any]]:
        said = 0
        for index in self._choices:
            yield self._chunk(index, '', said)
            for token in self._said:
                said += 1
                yield self._chunk(index, token, said)
            yield self._chunk(index, None, said, self._finish_reason)
        if self._stream_options.get('include_usage') and self._with_usage:
            yield self._head | {'object': self.kinds[1], 'choices': [], 'usage': self._usage(said)}

    def _chunk(self, index: int, text: str | None, said: int, finish_reason: str | None = None) -> dict[str, Any]:
        choice = {'index': index, 'logprobs': None, 'finish_reason': finish_reason} | self._saying(text, 'delta')
        chunk = self._head | {'object': self.kinds[1], 'choices': [choice]}
        if self._stream_options.get('continuous_usage_stats') and self._with_usage:
            chunk['usage'] = self._usage(said)
        return chunk

    def _usage(self, output_tokens: int) -> dict[str, int]:
        return {
            'prompt_tokens': self._input_tokens,
            'completion_tokens': output_tokens,
            'total_tokens': self._input_tokens + output_tokens,
        }

    @staticmethod
    def _choices_of(body: dict[str, Any]) -> int:
        return body.get('n') or 1

    @staticmethod
    def _read(body: dict[str, Any]) -> int:
        return count_input(body)

    @staticmethod
    def _saying(text: str | None, name: str) -> dict[str, Any]:
        if text is None:
            return {name: {}}
        is_first = name == 'message' or not text
        return {name: ({'role': 'assistant'} if is_first else {}) | {'content': text}}


class Completions(Chat):
    kinds: ClassVar = ('text_completion', 'text_completion')

    @staticmethod
    def check(body: dict[str, Any]) -> None:
        checks.completions(body)

    @staticmethod
    def text_of(body: dict[str, Any]) -> str:
        prompt = inputs_of(body['prompt'])[0]
        return prompt if isinstance(prompt, str) else ' '.join(map(str, prompt))

    @staticmethod
    def most_of(body: dict[str, Any]) -> int | None:
        return body.get('max_tokens')

    @staticmethod
    def _choices_of(body: dict[str, Any]) -> int:
        return (body.get('n') or 1) * len(inputs_of(body['prompt']))

    @staticmethod
    def _read(body: dict[str, Any]) -> int:
        prompts = inputs_of(body['prompt'])
        return sum(len(tokens(prompt)) if isinstance(prompt, str) else len(prompt) for prompt in prompts)

    @staticmethod
    def _saying(text: str | None, name: str) -> dict[str, Any]:
        return {'text': text or ''}


def data_event(content: dict[str, Any]) -> bytes:
    return b'data: ' + json.dumps(content).encode() + b'\n\n'


def named_event(content: dict[str, Any]) -> bytes:
    """An event that has its type for a name as well."""
    return f'event: {content["type"]}\n'.encode() + data_event(content)


def check_content(content: Any, param: str) -> None:
    if content is not None and not isinstance(content, str | list):
        raise Invalid('The content of a message must be a text or a list of parts.', param=param)
    for number, part in enumerate(content if isinstance(content, list) else ()):
        if not isinstance(part, str | dict):
            raise Invalid('Each part of a content must be an object.', param=f'{param}[{number}]')
        if isinstance(part, dict) and not isinstance(part.get('text', ''), str):
            raise Invalid('The text of a part must be a text.', param=f'{param}[{number}].text')


def last_text(messages: list[dict[str, Any]]) -> str:
    """What a user said last."""
    for message in reversed(messages):
        if message.get('role') == 'user':
            content = message.get('content')
            if isinstance(content, list):
                return ''.join(str(part.get('text', '')) for part in content if isinstance(part, dict))
            return content if isinstance(content, str) else ''
    return ''
