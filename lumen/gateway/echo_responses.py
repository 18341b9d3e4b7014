"""How the echo model answers `/v1/responses`."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

from lumen.gateway import responses
from lumen.gateway.echo_chat import check_content, last_text, named_event
from lumen.gateway.echo_tokens import count_input


class Responses:
    def __init__(self, body: dict[str, Any], said: list[str], *, is_cut: bool, with_usage: bool):
        self._said = said
        self._status = 'incomplete' if is_cut else 'completed'
        self._with_usage = with_usage
        self._input_tokens = count_input({'messages': _messages(body), 'tools': body.get('tools')})
        self._item_id = f'msg_{uuid4().hex}'
        self._numbers = 0
        self._head = {
            'id': f'resp_{uuid4().hex}',
            'object': 'response',
            'created_at': int(time.time()),
            'model': body['model'],
            'error': None,
            'parallel_tool_calls': True,
            'tool_choice': 'auto',
            'tools': body.get('tools') or [],
            'store': body.get('store'),
        }

    @staticmethod
    def check(body: dict[str, Any]) -> None:
        responses.check(body)
        for number, message in enumerate(_messages(body)):
            check_content(message.get('content'), f'input[{number}].content')

    @staticmethod
    def text_of(body: dict[str, Any]) -> str:
        return last_text(_messages(body))

    @staticmethod
    def most_of(body: dict[str, Any]) -> int | None:
        return body.get('max_output_tokens')

    def whole(self) -> dict[str, Any]:
        details = {'reason': 'max_output_tokens'} if self._status == 'incomplete' else None
        answer = self._head | {
            'status': self._status,
            'incomplete_details': details,
            'output': [self._item(''.join(self._said), self._status)],
        }
        if self._with_usage:
            answer['usage'] = {
                'input_tokens': self._input_tokens,
                'input_tokens_details': {'cached_tokens': 0},
                'output_tokens': len(self._said),
                'output_tokens_details': {'reasoning_tokens': 0},
                'total_tokens': self._input_tokens + len(self._said),
            }
        return answer

    def events(self) -> Iterator[bytes]:
        begun = self._head | {'status': 'in_progress', 'output': []}
        yield self._event('response.created', response=begun)
        yield self._event('response.output_item.added', output_index=0, item=self._item('', 'in_progress', []))
        where = {'item_id': self._item_id, 'output_index': 0, 'content_index': 0}
        yield self._event('response.content_part.added', **where, part=_part(''))
        for token in self._said:
            yield self._event('response.output_text.delta', **where, delta=token, logprobs=[])
        text = ''.join(self._said)
        yield self._event('response.output_text.done', **where, text=text, logprobs=[])
        yield self._event('response.content_part.done', **where, part=_part(text))
        yield self._event('response.output_item.done', output_index=0, item=self._item(text, self._status))

    def last(self) -> bytes:
        return self._event(f'response.{self._status}', response=self.whole())

    def _event(self, kind: str, **more: Any) -> bytes:
        number, self._numbers = self._numbers, self._numbers + 1
        return named_event({'type': kind, 'sequence_number': number, **more})

    def _item(self, text: str, status: str, content: list[Any] | None = None) -> dict[str, Any]:
        return {
            'id': self._item_id,
            'type': 'message',
            'role': 'assistant',
            'status': status,
            'content': [_part(text)] if content is None else content,
        }


def _part(text: str) -> dict[str, Any]:
    return {'type': 'output_text', 'text': text, 'annotations': []}


def _messages(body: dict[str, Any]) -> list[dict[str, Any]]:
    """The input as those of a chat."""
    given = body['input']
    items = [{'role': 'user', 'content': given}] if isinstance(given, str) else given
    said = [item if 'content' in item else item | {'content': item.get('output')} for item in items]
    system = body.get('instructions')
    return [{'role': 'system', 'content': system}, *said] if isinstance(system, str) else said
