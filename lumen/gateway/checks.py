"""What must be right in a body before its call can be bounded. Everything else is the model server's to judge."""

from __future__ import annotations

from collections.abc import Callable, Iterable
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
    names_model(body)
    objects(body, 'messages', 'message')
    bounded_messages(body['messages'], 'messages')
    if body.keys() <= LOOKED_AT:
        return
    for name in ('max_tokens', 'max_completion_tokens'):
        integer(body, name, 1, MAX_TOKENS)
    for name in ('n', 'best_of'):
        integer(body, name, 1, MAX_CHOICES)
    streams(body)
    for name in ('tools', 'functions'):
        is_list(body, name)
    bounded(body)
    bounded_tools(body.get('tools') or [])


def embeddings(body: dict[str, Any]) -> None:
    """Raises Invalid naming the first field of an embeddings request that is missing or mistyped."""
    names_model(body)
    inputs(body, 'input')
    integer(body, 'dimensions', 1, MAX_TOKENS)
    bounded(body)


def completions(body: dict[str, Any]) -> None:
    """Raises Invalid naming the first field of a completion that is missing or mistyped."""
    names_model(body)
    inputs(body, 'prompt')
    integer(body, 'max_tokens', 0, MAX_TOKENS)  # none: only the prompt is rated, with `echo` and `logprobs`
    for name in ('n', 'best_of'):
        integer(body, name, 1, MAX_CHOICES)
    streams(body)
    bounded(body)


def inputs(body: dict[str, Any], name: str) -> None:
    """What is read: a text, token ids, or a list of either."""
    given = body.get(name)
    if isinstance(given, str):
        return
    if not isinstance(given, list) or not given:
        raise Invalid(f'"{name}" must be a text, a list of texts, or token ids.', param=name)
    is_one = are_tokens(given)
    if not is_one and len(given) > MAX_INPUTS:
        raise Invalid(f'"{name}" may hold up to {MAX_INPUTS:,} inputs.', param=name)
    if not is_one and not are_texts(given) and not all(map(are_tokens, given)):
        raise Invalid(
            'A list of inputs must be all texts, all token ids, or all lists of token ids.',
            param=f'{name}[{first_unlike(given)}]',
        )


def streams(body: dict[str, Any]) -> None:
    """Whether it is answered as a stream, and with what besides."""
    boolean(body, 'stream')
    options = body.get('stream_options')
    if options is not None and not isinstance(options, dict):
        raise Invalid('"stream_options" must be an object.', param='stream_options')
    boolean(options or {}, 'include_usage', 'stream_options.')


def objects(body: dict[str, Any], name: str, what: str) -> None:
    """A list of at least one object, each of which is a `what`."""
    given = body.get(name)
    if not isinstance(given, list) or not given:
        raise Invalid(f'"{name}" must be a list with at least one {what}.', param=name)
    for number, item in enumerate(given):
        if not isinstance(item, dict):
            raise Invalid(f'Each {what} must be an object.', param=f'{name}[{number}]')


def names_model(body: dict[str, Any]) -> None:
    if not isinstance(body.get('model'), str) or not body['model']:
        raise Invalid('"model" must be the name of a model.', param='model')


def is_list(body: dict[str, Any], name: str) -> None:
    if body.get(name) is not None and not isinstance(body[name], list):
        raise Invalid(f'"{name}" must be a list.', param=name)


def bounded(body: dict[str, Any], more: Iterable[str] = ()) -> None:
    for name in (*UNBOUNDED, *more):
        if body.get(name):
            raise unbounded(name)


def bounded_messages(messages: list[dict[str, Any]], name: str) -> None:
    for number, message in enumerate(messages):
        if message.keys() <= SAID and isinstance(message.get('content'), str):
            continue
        for place in content_parts.references(message):
            raise unbounded(f'{name}[{number}].{place}')


def bounded_tools(tools: list[Any]) -> None:
    """A tool that the model server calls by itself is answered in more rounds than the one that is bounded."""
    for number, tool in enumerate(tools):
        kind = tool.get('type') if isinstance(tool, dict) else None
        if kind is not None and kind not in CALLED_BY_THE_CALLER:
            raise unbounded(f'tools[{number}].type')


def unbounded(param: str) -> Invalid:
    return Invalid(f'"{param}" is not supported: what it costs cannot be bounded.', param=param)


def are_texts(given: list[Any]) -> bool:
    return set(map(type, given)) == {str}


def are_tokens(given: Any) -> bool:
    """Whether it is a list of token ids, of which there may be millions."""
    return isinstance(given, list) and set(map(type, given)) <= {int} and min(given, default=0) >= 0


def first_unlike(given: list[Any]) -> int:
    """The first item of a list that is not what the first one is, or the first when that is nothing to embed."""
    kinds: tuple[Callable[[Any], bool], ...] = (
        lambda item: isinstance(item, str),
        lambda item: are_tokens([item]),
        are_tokens,
    )
    is_kind = next((kind for kind in kinds if kind(given[0])), None)
    return next((number for number, item in enumerate(given) if is_kind is None or not is_kind(item)), 0)


def integer(body: dict[str, Any], name: str, least: int, most: int) -> None:
    value = body.get(name)
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise Invalid(f'"{name}" must be a whole number from {least} to {most}.', param=name)


def boolean(body: dict[str, Any], name: str, within: str = '') -> None:
    if body.get(name) is not None and not isinstance(body[name], bool):
        raise Invalid(f'"{within}{name}" must be true or false.', param=f'{within}{name}')
