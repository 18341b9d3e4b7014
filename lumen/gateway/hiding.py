"""Taking the usage out of an event for callers who did not ask for it. Everything else stays as it came."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

USAGE = 'usage'
LINE = re.compile(rb'[^\r\n]*(?:\r\n|\r|\n|\Z)')
DATA = re.compile(rb'(?:\xef\xbb\xbf)?data(?::|(?=[\r\n]|\Z)) ?')
SPACE = re.compile(r'[ \t\r\n]*')

_decoder = json.JSONDecoder()


def without_usage(raw: bytes) -> bytes:
    """The event `raw`, whose data is a JSON object, without that object's usage. Its other lines stay."""
    lines = LINE.findall(raw)
    starts = [DATA.match(line) for line in lines]
    data = [line[start.end() :].rstrip(b'\r\n') for line, start in zip(lines, starts, strict=True) if start]
    # What is no UTF-8 is passed on too, as the bytes that it is.
    text = without_member(b'\n'.join(data).decode('utf-8', 'surrogateescape'), USAGE)
    rest = iter(text.encode('utf-8', 'surrogateescape').split(b'\n'))
    kept = bytearray()
    for line, start in zip(lines, starts, strict=True):
        if start is None:
            kept += line
        elif (piece := next(rest, None)) is not None:
            kept += start[0] + piece + line[len(line.rstrip(b'\r\n')) :]
    return bytes(kept)


def without_member(text: str, name: str) -> str:
    """The JSON object `text` without its member `name`, every other character as it was."""
    start = text.index('{') + 1
    end, members = start, []
    for found, begin, end in _members(text, start):
        if found != name:
            members.append(text[begin:end])
    return text[:start] + ','.join(members) + text[end:]


def _members(text: str, start: int) -> Iterator[tuple[str, int, int]]:
    """The name of each member and where it begins and ends, with the space around it. The object is a valid one."""
    begin = start
    while True:
        at = _after_space(text, begin)
        if text[at] == '}':
            return
        name, at = _decoder.raw_decode(text, at)
        at = _after_space(text, at) + 1  # the colon
        _, at = _decoder.raw_decode(text, _after_space(text, at))
        at = _after_space(text, at)
        yield name, begin, at
        if text[at] == '}':
            return
        begin = at + 1


def _after_space(text: str, at: int) -> int:
    found = SPACE.match(text, at)
    return found.end() if found else at
