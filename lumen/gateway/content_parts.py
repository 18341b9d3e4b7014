"""What the content of a message consists of: text, images, and what its size does not tell the tokens of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Literal

Kind = Literal['text', 'image', 'other']

TEXTS = ('text', 'input_text', 'output_text', 'refusal', 'thinking', 'reasoning')
TEXT_FIELDS = frozenset({'type', 'text', 'refusal', 'thinking', 'reasoning', 'signature', 'cache_control', 'uuid'})
IMAGES = ('image_url', 'input_image', 'image')
PICTURES = frozenset({'image_url', 'image', 'source'})
"""Where the picture itself is, which is no text however long it is."""

IMAGE_FIELDS = PICTURES | {'type', 'detail', 'cache_control', 'uuid'}
REFERENCES = frozenset({'file_id', 'file_ids'})
"""What a model server was given before this call: nobody here knows how much that is."""


def parts_of(message: dict[str, Any]) -> list[Any]:
    """The parts of the message's content; a content that is no list is the only one."""
    content = message.get('content')
    if isinstance(content, list):
        return content
    return [] if content is None else [content]


def kind_of(part: Any) -> Kind:
    """Some model servers go by `type`, some by what is there: a part is only what both say."""
    if isinstance(part, dict):
        said = part.get('type')
        if part.keys() <= TEXT_FIELDS and (said is None or said in TEXTS):
            return 'text'
        return 'image' if part.keys() <= IMAGE_FIELDS and (said is None or said in IMAGES) else 'other'
    return 'other' if isinstance(part, list) else 'text'


def references(message: dict[str, Any]) -> Iterator[str]:
    """Where the message refers to what only the model server has, like `content[1].file.file_id`."""
    yield from _referring(message, '')
    if isinstance(message.get('audio'), dict):
        yield 'audio'  # an answer that was spoken before, by its id
    is_list = isinstance(message.get('content'), list)
    for number, part in enumerate(parts_of(message)):
        if isinstance(part, dict):
            place = f'content[{number}].' if is_list else 'content.'
            yield from _referring(part, place)
            for name, inner in part.items():
                if isinstance(inner, dict):
                    yield from _referring(inner, f'{place}{name}.')


def _referring(item: dict[str, Any], place: str) -> Iterable[str]:
    if REFERENCES.isdisjoint(item):
        return ()
    return [f'{place}{name}' for name in sorted(REFERENCES) if item.get(name) is not None]
