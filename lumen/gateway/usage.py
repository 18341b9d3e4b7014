"""What a call used: what the model server reports, or an estimate from what was seen of its answer."""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple, TypeGuard

import msgspec

from lumen.coins import Price
from lumen.config.settings import MOST_AUDIO_SECONDS, Model
from lumen.gateway.bounds import FREE_CONTEXT, Bound, length_of

MOST_TOKENS = 10**9
NONSENSE = 10
"""A report of more than MOST_TOKENS, or of so many times what the model can take, is nonsense and counts as none.

One of less, beyond the bound, is believed: the endpoint exceeded it.
"""

TEXTS = frozenset({'content', 'reasoning', 'reasoning_content', 'refusal', 'text'})
NAMES = '|'.join(sorted(TEXTS)).encode()
GENERATED = re.compile(rb'"(?:%b|name|arguments)"\s*:\s*"([^"\\]*(?:\\.[^"\\]*)*)"' % NAMES)


class Usage(NamedTuple):
    """Tokens of a whole call, and microseconds of audio where those are known. Not all who tell these tell tokens."""

    input_tokens: int
    output_tokens: int
    audio_us: int | None = None
    has_tokens: bool = True


class _Function(msgspec.Struct):
    name: str | None = None
    arguments: str | None = None


class _ToolCall(msgspec.Struct):
    function: _Function | None = None


class _Delta(msgspec.Struct):
    content: str | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None
    refusal: str | None = None
    text: str | None = None
    tool_calls: list[_ToolCall] | None = None
    function_call: _Function | None = None


class _Choice(msgspec.Struct):
    delta: _Delta | None = None
    text: str | None = None


class _TextChunk(msgspec.Struct):
    """What nearly all chunks of a stream are: some text. Whatever is shaped otherwise is looked at with patience."""

    choices: list[_Choice]
    usage: Any = None
    error: Any = None


_text_chunk = msgspec.json.Decoder(_TextChunk).decode


def reported(answer: dict[str, Any], before: Usage | None = None) -> Usage | None:
    """The usage in an answer or a chunk; None when it has none, or one that cannot be. It counts from the start."""
    usage = answer.get('usage')
    if not isinstance(usage, dict):
        return None
    read, written = usage.get('prompt_tokens'), usage.get('completion_tokens')
    return Usage(read, written) if is_count(read) and is_count(written) else None


def reported_input(answer: dict[str, Any], before: Usage | None = None) -> Usage | None:
    """The usage in an answer that generates nothing, where a model server may leave the output out."""
    usage = answer.get('usage')
    read = usage.get('prompt_tokens') if isinstance(usage, dict) else None
    return Usage(read, 0) if is_count(read) else None


def is_error(answer: dict[str, Any]) -> bool:
    """Whether an answer or a chunk is nothing but the report of an error, in OpenAI's shape or that of older vLLM."""
    is_told = bool(answer.get('error')) or answer.get('object') == 'error'
    return is_told and not answer.get('choices') and not answer.get('data')


def is_nonsense(found: Usage, bound: Bound, model: Model) -> bool:
    """Whether no model server can have used so much on this call."""
    window = model.context_window or FREE_CONTEXT
    most_input, most_output = max(window, bound.input), window * bound.choices
    if found.audio_us is not None and found.audio_us > NONSENSE * longest_audio_us(model):
        return True
    return found.input_tokens > NONSENSE * most_input or found.output_tokens > NONSENSE * most_output


def tells_the_cost(found: Usage, bound: Bound, price: Price) -> bool:
    """Whether it says what is charged: the duration of audio that costs by that, tokens otherwise."""
    return found.audio_us is not None if bound.audio_us else found.has_tokens or price.is_free


def longest_audio_us(model: Model) -> int:
    """The longest audio that one call can bring, in microseconds."""
    return 1_000_000 * (model.max_audio_seconds or MOST_AUDIO_SECONDS)


def generated_bytes(answer: dict[str, Any]) -> int:
    """The UTF-8 bytes of all text that an answer or a chunk carries, tool calls included."""
    choices = answer.get('choices')
    total = 0
    for choice in choices if isinstance(choices, list) else ():
        if not isinstance(choice, dict):
            continue
        part = choice.get('delta') or choice.get('message') or choice
        if isinstance(part, dict):
            for name, value in part.items():
                if name in TEXTS:
                    total += bytes_of(value)
                elif name == 'tool_calls':
                    total += _calls_length(value)
                elif name == 'function_call':
                    total += _calls_length([{'function': value}])
    return total


def generated_bytes_of_text(chunk: bytes) -> int | None:
    """The same of a chunk as JSON text; None when it is not known to be text alone, without usage or an error."""
    try:
        found = _text_chunk(chunk)
    except (ValueError, RecursionError):
        return None
    if found.usage is not None or found.error is not None:
        return None
    total = 0
    for choice in found.choices:
        delta = choice.delta
        if delta is None:
            if choice.text is None:
                return None
            total += bytes_of(choice.text)
            continue
        for text in (delta.content, delta.reasoning, delta.reasoning_content, delta.refusal, delta.text):
            if text:
                total += len(text) if text.isascii() else len(text.encode())
        if delta.tool_calls or delta.function_call:
            for function in (*(call.function for call in delta.tool_calls or ()), delta.function_call):
                if function is not None:
                    total += bytes_of(function.name) + bytes_of(function.arguments)
    return total


def generated_bytes_in(events: bytes) -> int:
    """The same of many events at once, as JSON text, without parsing it: its strings under those names."""
    total = 0
    for text in GENERATED.findall(events):
        total += len(text) if b'\\' not in text else bytes_of(json.loads(b'"%b"' % text))
    return total


def is_count(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MOST_TOKENS


def _calls_length(calls: Any) -> int:
    total = 0
    for call in calls if isinstance(calls, list) else ():
        function = call.get('function') if isinstance(call, dict) else None
        if isinstance(function, dict):
            total += bytes_of(function.get('name')) + bytes_of(function.get('arguments'))
    return total


def bytes_of(text: Any) -> int:
    """Those of a text; none of anything else."""
    return length_of(text) if isinstance(text, str) else 0
