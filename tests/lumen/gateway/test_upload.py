"""A form is read as it comes, in a bounded memory, and nobody can name one model here and another one there."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Message

from lumen.errors import Invalid
from lumen.gateway import upload as uploads
from lumen.gateway.body import Disconnected
from lumen.gateway.errors import TooLarge, TooSlow
from lumen.gateway.form import Form, boundary_of
from lumen.gateway.upload import Upload
from tests.lumen.gateway.forms import BOUNDARY, CONTENT_TYPE, form

KIB = 1024
HEAD = b'--b0undary\r\nContent-Disposition: form-data; name="model"\r\n\r\n'
FILE = b'--b0undary\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'


def read(content: bytes, size: int = 1 << 20) -> Form:
    found = Form(BOUNDARY, {'model', 'stream'}.__contains__)
    for start in range(0, len(content), size):
        found.feed(content[start : start + size])
    found.close()
    return found


def upload(pieces: Iterator[bytes], *, length: int | None = None, buffer: int = 16 * KIB, most: int = 10**9) -> Upload:
    async def receive() -> Message:
        piece = next(pieces, None)
        return {'type': 'http.request', 'body': piece or b'', 'more_body': piece is not None}

    headers = [(b'content-type', CONTENT_TYPE.encode())]
    headers += [(b'content-length', b'%d' % length)] if length is not None else []
    return Upload(receive, headers, max_bytes=most, buffer_bytes=buffer)


async def drain(found: Upload, into: bytearray) -> None:
    outgoing = found.to('m', {})
    while (piece := await outgoing.read()) is not None:
        into += piece


async def sent(found: Upload, model: str) -> bytes:
    outgoing, content = found.to(model, {}), b''
    while (piece := await outgoing.read()) is not None:
        content += piece
    return content


def cut(content: bytes, size: int) -> Iterator[bytes]:
    return (content[start : start + size] for start in range(0, len(content), size))


@given(st.binary(max_size=400), st.integers(1, 60), st.booleans(), st.sampled_from(['m', 'ä/ö:x', '--b0undar']))
def test_it_is_the_same_however_it_is_cut_but_for_the_name_of_the_model(
    file: bytes, size: int, is_first: bool, name: str
):
    parts = [('file', file.replace(BOUNDARY, b'')), ('model', name), ('prompt', name), ('stream', 'false')]
    content = form(*(reversed(parts) if is_first else parts))

    async def run() -> bytes:
        found = upload(cut(content, size), length=len(content))
        await found.begin()
        assert found.body == {'model': name, 'stream': False, 'file': len(content)}
        outgoing = found.to('remote/name', {})
        assert outgoing.length == len(content) - len(name.encode()) + len('remote/name')
        assert found.is_whole
        assert found.can_be_sent_again
        first, again = await sent(found, 'remote/name'), await sent(found, 'remote/name')
        assert first == again
        assert len(first) == outgoing.length
        return first

    named = [(key, 'remote/name' if key == 'model' else value) for key, value in parts]
    assert asyncio.run(run()) == form(*(reversed(named) if is_first else named))


def test_of_a_large_one_only_the_first_is_kept():
    size, piece = 200_000_000, bytes(64 * KIB)
    start, end = form(('model', 'm'), ('file', b'')).split(b'\r\n--b0undary--')

    def pieces() -> Iterator[bytes]:
        yield start
        for _ in range(size // len(piece)):
            yield piece
        yield b'\r\n--b0undary--' + end

    async def run() -> int:
        found, number = upload(pieces(), buffer=256 * KIB), 0
        await found.begin()
        outgoing = found.to('m', {})
        assert not found.is_whole
        assert outgoing.length is None
        while (part := await outgoing.read()) is not None:
            number += len(part)
        assert not found.can_be_sent_again
        return number

    tracemalloc.start()
    try:
        assert asyncio.run(run()) >= size // len(piece) * len(piece)
        assert tracemalloc.get_traced_memory()[1] < 3_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ('content', 'param'),
    [
        (form(('file', bytes(30 * KIB)), ('model', 'm')), 'model'),
        (form(('model', 'm'), ('prompt', 'x' * 30 * KIB), ('file', b'x')), 'file'),
    ],
)
def test_what_a_call_acts_upon_must_stand_within_the_first_of_it(content: bytes, param: str):
    async def run() -> None:
        await upload(cut(content, 1000), length=len(content)).begin()

    with pytest.raises(Invalid, match='first 16 KiB of the form: put all fields before the file') as refused:
        asyncio.run(run())
    assert refused.value.param == param


@pytest.mark.parametrize(
    ('parts', 'param'),
    [([('model', 'other')], 'model'), ([('stream', 'true')], 'stream'), ([('file', b'another')], 'file')],
)
def test_what_comes_too_late_ends_it_before_its_end_is_sent(parts: list[tuple[str, str | bytes]], param: str):
    content = form(('model', 'm'), ('file', bytes(100 * KIB)), *parts)

    async def run() -> None:
        found = upload(cut(content, 1000), length=len(content))
        await found.begin()
        sent = bytearray()
        with pytest.raises(Invalid) as refused:
            await drain(found, sent)
        assert refused.value.param == param
        assert len(sent) < len(content)

    asyncio.run(run())


def test_what_is_no_fault_may_come_late():
    late = [('response_format', 'srt'), ('prompt', 'x'), ('stream', 'false')]
    content = form(('model', 'm'), ('file', bytes(100 * KIB)), *late)

    async def run() -> None:
        found = upload(cut(content, 1000), length=len(content))
        await found.begin()
        assert 'response_format' not in found.body
        assert await sent(found, 'm') == content
        assert found.body == {'model': 'm', 'file': len(content), 'response_format': 'srt', 'stream': False}

    asyncio.run(run())


@pytest.mark.parametrize(
    'content',
    [
        HEAD + b'm\r\n--b0undary--\r\n' + HEAD + b'other\r\n--b0undary--\r\n',  # behind the end
        HEAD + b'm\r\n' + FILE + b'x\n' + HEAD.replace(b'\r\n', b'\n') + b'other\n\r\n--b0undary--\r\n',
        HEAD + b'm\r\n' + FILE + b'x--b0undary\r\n--b0undary--\r\n',
        HEAD + b'm\r\n' + HEAD + b'm\r\n--b0undary--\r\n',
        HEAD + b'm\r\n',
        HEAD + b'\r\n--b0undary--\r\n',
        HEAD + b'a\r\nb\r\n--b0undary--\r\n',
        HEAD + b'a\x00b\r\n--b0undary--\r\n',
        HEAD.replace(b'"model"', b'"model"; filename="x"') + b'm\r\n--b0undary--\r\n',
        HEAD.replace(b'"model"', b'"file"') + b'm\r\n--b0undary--\r\n',
        HEAD.replace(b'"model"', b'"Model"') + b'm\r\n--b0undary--\r\n',
        HEAD.replace(b'"model"', b'" model"') + b'm\r\n--b0undary--\r\n',
        HEAD.replace(b'"model"', b'model') + b'm\r\n--b0undary--\r\n',
        HEAD.replace(b'"model"', b'"mo\\del"') + b'm\r\n--b0undary--\r\n',
        HEAD.replace(b'; name', b"; name*=utf-8''file; name") + b'm\r\n--b0undary--\r\n',
        HEAD.replace(b'"model"', b'"x"; name="model"') + b'm\r\n--b0undary--\r\n',
        HEAD.replace(b'"model"', b'"x"; filename="\\"; name=\\"model"') + b'm\r\n--b0undary--\r\n',
        HEAD.replace(b'Content', b'X-A: b\nContent') + b'm\r\n--b0undary--\r\n',
        HEAD.replace(b'\r\n\r\n', b'\r\nContent-Disposition: form-data; name="x"\r\n\r\n') + b'm\r\n--b0undary--\r\n',
        HEAD.replace(b'Content-Disposition', b'X') + b'm\r\n--b0undary--\r\n',
        form(*[('x', 'y')] * 300),
        form(('model', 'm' * 20_000)),
        b'{"model": "m"}',
        b'',
    ],
)
@pytest.mark.parametrize('size', [1, 7, 1 << 20])
def test_what_others_may_read_otherwise_is_refused(content: bytes, size: int):
    with pytest.raises(Invalid):
        read(content, size)


@pytest.mark.parametrize(
    'kind',
    [
        b'',
        b'application/json',
        b'multipart/form-data',
        b'multipart/mixed; boundary=x',
        b'multipart/form-data; boundary=',
        b'multipart/form-data; boundary="a\tb"',
        b'multipart/form-data; boundary=' + b'x' * 71,
    ],
)
def test_a_body_that_is_no_form_is_refused(kind: bytes):
    with pytest.raises(Invalid):
        boundary_of(kind)


@pytest.mark.parametrize('kind', [b'multipart/form-data; boundary=x', b'Multipart/Form-Data;boundary="x"'])
def test_the_boundary_is_found(kind: bytes):
    assert boundary_of(kind) == b'x'


@pytest.mark.parametrize(
    ('stated', 'said'),
    [
        (b'boundary=a; boundary=b', b'boundary=b'),
        (b'boundary="b"; boundary=a', b'boundary=a'),
        (b'boundary=a;x; boundary*=b', b'boundary=a'),
        (b'boundary="a?b"; charset=utf-8', b'boundary="a?b"'),
    ],
)
def test_one_boundary_is_said_to_the_model_server(stated: bytes, said: bytes):
    async def receive() -> Message:
        raise AssertionError

    headers = [(b'content-type', b'multipart/form-data; ' + stated)]
    found = Upload(receive, headers, max_bytes=9, buffer_bytes=9)
    assert found.content_type == b'multipart/form-data; ' + said
    assert boundary_of(found.content_type) == boundary_of(headers[0][1])


def test_one_that_is_larger_than_it_may_be_is_refused_at_once_or_when_it_is():
    content = form(('model', 'm'), ('file', bytes(100 * KIB)))
    with pytest.raises(TooLarge):
        upload(cut(content, 1000), length=len(content), most=50 * KIB)

    async def run() -> None:
        found = upload(cut(content, 1000), most=50 * KIB)
        await found.begin()
        with pytest.raises(TooLarge):
            await sent(found, 'm')

    asyncio.run(run())


def test_one_that_stops_coming_is_given_up(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(uploads, 'IDLE_SECONDS', 0.01)

    async def receive() -> Message:
        await asyncio.Event().wait()
        raise AssertionError

    with pytest.raises(TooSlow):
        asyncio.run(Upload(receive, [(b'content-type', CONTENT_TYPE.encode())], max_bytes=9, buffer_bytes=9).begin())


def test_one_whose_caller_left_has_no_end():
    async def receive() -> Message:
        return {'type': 'http.disconnect'}

    with pytest.raises(Disconnected):
        asyncio.run(Upload(receive, [(b'content-type', CONTENT_TYPE.encode())], max_bytes=9, buffer_bytes=9).begin())


def test_two_that_differ_in_their_boundary_alone_are_alike():
    async def likeness(boundary: bytes) -> bytes:
        content = form(('model', 'm'), ('file', b'abc'), boundary=boundary)

        async def receive() -> Message:
            return {'type': 'http.request', 'body': content}

        kind = b'multipart/form-data; boundary=' + boundary
        found = Upload(receive, [(b'content-type', kind)], max_bytes=10**6, buffer_bytes=16 * KIB)
        await found.begin()
        return found.likeness()

    assert asyncio.run(likeness(b'one')) == asyncio.run(likeness(b'another'))
