"""A form with a file in it (multipart/form-data, RFC 7578), read as it comes; python-multipart finds its parts.

What is read here is passed on as it is, and a model server reads it again. So that nobody can name one model here and
another one there, only what all readers understand alike is taken: plain names, and no boundary within a part.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable

from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header

from lumen.errors import Invalid

FILE = 'file'
MODEL = 'model'
MOST_PARTS = 200
MOST_FIELD_BYTES = 10_000
"""Of a field that is acted upon."""

BOUNDARY = re.compile(rb"[A-Za-z0-9'()+_,./:=? -]{0,69}[A-Za-z0-9'()+_,./:=?-]")
"""RFC 2046, section 5.1.1."""
TOKEN = re.compile(rb"[A-Za-z0-9'+_.-]+")
"""Some of RFC 2045: what need not be quoted."""

DISPOSITION = re.compile(
    rb'(?i:form-data) *; *name="([^"\\\x00-\x1f\x7f]+)"'
    rb'( *; *filename="[^"\\\x00-\x1f\x7f]*")?( *; *filename\*=[^";\\\s\x00-\x1f\x7f]+)?'
)
UNSEEN = re.compile(rb'[\x00-\x08\x0a-\x1f\x7f]')

logging.getLogger('python_multipart').setLevel(logging.CRITICAL)  # whoever sent what is wrong is told what is


def boundary_of(content_type: bytes) -> bytes:
    """The boundary that the header states. Raises Invalid when it is not that of a form, or states none that can be."""
    kind, options = parse_options_header(content_type)
    if kind != b'multipart/form-data':
        raise Invalid('The body must be a form: multipart/form-data.')
    boundary = options.get(b'boundary', b'')
    if not BOUNDARY.fullmatch(boundary):
        raise Invalid('The content-type must state the boundary between the parts of the form.')
    return boundary


def content_type_of(boundary: bytes) -> bytes:
    """How a form with this boundary alone says so."""
    return b'multipart/form-data; boundary=' + (boundary if TOKEN.fullmatch(boundary) else b'"%b"' % boundary)


class Form:
    """What a form says, as far as it has come.

    `keeps` says which fields are kept in `fields`. `on_file` gets what comes of the file.
    """

    def __init__(
        self, boundary: bytes, keeps: Callable[[str], bool], on_file: Callable[[bytes], None] = lambda part: None
    ):
        self.fields: dict[str, str] = {}
        self.file_bytes: int | None = None
        """So much of the file has come; None when there is none yet."""
        self.model_at = (0, 0)
        """Where in the form the name of the model stands: from where on, and how many bytes."""
        self.is_complete = False
        self._keeps = keeps
        self._on_file = on_file
        self._delimiter = b'--' + boundary
        self._parts = self._delimiters = self._position = 0
        self._tail = self._chunk = b''
        self._header = self._value = b''
        self._disposition: bytes | None = None
        self._name: str | None = None
        self._text = b''
        self._parser = MultipartParser(
            boundary,
            {
                'on_part_begin': self._begin_part,
                'on_part_data': self._add,
                'on_part_end': self._end_part,
                'on_header_field': self._add_to_name,
                'on_header_value': self._add_to_value,
                'on_header_end': self._end_header,
                'on_headers_finished': self._end_head,
                'on_end': self._end,
            },
        )

    def feed(self, chunk: bytes) -> None:
        """Take in what came. Raises Invalid."""
        self._chunk = chunk
        try:
            self._parser.write(chunk)
        except FormParserError:
            raise Invalid('The body is not a valid form (multipart/form-data).') from None
        self._position += len(chunk)
        near = self._tail + chunk
        self._delimiters += near.count(self._delimiter)
        self._tail = near[max(0, len(near) - len(self._delimiter) + 1) :]

    def close(self) -> None:
        """Note that this was all. Raises Invalid when it cannot be."""
        if not self.is_complete:
            raise Invalid('The form is not complete: it does not end with its boundary.')
        if self._delimiters != self._parts + 1:
            raise Invalid('The boundary of the form stands within one of its parts.')

    def _begin_part(self) -> None:
        self._parts += 1
        if self._parts > MOST_PARTS:
            raise Invalid(f'The form has more than {MOST_PARTS} parts.')
        self._disposition = None

    def _add_to_name(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _add_to_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _end_header(self) -> None:
        header, value = self._header.lower(), self._value
        self._header = self._value = b''
        is_again = header == b'content-disposition' and self._disposition is not None
        if UNSEEN.search(value) or is_again:
            raise Invalid('A part of the form has a header that cannot be.')
        if header == b'content-disposition':
            self._disposition = value

    def _end_head(self) -> None:
        found = DISPOSITION.fullmatch(self._disposition or b'')
        if found is None:
            raise Invalid('Each part of the form must have a plain name: content-disposition: form-data; name="...".')
        name = found[1].decode('utf-8', 'replace')
        plain = name.strip().casefold()
        if name != plain and (plain == FILE or self._keeps(plain)):
            raise Invalid(f'A part of the form is called nearly, but not quite "{plain}".', param=plain)
        is_file = found[2] is not None or found[3] is not None
        self._text = b''
        self._name = name if name == FILE or self._keeps(name) else None
        if self._name is None:
            return
        if is_file != (name == FILE):
            raise Invalid(f'"{name}" must be {"a file" if name == FILE else "a text"}.', param=name)
        if name in self.fields or (name == FILE and self.file_bytes is not None):
            raise Invalid(f'"{name}" stands in the form twice.', param=name)
        if name == FILE:
            self.file_bytes = 0

    def _add(self, data: bytes, start: int, end: int) -> None:
        if self._name is None:
            return
        part = data[start:end]
        if self._name == FILE:
            self.file_bytes = (self.file_bytes or 0) + len(part)
            self._on_file(part)
            return
        if self._name == MODEL and not self._text and data is self._chunk:
            self.model_at = (self._position + start, 0)
        self._text += part
        if len(self._text) > MOST_FIELD_BYTES:
            raise Invalid(f'"{self._name}" is longer than {MOST_FIELD_BYTES:,} bytes.', param=self._name)

    def _end_part(self) -> None:
        if self._name is None or self._name == FILE:
            return
        text = self._text.decode('utf-8', 'replace')
        if self._name == MODEL:
            if not text or not text.isprintable():
                raise Invalid('"model" must be the name of a model.', param='model')
            self.model_at = (self.model_at[0], len(self._text))
        self.fields[self._name] = text

    def _end(self) -> None:
        self.is_complete = True
