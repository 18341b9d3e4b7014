"""`/v1/responses` without state on the server: what a request must be, may cost, and what its answer tells.

Source: OpenAI's API reference, *Responses*. vLLM and others speak it, too.
"""

from __future__ import annotations

import json
from typing import Any

from lumen.config.settings import Model
from lumen.errors import Invalid, LumenError
from lumen.gateway import bounds, checks, content_parts
from lumen.gateway.bounds import TOKENS_PER_MESSAGE, TOKENS_PER_TOOL, Bound
from lumen.gateway.usage import Usage, bytes_of, is_count, is_error

STATEFUL = ('prompt',)
"""What stands for something that only the model server has, besides what is so in every call."""

APART = bounds.NOT_PROMPT | {'input', 'max_output_tokens', 'include', 'temperature', 'top_p', 'truncation'}
MESSAGES = frozenset({None, 'message'})
SAID = frozenset({'function_call', 'custom_tool_call', 'reasoning'})
"""Items that are nothing but their text."""

OUTPUTS = frozenset({'function_call_output', 'custom_tool_call_output'})
LAST = frozenset({'response.completed', 'response.incomplete'})
FAILED = frozenset({'error', 'response.failed'})


def check(body: dict[str, Any]) -> None:
    """Raises Invalid naming the first field that is missing, mistyped, or of which nobody knows what it costs."""
    checks.names_model(body)
    if not isinstance(body.get('input'), str):
        checks.objects(body, 'input', 'item')
        for number, item in enumerate(body['input']):
            _check_item(item, f'input[{number}]')
    checks.integer(body, 'max_output_tokens', 1, checks.MAX_TOKENS)
    checks.boolean(body, 'stream')
    checks.boolean(body, 'store')
    if body.get('store'):
        raise Invalid('Lumen keeps no answers: leave "store" out, or say false.', param='store')
    checks.is_list(body, 'tools')
    checks.bounded(body, STATEFUL)
    checks.bounded_tools(body.get('tools') or [])


def bound(body: dict[str, Any], model: Model) -> Bound:
    """The bound of a checked request."""
    given = body['input']
    items = [{'content': given}] if isinstance(given, str) else given
    text_bytes = bounds.bytes_of_text({name: value for name, value in body.items() if name not in APART})
    images = 0
    reads_more = bounds.may_read_more(body)
    for item in items:
        more_bytes, more_images, is_all_known = _of_item(item)
        text_bytes += more_bytes
        images += more_images
        reads_more = reads_more or not is_all_known
    window = model.context_window or bounds.FREE_CONTEXT
    tools = len(bounds.as_list(body.get('tools')))
    most = (
        text_bytes + images * model.max_image_tokens + TOKENS_PER_MESSAGE * (len(items) + 2) + TOKENS_PER_TOOL * tools
    )
    return Bound(
        input=window if reads_more else min(most, window),
        output=bounds.most_output(body, model, 'max_output_tokens'),
        choices=1,
        text_bytes=text_bytes,
        images=images,
        reads_more=reads_more,
    )


def reported(found: dict[str, Any], before: Usage | None) -> Usage | None:
    """The usage in an answer, or in the event that has the whole of it."""
    answer = found.get('response') if 'response' in found else found
    usage = answer.get('usage') if isinstance(answer, dict) else None
    if not isinstance(usage, dict):
        return None
    read, written = usage.get('input_tokens'), usage.get('output_tokens')
    return Usage(read, written) if is_count(read) and is_count(written) else None


def generated(found: dict[str, Any]) -> int:
    """The UTF-8 bytes of the text that an answer or an event of a stream brings; what an event repeats is none."""
    kind = found.get('type')
    if not isinstance(kind, str):
        return sum(map(_written, bounds.as_list(found.get('output'))))
    if kind.endswith('.delta'):
        return bytes_of(found.get('delta'))
    if kind == 'response.output_item.added':
        item = found.get('item')
        return bytes_of(item.get('name')) if isinstance(item, dict) else 0
    return 0


def has_failed(found: dict[str, Any]) -> bool:
    return found.get('type') in FAILED or found.get('status') == 'failed' or is_error(found)


def is_last(event: dict[str, Any]) -> bool:
    return event.get('type') in LAST


def error_event(error: LumenError, number: int) -> bytes:
    """How a stream says that it ends here. `number` is that of the event."""
    said = {
        'type': 'error',
        'code': error.code,
        'message': error.message,
        'param': error.param,
        'sequence_number': number,
    }
    return b'event: error\ndata: ' + json.dumps(said, ensure_ascii=False).encode('utf-8', 'replace') + b'\n\n'


def _check_item(item: dict[str, Any], place: str) -> None:
    if item.get('type') == 'item_reference':
        raise checks.unbounded(f'{place}.type')
    for content in (item, {'content': item.get('output')}):
        for name in content_parts.references(content):
            raise checks.unbounded(f'{place}.{name}')


def _of_item(item: dict[str, Any]) -> tuple[int, int, bool]:
    """As `bounds.of_messages`."""
    kind = item.get('type')
    if kind in MESSAGES:
        return bounds.of_messages([item])
    if kind in SAID:
        return bounds.bytes_of_text(item), 0, True
    if kind in OUTPUTS:
        return bounds.of_messages([{**item, 'content': item.get('output'), 'output': None}])
    return bounds.bytes_of_text(item), 0, False


def _written(item: Any) -> int:
    if not isinstance(item, dict):
        return 0
    parts = [*bounds.as_list(item.get('content')), *bounds.as_list(item.get('summary'))]
    texts = [part.get(name) for part in parts if isinstance(part, dict) for name in ('text', 'refusal')]
    return sum(map(bytes_of, (item.get('name'), item.get('arguments'), item.get('input'), *texts)))
