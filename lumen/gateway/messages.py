"""`/v1/messages` in Anthropic's shape: what a request must be, may cost, and what its answer tells.

Source: Anthropic's API reference, *Messages*. vLLM and others speak it, too.
"""

from __future__ import annotations

import json
from typing import Any

from lumen.config.settings import Model
from lumen.errors import Invalid, LumenError
from lumen.gateway import bounds, checks
from lumen.gateway.bounds import TOKENS_PER_MESSAGE, TOKENS_PER_TOOL, Bound
from lumen.gateway.usage import Usage, bytes_of, is_count, is_error

ELSEWHERE = ('mcp_servers', 'container')
"""Fields with which the server calls what is not in the request, besides those that are so in every call."""

CALLED_BY_THE_CALLER = ('bash_', 'text_editor_', 'computer_', 'memory_')
"""Tools that the caller runs, and the model server describes to the model in words of its own."""

APART = bounds.NOT_PROMPT | {'messages', 'max_tokens', 'temperature', 'top_p', 'top_k', 'stop_sequences'}
TEXTS = frozenset({'redacted_thinking', 'tool_use'})
"""Blocks that are nothing but their text, besides those of every call."""

TOKENS_FOR_TOOLS = 1024
"""What a model server says to the model when there are tools, at most."""

VERSION = b'anthropic-version'
HEADERS = {VERSION: '2023-06-01'}
READ = ('input_tokens', 'cache_creation_input_tokens', 'cache_read_input_tokens')
TYPES = {
    400: 'invalid_request_error',
    401: 'authentication_error',
    403: 'permission_error',
    404: 'not_found_error',
    405: 'invalid_request_error',
    408: 'invalid_request_error',
    409: 'invalid_request_error',
    413: 'request_too_large',
    429: 'rate_limit_error',
    503: 'overloaded_error',
    504: 'timeout_error',
}


def check(body: dict[str, Any]) -> None:
    """Raises Invalid naming the first field that is missing, mistyped, or of which nobody knows what it costs."""
    check_counted(body)
    if body.get('max_tokens') is None:
        raise Invalid('"max_tokens" must say how many tokens the answer may have.', param='max_tokens')
    checks.integer(body, 'max_tokens', 1, checks.MAX_TOKENS)
    checks.boolean(body, 'stream')


def check_counted(body: dict[str, Any]) -> None:
    """The same of a request whose tokens are to be counted."""
    checks.names_model(body)
    checks.objects(body, 'messages', 'message')
    checks.bounded_messages(body['messages'], 'messages')
    system = body.get('system')
    if system is not None and not isinstance(system, str):
        checks.objects(body, 'system', 'block')
        checks.bounded_messages([{'content': system}], 'system')
    checks.is_list(body, 'tools')
    checks.bounded(body, ELSEWHERE)
    for number, tool in enumerate(body.get('tools') or []):
        if not _is_custom(tool) and not tool['type'].startswith(CALLED_BY_THE_CALLER):
            raise checks.unbounded(f'tools[{number}].type')


def bound(body: dict[str, Any], model: Model) -> Bound:
    """The bound of a checked request."""
    messages, tools = body['messages'], bounds.as_list(body.get('tools'))
    text_bytes = bounds.bytes_of_text({name: value for name, value in body.items() if name not in APART | {'system'}})
    images = 0
    reads_more = bounds.may_read_more(body) or not all(map(_is_custom, tools))
    for message in (*messages, {'content': body.get('system')}):
        more_bytes, more_images, is_all_known = _of_blocks(message.get('content'))
        text_bytes += more_bytes
        images += more_images
        reads_more = reads_more or not is_all_known
    window = model.context_window or bounds.FREE_CONTEXT
    most = (
        text_bytes
        + images * model.max_image_tokens
        + TOKENS_PER_MESSAGE * (len(messages) + 2)
        + (TOKENS_FOR_TOOLS + TOKENS_PER_TOOL * len(tools) if tools else 0)
    )
    return Bound(
        input=window if reads_more else min(most, window),
        output=bounds.most_output(body, model, 'max_tokens'),
        choices=1,
        text_bytes=text_bytes,
        images=images,
        reads_more=reads_more,
    )


def bound_counted(body: dict[str, Any], model: Model) -> Bound:
    """To have tokens counted costs nothing."""
    return Bound(input=0, output=0, choices=1, text_bytes=0, images=0)


def reported(found: dict[str, Any], before: Usage | None) -> Usage | None:
    """The usage in an answer or an event: the first of a stream tells what was read, later ones what was written."""
    message = found.get('message')
    usage = message.get('usage') if isinstance(message, dict) else found.get('usage')
    if not isinstance(usage, dict):
        return None
    counts = [usage[name] for name in READ if is_count(usage.get(name))]
    written = usage.get('output_tokens')
    if before is not None:  # some servers repeat what was read, others say that it was none
        counts = [max(before.input_tokens, sum(counts))]
        written = before.output_tokens if written is None else written
    return Usage(sum(counts), written) if counts and is_count(written) else None


def reported_counted(found: dict[str, Any], before: Usage | None) -> Usage | None:
    return Usage(0, 0)


def generated(found: dict[str, Any]) -> int:
    """The UTF-8 bytes of the text that an answer or an event of a stream brings."""
    if isinstance(delta := found.get('delta'), dict):
        return sum(bytes_of(delta.get(name)) for name in ('text', 'thinking', 'partial_json'))
    if isinstance(block := found.get('content_block'), dict):
        return bytes_of(block.get('name'))
    total = 0
    for block in bounds.as_list(found.get('content')):
        if isinstance(block, dict):
            total += sum(bytes_of(block.get(name)) for name in ('text', 'thinking', 'name'))
            total += bounds.bytes_of_text(block.get('input'))
    return total


def has_failed(found: dict[str, Any]) -> bool:
    return found.get('type') == 'error' or is_error(found)


def is_last(event: dict[str, Any]) -> bool:
    return event.get('type') == 'message_stop'


def error_body(error: LumenError) -> bytes:
    """The error as JSON."""
    said = {'type': TYPES.get(error.status, 'api_error'), 'message': error.message, 'code': error.code}
    return json.dumps({'type': 'error', 'error': said}, ensure_ascii=False).encode('utf-8', 'replace')


def error_event(error: LumenError, number: int) -> bytes:
    """How a stream says that it ends here."""
    return b'event: error\ndata: ' + error_body(error) + b'\n\n'


def _is_custom(tool: Any) -> bool:
    """Whether the request says all there is to say of the tool."""
    kind = tool.get('type') if isinstance(tool, dict) else None
    return not isinstance(kind, str) or kind == 'custom'


def _of_blocks(content: Any) -> tuple[int, int, bool]:
    """The bytes of text in a content, how many images it holds, and whether that is all that it holds."""
    if not isinstance(content, list):
        return bounds.of_messages([{'content': content}])
    text_bytes = images = 0
    is_all_known = True
    for block in content:
        kind = block.get('type') if isinstance(block, dict) else None
        if kind in TEXTS:
            text_bytes += bounds.bytes_of_text(block)
            continue
        if kind == 'tool_result':
            found = _of_blocks(block.get('content'))
        else:
            found = bounds.of_messages([{'content': [block]}])
        text_bytes += found[0]
        images += found[1]
        is_all_known = is_all_known and found[2]
    return text_bytes, images, is_all_known
