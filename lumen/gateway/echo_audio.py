"""How the echo model answers what brings audio: it says the prompt, or how many bytes it heard.

Of a WAV file it knows how long it is; of anything else a second is 16,000 bytes. A second is ten tokens.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

from starlette.types import Receive

from lumen.errors import Invalid
from lumen.gateway.echo_chat import data_event
from lumen.gateway.form import Form, boundary_of

TOLD = re.compile(r'echo\[(\w+)\]')
FIELDS = ('model', 'prompt', 'response_format', 'stream')
HEAD_BYTES = 44
BYTES_PER_SECOND = 16_000
TOKENS_PER_SECOND = 10
FORMATS = ('json', 'text', 'srt', 'verbose_json', 'vtt')


class Audio:
    """An answer to a transcription or a translation."""

    def __init__(self, body: dict[str, Any], said: list[str], *, is_cut: bool, with_usage: bool):
        self._said = said
        self._with_usage = with_usage
        self._format = body.get('response_format', 'json')
        self._microseconds: int = body['microseconds']
        self._counts_time = body.get('usage') == 'duration'

    @staticmethod
    def check(body: dict[str, Any]) -> None:
        if 'microseconds' not in body:
            raise Invalid('There is no "file".', param='file')
        if body.get('response_format', 'json') not in FORMATS:
            raise Invalid(f'"response_format" must be one of {", ".join(FORMATS)}.', param='response_format')

    @staticmethod
    def text_of(body: dict[str, Any]) -> str:
        return body.get('prompt') or f'I heard {body["bytes"]} bytes.'

    @staticmethod
    def most_of(body: dict[str, Any]) -> int | None:
        return None

    def whole(self) -> dict[str, Any] | str:
        text = ''.join(self._said)
        if self._format in ('json', 'verbose_json'):
            return self._object(text)
        if self._format == 'text':
            return f'{text}\n'
        mark = ',' if self._format == 'srt' else '.'
        cue = f'{_clock(0, mark)} --> {_clock(self._microseconds, mark)}\n{text}\n\n'
        return f'1\n{cue}' if self._format == 'srt' else f'WEBVTT\n\n{cue}'

    def events(self) -> Iterator[bytes]:
        return (data_event({'type': 'transcript.text.delta', 'delta': token}) for token in self._said)

    def last(self) -> bytes:
        done = {'type': 'transcript.text.done', 'text': ''.join(self._said)}
        return data_event(done | ({'usage': self._usage()} if self._with_usage else {}))

    def _object(self, text: str) -> dict[str, Any]:
        found: dict[str, Any] = {'text': text}
        if self._format == 'verbose_json':
            segment = {'id': 0, 'seek': 0, 'start': 0.0, 'end': self._seconds, 'text': text, 'tokens': []}
            more = {'temperature': 0.0, 'avg_logprob': 0.0, 'compression_ratio': 1.0, 'no_speech_prob': 0.0}
            found |= {'task': 'transcribe', 'language': 'english', 'segments': [segment | more]}
            if self._with_usage:
                found['duration'] = self._seconds
        return found | ({'usage': self._usage()} if self._with_usage else {})

    @property
    def _seconds(self) -> float:
        return self._microseconds / 1_000_000

    def _usage(self) -> dict[str, Any]:
        if self._counts_time:
            return {'type': 'duration', 'seconds': self._seconds}
        read, written = -(-self._microseconds * TOKENS_PER_SECOND // 1_000_000), len(self._said)
        details = {'text_tokens': 0, 'audio_tokens': read}
        counts = {'input_tokens': read, 'output_tokens': written, 'total_tokens': read + written}
        return {'type': 'tokens', **counts, 'input_token_details': details}


async def body(receive: Receive, headers: Iterable[tuple[bytes, bytes]]) -> dict[str, Any] | None:
    """What a form says, as the body of a call; None when it cannot be read. Of the file only its size is kept."""
    head = bytearray()

    def look(part: bytes) -> None:
        head.extend(part[: max(0, HEAD_BYTES - len(head))])

    try:
        form = Form(boundary_of(dict(headers).get(b'content-type', b'')), _is_acted_upon, look)
        has_more = True
        while has_more:
            message = await receive()
            if message['type'] == 'http.disconnect':
                return None
            form.feed(message.get('body', b''))
            has_more = message.get('more_body', False)
        form.close()
        found: dict[str, Any] = {name: value for name, value in form.fields.items() if not TOLD.fullmatch(name)}
        told = {name[1]: json.loads(value) for field, value in form.fields.items() if (name := TOLD.fullmatch(field))}
    except (Invalid, ValueError):
        return None
    found['stream'] = found.get('stream') == 'true'
    if told:
        found['usage'] = told.pop('usage', 'tokens')
        found['echo'] = told
    if form.file_bytes is not None:
        found |= {'bytes': form.file_bytes, 'microseconds': _microseconds(bytes(head), form.file_bytes)}
    return found


def _is_acted_upon(name: str) -> bool:
    return name in FIELDS or TOLD.fullmatch(name) is not None


def _microseconds(head: bytes, size: int) -> int:
    rate = int.from_bytes(head[28:32], 'little') if head[:4] == b'RIFF' and head[8:12] == b'WAVE' else 0
    return (size - HEAD_BYTES) * 1_000_000 // rate if rate else size * 1_000_000 // BYTES_PER_SECOND


def _clock(microseconds: int, mark: str) -> str:
    seconds, rest = divmod(microseconds // 1000, 1000)
    return f'{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}{mark}{rest:03d}'
