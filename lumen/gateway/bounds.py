"""The most tokens that a call can read and write, worked out before it starts."""

from __future__ import annotations

from typing import Any, NamedTuple

from lumen.config.settings import Model
from lumen.gateway.content_parts import PICTURES, kind_of, parts_of

TOKENS_PER_MESSAGE = 16
TOKENS_PER_TOOL = 64
TOKENS_PER_SCALAR = 8
"""Allowances for what a chat template puts around the text."""

NOT_PROMPT = frozenset({'model', 'stream', 'stream_options', 'user', 'metadata', 'store', 'seed', 'safety_identifier'})
NOT_EMBEDDED = NOT_PROMPT | {'input', 'dimensions', 'encoding_format'}
NOT_COMPLETED = NOT_PROMPT | {
    'prompt',
    'max_tokens',
    'n',
    'best_of',
    'temperature',
    'top_p',
    'logprobs',
    'echo',
    'stop',
}
MEASURED_APART = NOT_PROMPT | {'messages', 'chat_template_kwargs'}
READS_MORE = frozenset(
    {
        'chat_template',
        'data_sources',
        'media_io_kwargs',
        'mm_processor_kwargs',
        'plugins',
        'search_parameters',
        'web_search_options',
    }
)
"""Fields with which a model server reads more than it was sent: it repeats it, searches, or cuts media finer."""

FREE_CONTEXT = 1_000_000
FREE_OUTPUT = 1_000_000
"""For a model without a price, of which no limits need to be known."""


class Bound(NamedTuple):
    """Tokens. `output` is for each of the `choices`.

    An expectation is scaled by `text_bytes`; `token_ids` are input that the caller cut into tokens already. Of what
    `reads_more` the size tells nothing: the bound is the whole context window.
    """

    input: int
    output: int
    choices: int
    text_bytes: int
    images: int
    token_ids: int = 0
    reads_more: bool = False
    upload_bytes: int = 0
    audio_us: int = 0
    """Microseconds, where audio costs by its duration."""


def of_chat(body: dict[str, Any], model: Model) -> Bound:
    """The bound of a checked chat completion.

    A token stands for at least one byte of text, so bytes bound tokens; an image counts `max_image_tokens`. What a
    message holds besides text and images, and a template of the caller's own, may fill the context window.
    """
    messages, told = body['messages'], body.get('chat_template_kwargs')
    text_bytes, images, is_all_known = of_messages(messages)
    told_bytes = items = 0
    reads_more = not is_all_known
    if others := body.keys() - MEASURED_APART:
        text_bytes += bytes_of_text({name: body[name] for name in others})
        items = sum(len(as_list(body.get(name))) for name in ('tools', 'functions', 'documents'))
        reads_more = reads_more or may_read_more(body)
    if told is not None:
        told_bytes = bytes_of_text(told)
        text_bytes += told_bytes
        reads_more = reads_more or (isinstance(told, dict) and may_read_more(told))
    most = (
        text_bytes
        + told_bytes * len(messages)  # a template may say it with each message
        + images * model.max_image_tokens
        + TOKENS_PER_MESSAGE * (len(messages) + 1)
        + TOKENS_PER_TOOL * items
    )
    window = model.context_window or FREE_CONTEXT
    return Bound(
        input=window if reads_more else min(most, window),
        output=most_output(body, model, 'max_tokens', 'max_completion_tokens'),
        choices=max(body.get('n') or 1, body.get('best_of') or 1),
        text_bytes=text_bytes,
        images=images,
        reads_more=reads_more,
    )


def of_embeddings(body: dict[str, Any], model: Model) -> Bound:
    """The bound of a checked embeddings request: each of its inputs is read within the context window by itself.

    A field that Lumen does not know may be an instruction that the model server puts before every input.
    """
    reads_more = may_read_more(body) or bool(body.get('messages'))  # some servers embed these instead
    return of_inputs(body, 'input', NOT_EMBEDDED, model, reads_more)


def of_completions(body: dict[str, Any], model: Model) -> Bound:
    """The bound of a checked completion: each of its prompts is read by itself, and gets all the choices."""
    bound = of_inputs(body, 'prompt', NOT_COMPLETED, model, may_read_more(body))
    prompts, choices = len(inputs_of(body['prompt'])), max(body.get('n') or 1, body.get('best_of') or 1)
    return bound._replace(output=most_output(body, model, 'max_tokens'), choices=prompts * choices)


def of_inputs(body: dict[str, Any], name: str, apart: frozenset[str], model: Model, reads_more: bool) -> Bound:
    """That of what is read as inputs, each within the context window. What is not `apart` may be said with each."""
    window = model.context_window or FREE_CONTEXT
    inputs = inputs_of(body[name])
    more = bytes_of_text({name: value for name, value in body.items() if name not in apart})
    texts = [length_of(item) for item in inputs if isinstance(item, str)]
    token_ids = [len(item) for item in inputs if isinstance(item, list)]
    sizes = [window] * len(inputs) if reads_more else [*texts, *token_ids]
    return Bound(
        input=sum(min(size + more + TOKENS_PER_MESSAGE, window) for size in sizes),
        output=0,
        choices=1,
        text_bytes=sum(texts) + more * len(inputs),
        images=0,
        token_ids=sum(token_ids),
        reads_more=reads_more,
    )


def most_output(body: dict[str, Any], model: Model, *limits: str) -> int:
    """The most tokens of one answer: what the model writes at most, or less where one of the `limits` says so."""
    output = min(model.max_output_tokens or FREE_OUTPUT, model.context_window or FREE_CONTEXT)
    for name in limits:
        if (stated := body.get(name)) is not None:
            output = min(output, stated)
    return output


def inputs_of(given: Any) -> list[Any]:
    """What is embedded: texts, or lists of token ids. One list of token ids is one input."""
    return [given] if isinstance(given, str) or isinstance(given[0], int) else given


def of_messages(messages: list[dict[str, Any]]) -> tuple[int, int, bool]:
    """The bytes of text in the messages, how many images they hold, and whether that is all that they hold."""
    text_bytes = images = 0
    is_all_known = True
    for message in messages:
        for name, value in message.items():
            text_bytes += length_of(name)
            if isinstance(value, str):
                text_bytes += length_of(value)
            elif name != 'content':
                text_bytes += bytes_of_text(value)
        if isinstance(message.get('content'), str):
            continue
        for part in parts_of(message):
            kind = kind_of(part)
            if kind == 'image':
                images += 1
                text_bytes += bytes_of_text({name: value for name, value in part.items() if name not in PICTURES})
            elif kind == 'text':
                text_bytes += bytes_of_text(part)
            else:
                is_all_known = False
    return text_bytes, images, is_all_known


def may_read_more(fields: dict[str, Any]) -> bool:
    return not READS_MORE.isdisjoint(fields) and any(fields.get(name) is not None for name in READS_MORE)


def bytes_of_text(value: Any) -> int:
    """The UTF-8 bytes of all text in `value`, names included, and an allowance for each number."""
    found = 0
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, str):
            found += length_of(item)
        elif isinstance(item, dict):
            found += sum(map(length_of, item))
            waiting.extend(item.values())
        elif isinstance(item, list):
            waiting.extend(item)
        elif item is not None:
            found += TOKENS_PER_SCALAR
    return found


def length_of(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode('utf-8', 'surrogatepass'))


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
