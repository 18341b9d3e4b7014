"""`/v1/audio/transcriptions` and `/v1/audio/translations`: what is said in a file, charged by duration or by tokens.

In OpenAI's shape, which vLLM and others speak. Servers report usage as `{"type": "duration", "seconds"}` or in tokens,
and detailed answers (`verbose_json`) have a `duration`. Answers as text alone report nothing.
"""

from __future__ import annotations

import re
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Any

from lumen.coins import Price
from lumen.config.settings import Model
from lumen.errors import Invalid
from lumen.gateway import bounds, checks, usage
from lumen.gateway.bounds import Bound
from lumen.gateway.form import FILE
from lumen.gateway.usage import Usage, is_count

LEAST_BITS_PER_SECOND = 4000
"""Below what any codec for speech takes that is in use (AMR from 4,750, Opus from 6,000). Longer than the size tells at
this rate is only what hardly says anything: silence can be compressed without limit.
"""

SPARE_US = 1_000_000
MOST_US = 10**15
TEXTS = frozenset({'text', 'srt', 'vtt'})
"""Formats of an answer that are no JSON."""

ASKS_FOR_USAGE = {'stream_include_usage': 'true', 'stream_continuous_usage_stats': 'true'}
"""Fields by which vLLM is asked for usage in a stream."""

CUE_END = re.compile(r'--> *(?:(\d{1,4}):)?(\d\d):(\d\d)[.,](\d{3})')
NAMES = (('input_tokens', 'prompt_tokens'), ('output_tokens', 'completion_tokens'))


def check(body: dict[str, Any]) -> None:
    """Raises Invalid naming the first field that is missing or mistyped. `file` in a body is its bytes."""
    checks.names_model(body)
    if FILE not in body:
        raise Invalid('"file" must be a file with audio in it.', param=FILE)
    checks.boolean(body, 'stream')


def price(model: Model) -> Price:
    return model.audio_price


def bound(body: dict[str, Any], model: Model) -> Bound:
    """The bound of a checked call: of audio by its duration what `file` can hold, by its tokens the context window."""
    size: int = body[FILE]
    bounded = Bound(
        input=model.context_window or bounds.FREE_CONTEXT,
        output=bounds.most_output(body, model),
        choices=1,
        text_bytes=0,
        images=0,
        reads_more=True,
        upload_bytes=size,
    )
    if model.audio_cost_per_hour is None:
        return bounded
    by_size = SPARE_US + size * 8 * 1_000_000 // LEAST_BITS_PER_SECOND
    return bounded._replace(input=0, output=0, reads_more=False, audio_us=min(usage.longest_audio_us(model), by_size))


def reported(found: dict[str, Any], before: Usage | None) -> Usage | None:
    """The usage in an answer or an event: tokens, a duration, or both."""
    said = found.get('usage')
    said = said if isinstance(said, dict) else {}
    read, written = (said.get(name, said.get(other)) for name, other in NAMES)
    durations = map(_microseconds, (said.get('seconds'), said.get('duration'), found.get('duration')))
    audio_us = next((each for each in durations if each is not None), None)
    if is_count(read) and is_count(written):
        return Usage(read, written, audio_us)
    return None if audio_us is None else Usage(0, 0, audio_us, has_tokens=False)


def generated(found: dict[str, Any]) -> int:
    """The UTF-8 bytes of the text that an answer or an event of a stream brings. The last event says it all again."""
    if is_last(found):
        return 0
    if 'choices' in found:
        return usage.generated_bytes(found)
    return usage.bytes_of(found.get('delta')) or usage.bytes_of(found.get('text'))


def is_last(event: dict[str, Any]) -> bool:
    return event.get('type') == 'transcript.text.done'


def is_text(body: dict[str, Any]) -> bool:
    """Whether the answer may be a text, and no JSON."""
    return body.get('response_format') in TEXTS


def last_cue_us(text: str) -> int | None:
    """Where the last cue of subtitles (SubRip, WebVTT) ends, in microseconds; None where there is none."""
    found = CUE_END.findall(text)
    if not found:
        return None
    hours, minutes, seconds, milliseconds = (int(part or 0) for part in found[-1])
    return 1000 * (((hours * 60 + minutes) * 60 + seconds) * 1000 + milliseconds)


def _microseconds(seconds: Any) -> int | None:
    """Of a number of seconds, which some servers write as a text; None for anything that is none."""
    if isinstance(seconds, bool) or not isinstance(seconds, int | float | str):
        return None
    try:
        found = Decimal(str(seconds)).scaleb(6)
        if not found.is_finite() or not 0 <= found <= MOST_US:
            return None
        return int(found.to_integral_value(ROUND_HALF_UP))
    except InvalidOperation:
        return None
