"""What a call will probably use, learnt from what calls did use: tokens per byte, and tokens an answer."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from lumen.gateway.bounds import Bound

TOKENS_PER_BYTE = 0.25
OUTPUT_TOKENS = 256.0
AUDIO_US_PER_BYTE = 125.0
"""64 kbit/s."""

MOST = 2**53
WEIGHT = 0.1
"""How much one call moves the average."""


@dataclass(slots=True)
class Averages:
    input_tokens_per_byte: float = TOKENS_PER_BYTE
    output_tokens_per_byte: float = TOKENS_PER_BYTE
    tokens_per_answer: float = OUTPUT_TOKENS
    tokens_beyond_size: float | None = None
    """Of inputs whose size does not tell. Until one was reported, the whole bound is expected."""
    audio_us_per_byte: float = AUDIO_US_PER_BYTE


@dataclass(slots=True)
class Expectation:
    """Running averages by model, in this process. These are counts of tokens, not coins: floats do no harm."""

    _models: dict[str, Averages] = field(default_factory=dict)

    def input_tokens(self, model: str, bound: Bound) -> int:
        averages = self._of(model)
        if bound.reads_more:
            known = averages.tokens_beyond_size
            return bound.input if known is None else min(bound.input, math.ceil(known))
        text = math.ceil(bound.text_bytes * averages.input_tokens_per_byte)
        return min(bound.input, text + bound.token_ids + 100 * bound.images)

    def output_tokens(self, model: str, bound: Bound) -> int:
        return min(bound.output, math.ceil(self._of(model).tokens_per_answer)) * bound.choices

    def audio_us(self, model: str, bound: Bound, upload_bytes: int) -> int:
        """How long audio of so many bytes probably is, in microseconds."""
        return min(bound.audio_us, math.ceil(upload_bytes * self._of(model).audio_us_per_byte))

    def learn_audio(self, model: str, upload_bytes: int, audio_us: int) -> None:
        """Take in how long a model server says that so many bytes were."""
        averages = self._models.setdefault(model, Averages())
        averages.audio_us_per_byte = _moved(averages.audio_us_per_byte, audio_us / upload_bytes)

    def tokens_of(self, model: str, output_bytes: int) -> int:
        """How many tokens so many bytes of generated text probably are."""
        return math.ceil(output_bytes * self._of(model).output_tokens_per_byte)

    def bytes_of(self, model: str, tokens: int) -> int:
        """How many bytes of generated text so many tokens probably are."""
        per_byte = self._of(model).output_tokens_per_byte
        return math.floor(min(tokens, MOST) / per_byte) if per_byte else MOST

    def learn(self, model: str, bound: Bound, input_tokens: int, output_tokens: int, output_bytes: int) -> None:
        """Take in what a model server reported for a whole call."""
        averages = self._models.setdefault(model, Averages())
        if bound.reads_more:
            before = averages.tokens_beyond_size
            averages.tokens_beyond_size = input_tokens if before is None else _moved(before, input_tokens)
        elif bound.text_bytes and not bound.images and not bound.token_ids:
            averages.input_tokens_per_byte = _moved(averages.input_tokens_per_byte, input_tokens / bound.text_bytes)
        if output_bytes:
            averages.output_tokens_per_byte = _moved(averages.output_tokens_per_byte, output_tokens / output_bytes)
        if bound.output:
            averages.tokens_per_answer = _moved(averages.tokens_per_answer, output_tokens / bound.choices)

    def _of(self, model: str) -> Averages:
        return self._models.get(model) or Averages()


def _moved(average: float, value: float) -> float:
    return average + WEIGHT * (value - average)
