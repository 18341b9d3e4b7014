"""What must be right in a body before its call can be bounded. Everything else is the model server's to judge."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lumen.errors import Invalid
from lumen.gateway import content_parts

MAX_CHOICES = 128
MAX_INPUTS = 10_000
MAX_TOKENS = 2**31
UNBOUNDED = (
    'background',
    'conversation',
    'file_ids',
    'kv_transfer_params',
    'models',
    'prediction',
    'previous_response_id',
)
"""Fields that make a server do more than a bound can cover; refused when set. They go on when nobody waits, read what
only the server has, are answered by another model, or are charged as output beyond `max_tokens`.
"""

SAID = frozenset({'role', 'content', 'name'})
LOOKED_AT = frozenset({'model', 'messages'})
CALLED_BY_THE_CALLER = ('function', 'custom')


def chat(body: dict[str, Any]) -> None:
    """Raises Invalid naming the first field of a chat completion that is missing or mistyped."""
    _model(body)
    messages = body.get('messages')
    if not isinstance(messages, list) or not messages:
        raise Invalid('"messages" must be a list with at least one message.', param='messages')
    for number, message in enumerate(messages):
        if not isinstance(message, dict):
            raise Invalid('Each message must be an object.', param=f'messages[{number}]')
    _bounded_messages(messages)
    if body.keys() <= LOOKED_AT:
        return
    for name in ('max_tokens', 'max_completion_tokens'):
        _integer(body, name, 1, MAX_TOKENS)
    for name in ('n', 'best_of'):
        _integer(body, name, 1, MAX_CHOICES)
    _boolean(body, 'stream')
    options = body.get('stream_options')
    if options is not None and not isinstance(options, dict):
        raise Invalid('"stream_options" must be an object.', param='stream_options')
    _boolean(options or {}, 'include_usage', 'stream_options.')
    for name in ('tools', 'functions'):
        if body.get(name) is not None and not isinstance(body[name], list):
            raise Invalid(f'"{name}" must be a list.', param=name)
    _bounded(body)
    _bounded_tools(body.get('tools') or [])


def embeddings(body: dict[str, Any]) -> None:
    """Raises Invalid naming the first field of an embeddings request that is missing or mistyped."""
    _model(body)
    given = body.get('input')
    if not isinstance(given, str):
        if not isinstance(given, list) or not given:
            raise Invalid('"input" must be a text, a list of texts, or token ids.', param='input')
        is_one = _are_tokens(given)
        if not is_one and len(given) > MAX_INPUTS:
            raise Invalid(f'"input" may hold up to {MAX_INPUTS:,} inputs.', param='input')
        if not is_one and not _are_texts(given) and not all(map(_are_tokens, given)):
            raise Invalid(
                'A list of inputs must be all texts, all token ids, or all lists of token ids.',
                param=f'input[{_first_unlike(given)}]',
            )
    _integer(body, 'dimensions', 1, MAX_TOKENS)
    _bounded(body)


def _model(body: dict[str, Any]) -> None:
    if not isinstance(body.get('model'), str) or not body['model']:
        raise Invalid('"model" must be the name of a model.', param='model')


def _bounded(body: dict[str, Any]) -> None:
    for name in UNBOUNDED:
        if body.get(name):
            raise _unbounded(name)


def _bounded_messages(messages: list[dict[str, Any]]) -> None:
    for number, message in enumerate(messages):
        if message.keys() <= SAID and isinstance(message.get('content'), str):
            continue
        for place in content_parts.references(message):
            raise _unbounded(f'messages[{number}].{place}')


def _bounded_tools(tools: list[Any]) -> None:
    """A tool that the model server calls by itself is answered in more rounds than the one that is bounded."""
    for number, tool in enumerate(tools):
        kind = tool.get('type') if isinstance(tool, dict) else None
        if kind is not None and kind not in CALLED_BY_THE_CALLER:
            raise _unbounded(f'tools[{number}].type')


def _unbounded(param: str) -> Invalid:
    return Invalid(f'"{param}" is not supported: what it costs cannot be bounded.', param=param)


def _are_texts(given: list[Any]) -> bool:
    return set(map(type, given)) == {str}


def _are_tokens(given: Any) -> bool:
    """Whether it is a list of token ids, of which there may be millions."""
    return isinstance(given, list) and set(map(type, given)) <= {int} and min(given, default=0) >= 0


def _first_unlike(given: list[Any]) -> int:
    """The first item of a list that is not what the first one is, or the first when that is nothing to embed."""
    kinds: tuple[Callable[[Any], bool], ...] = (
        lambda item: isinstance(item, str),
        lambda item: _are_tokens([item]),
        _are_tokens,
    )
    is_kind = next((kind for kind in kinds if kind(given[0])), None)
    return next((number for number, item in enumerate(given) if is_kind is None or not is_kind(item)), 0)


def _integer(body: dict[str, Any], name: str, least: int, most: int) -> None:
    value = body.get(name)
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise Invalid(f'"{name}" must be a whole number from {least} to {most}.', param=name)


def _boolean(body: dict[str, Any], name: str, within: str = '') -> None:
    if body.get(name) is not None and not isinstance(body[name], bool):
        raise Invalid(f'"{within}{name}" must be true or false.', param=f'{within}{name}')
