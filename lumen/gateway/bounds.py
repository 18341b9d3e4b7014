"""The most tokens that a call can read and write, worked out before it starts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lumen.config.settings import Model

TOKENS_PER_MESSAGE = 16
TOKENS_PER_TOOL = 64
TOKENS_PER_SCALAR = 8
"""Allowances for what a chat template puts around the text."""

NOT_PROMPT = frozenset({'model', 'stream', 'stream_options', 'user', 'metadata', 'store', 'seed', 'safety_identifier'})
NOT_EMBEDDED = NOT_PROMPT | {'input', 'dimensions', 'encoding_format'}
FREE_CONTEXT = 1_000_000
FREE_OUTPUT = 1_000_000
"""For a model without a price, of which no limits need to be known."""


@dataclass(frozen=True, slots=True)
class Bound:
    """Tokens. `output` is for each of the `choices`.

    An expectation is scaled by `text_bytes`; `token_ids` are input that the caller cut into tokens already.
    """

    input: int
    output: int
    choices: int
    text_bytes: int
    images: int
    token_ids: int = 0


def of_chat(body: dict[str, Any], model: Model) -> Bound:
    """The bound of a checked chat completion.

    A token stands for at least one byte of text, so bytes bound tokens; an image counts `max_image_tokens`.
    """
    text_bytes, images = _measure({name: value for name, value in body.items() if name not in NOT_PROMPT})
    tools = len(body.get('tools') or ()) + len(_as_list(body.get('functions')))
    most = (
        text_bytes
        + images * model.max_image_tokens
        + TOKENS_PER_MESSAGE * (len(body['messages']) + 1)
        + TOKENS_PER_TOOL * tools
    )
    window = model.context_window or FREE_CONTEXT
    stated = [body[name] for name in ('max_tokens', 'max_completion_tokens') if body.get(name) is not None]
    output = min([*stated, model.max_output_tokens or FREE_OUTPUT, window])
    return Bound(min(most, window), output, body.get('n') or 1, text_bytes, images)


def of_embeddings(body: dict[str, Any], model: Model) -> Bound:
    """The bound of a checked embeddings request: each of its inputs is read within the context window by itself.

    A field that Lumen does not know may be an instruction that the model server puts before every input.
    """
    window = model.context_window or FREE_CONTEXT
    inputs = _inputs(body['input'])
    more, images = _measure({name: value for name, value in body.items() if name not in NOT_EMBEDDED})
    around = more + images * model.max_image_tokens + TOKENS_PER_MESSAGE
    texts = [_length(item) for item in inputs if isinstance(item, str)]
    token_ids = [len(item) for item in inputs if isinstance(item, list)]
    most = sum(min(size + around, window) for size in (*texts, *token_ids))
    return Bound(most, 0, 1, sum(texts) + more * len(inputs), images * len(inputs), sum(token_ids))


def _inputs(given: Any) -> list[Any]:
    """What is embedded: texts, or lists of token ids. One list of token ids is one input."""
    return [given] if isinstance(given, str) or isinstance(given[0], int) else given


def _measure(value: Any) -> tuple[int, int]:
    """The UTF-8 bytes of all text in `value`, keys included, and how many images it holds."""
    text_bytes = images = 0
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, str):
            text_bytes += _length(item)
        elif isinstance(item, dict):
            is_image = item.get('type') in ('image_url', 'input_image')
            images += is_image
            for name, inner in item.items():
                text_bytes += _length(name)
                if not (is_image and name == 'image_url'):
                    waiting.append(inner)
        elif isinstance(item, list):
            waiting.extend(item)
        elif item is not None:
            text_bytes += TOKENS_PER_SCALAR
    return text_bytes, images


def _length(text: str) -> int:
    return len(text.encode('utf-8', 'surrogatepass'))


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
