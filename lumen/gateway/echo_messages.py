"""How the echo model answers `/v1/messages`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

from lumen.errors import Invalid
from lumen.gateway import messages
from lumen.gateway.echo_chat import check_content, last_text, named_event
from lumen.gateway.echo_tokens import count_input


class Messages:
    def __init__(self, body: dict[str, Any], said: list[str], *, is_cut: bool, with_usage: bool):
        self._said = said
        self._stop_reason = 'max_tokens' if is_cut else 'end_turn'
        self._with_usage = with_usage
        self._input_tokens = _read(body)
        self._head = {'id': f'msg_{uuid4().hex}', 'type': 'message', 'role': 'assistant', 'model': body['model']}

    @staticmethod
    def check(body: dict[str, Any]) -> None:
        messages.check(body)
        for number, message in enumerate(_messages(body)):
            check_content(message.get('content'), f'messages[{number}].content')

    @staticmethod
    def text_of(body: dict[str, Any]) -> str:
        return last_text(_messages(body))

    @staticmethod
    def most_of(body: dict[str, Any]) -> int | None:
        return body.get('max_tokens')

    def whole(self) -> dict[str, Any]:
        content = [{'type': 'text', 'text': ''.join(self._said)}]
        answer = self._head | {'content': content, 'stop_reason': self._stop_reason, 'stop_sequence': None}
        if self._with_usage:
            answer['usage'] = {'input_tokens': self._input_tokens, 'output_tokens': len(self._said)}
        return answer

    def events(self) -> Iterator[bytes]:
        begun = self._head | {'content': [], 'stop_reason': None, 'stop_sequence': None}
        ended: dict[str, Any] = {'delta': {'stop_reason': self._stop_reason, 'stop_sequence': None}}
        if self._with_usage:
            begun['usage'] = {'input_tokens': self._input_tokens, 'output_tokens': 1}
            ended['usage'] = {'output_tokens': len(self._said)}
        yield named_event({'type': 'message_start', 'message': begun})
        block = {'type': 'text', 'text': ''}
        yield named_event({'type': 'content_block_start', 'index': 0, 'content_block': block})
        for token in self._said:
            delta = {'type': 'text_delta', 'text': token}
            yield named_event({'type': 'content_block_delta', 'index': 0, 'delta': delta})
        yield named_event({'type': 'content_block_stop', 'index': 0})
        yield named_event({'type': 'message_delta', **ended})

    def last(self) -> bytes:
        return named_event({'type': 'message_stop'})


def counted(body: dict[str, Any], *, with_usage: bool) -> dict[str, Any] | None:
    """How many tokens the body has; None when it is not one that this server understands."""
    try:
        messages.check_counted({'model': 'echo'} | body)
    except Invalid:
        return None
    return {'input_tokens': _read(body)}


def _read(body: dict[str, Any]) -> int:
    return count_input({'messages': _messages(body), 'tools': body.get('tools')})


def _messages(body: dict[str, Any]) -> list[dict[str, Any]]:
    """Those of a chat, with what stands apart here."""
    system = body.get('system')
    return [*([{'role': 'system', 'content': system}] if system else []), *body['messages']]
