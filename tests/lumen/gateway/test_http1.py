"""The client that speaks to model servers, against servers that do as they like."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest

from lumen.config.endpoint import Patience
from lumen.gateway import http1
from lumen.gateway.errors import UpstreamTimeout
from lumen.gateway.http1 import Client
from lumen.gateway.http1_response import HIGH_WATER, STALE_SECONDS, Broken, Response

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
WHOLE = b'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok'


@asynccontextmanager
async def serving(serve: Serve) -> AsyncIterator[str]:
    tasks: list[asyncio.Task[None]] = []

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.append(task)
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError):  # the client is done with it
                await serve(reader, writer)
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    server = await asyncio.start_server(one, '127.0.0.1', 0)
    try:
        yield f'http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1'
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    client = Client()
    yield client
    await client.close()


async def post(client: Client, url: str, content: bytes = b'{}', *, idle: float = 5, first: float = 0) -> Response:
    headers = {'content-type': 'application/json'}
    asked = http1.request(url, headers)
    return await client.ask(
        asked, content, connect_seconds=5, patience=Patience(first or idle, idle), on_sent=lambda was_sent: None
    )


async def body(response: Response) -> bytes:
    found = b''
    try:
        while (chunk := await response.read()) is not None:
            found += chunk
    finally:
        response.close()
    return found


async def request(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b'\r\n\r\n')
    length = int(head.lower().partition(b'content-length: ')[2].split(b'\r\n')[0])
    return head + await reader.readexactly(length)


async def test_a_connection_serves_one_call_after_the_other(client: Client):
    connections, requests = 0, []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        for _ in range(3):
            requests.append(await request(reader))
            writer.write(WHOLE)

    async with serving(serve) as url:
        for _ in range(3):
            assert await body(await post(client, url)) == b'ok'
    assert connections == 1
    host = url.removeprefix('http://').removesuffix('/v1')
    assert requests[0].startswith(f'POST /v1 HTTP/1.1\r\nhost: {host}\r\n'.encode())


async def test_one_that_was_closed_as_it_was_used_again_is_tried_once_more(client: Client):
    connections = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await request(reader)
        writer.write(WHOLE)
        await request(reader)  # and then it is gone, without a byte
        writer.transport.abort()

    async with serving(serve) as url:
        assert await body(await post(client, url)) == b'ok'
        assert await body(await post(client, url)) == b'ok'
    assert connections == 2


async def test_a_new_one_that_is_closed_is_not(client: Client):
    connections = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await request(reader)
        writer.transport.abort()

    async with serving(serve) as url:
        with pytest.raises(Broken):
            await post(client, url)
    assert connections == 1


@pytest.mark.parametrize(
    ('answer', 'expected'),
    [
        (b'HTTP/1.1 100 Continue\r\n\r\n' + WHOLE, b'ok'),
        (b'HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n' + WHOLE, b'ok'),
        (b'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\n\r\n', b'ok'),
        (b'HTTP/1.0 200 OK\r\n\r\nuntil the end', b'until the end'),
        (b'HTTP/1.1 204 No Content\r\n\r\n', b''),
        (WHOLE + b'and what nobody asked for', b'ok'),
        (WHOLE + WHOLE, b'ok'),
    ],
)
async def test_an_answer_ends_where_it_says(client: Client, answer: bytes, expected: bytes):
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        writer.write(answer)
        await writer.drain()
        writer.close()

    async with serving(serve) as url:
        for _ in range(2):  # nothing is left over for the next one
            assert await body(await post(client, url)) == expected


@pytest.mark.parametrize(
    'answer',
    [
        b'SSH-2.0-OpenSSH\r\n',
        b'HTTP/1.1 200 OK\r\ncontent-encoding: br\r\ncontent-length: 2\r\n\r\nok',
        b'HTTP/1.1 200 OK\r\n' + b'x: ' + b'y' * 70_000 + b'\r\n\r\n',
        b'HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nok',
        b'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nok',
        b'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nok\r\n',
        b'HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n',
    ],
)
async def test_what_is_no_answer_or_half_of_one_is_told(client: Client, answer: bytes):
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        writer.write(answer)
        await writer.drain()
        writer.close()

    async with serving(serve) as url:
        with pytest.raises(Broken):
            await body(await post(client, url))


async def test_who_stalls_is_waited_for_so_long(client: Client):
    stalled = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        writer.write(b'HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nok')
        await stalled.wait()

    async with serving(serve) as url:
        response = await post(client, url, idle=0.2)
        with pytest.raises(UpstreamTimeout):
            await body(response)
        stalled.set()


async def test_a_slow_reader_holds_the_server_back(client: Client):
    sent = 0
    full = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await request(reader)
        writer.write(b'HTTP/1.1 200 OK\r\n\r\n')
        writer.transport.set_write_buffer_limits(high=0)
        for _ in range(300):
            writer.write(b'x' * 100_000)
            sent += 100_000
            try:
                async with asyncio.timeout(None if full.is_set() else 0.5):
                    await writer.drain()
            except TimeoutError:
                full.set()
                await writer.drain()
        writer.close()

    async with serving(serve) as url:
        response = await post(client, url)
        await asyncio.wait_for(full.wait(), 20)
        assert sent < 20_000_000  # what lies in the sockets, not all of it
        assert response._waiting_bytes <= HIGH_WATER + 1_000_000
        assert len(await body(response)) == 30_000_000


async def test_a_request_of_any_size_arrives(client: Client):
    content = b'x' * 5_000_000
    arrived = bytearray()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        arrived.extend(await request(reader))
        writer.write(WHOLE)

    async with serving(serve) as url:
        assert await body(await post(client, url, content)) == b'ok'
    assert arrived.endswith(b'\r\n\r\n' + content)


async def test_who_leaves_closes_the_connection(client: Client):
    left = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        writer.write(b'HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nok')
        with suppress(ConnectionError):
            await reader.read()
        left.set()

    async with serving(serve) as url:
        response = await post(client, url)
        assert await response.read() == b'ok'
        response.close()
        await asyncio.wait_for(left.wait(), 10)


@pytest.mark.parametrize(
    'url', ['ftp://x/', 'http:///v1', 'http://x/\r\nhost: y', 'http://x/a b', 'nothing', 'http://x:99999/']
)
def test_an_address_that_is_none_is_refused(url: str):
    with pytest.raises(ValueError):  # noqa: PT011 - whatever it says, it is not shown
        http1.request(url, {})


def test_a_header_that_would_be_two_is_refused():
    with pytest.raises(ValueError, match='not a header'):
        http1.request('http://127.0.0.1:1/', {'a': 'b\r\nc: d'})


async def test_a_shorter_wait_on_a_kept_connection_is_not_as_long_as_the_one_before(client: Client):
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        writer.write(WHOLE)
        await reader.read()  # and never answers again

    async with serving(serve) as url:
        assert await body(await post(client, url, idle=60)) == b'ok'
        async with asyncio.timeout(10):
            with pytest.raises(UpstreamTimeout):
                await post(client, url, idle=0.1)


async def test_a_call_that_was_worked_on_is_not_made_again(client: Client):
    connections = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await request(reader)
        writer.write(WHOLE)
        await request(reader)
        await asyncio.sleep(3 * STALE_SECONDS)  # as long as it takes to have begun
        writer.transport.abort()

    async with serving(serve) as url:
        assert await body(await post(client, url)) == b'ok'
        with pytest.raises(Broken):
            await post(client, url)
    assert connections == 1


@pytest.mark.parametrize('more', [WHOLE, b'HTTP/1.1 200 X\r\n', b'HTTP/1.1 500 Y\r\ncontent-length: 0\r\n\r\n'])
async def test_a_connection_on_which_more_was_said_is_not_used_again(client: Client, more: bytes):
    connections = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        while True:
            await request(reader)
            writer.write(WHOLE + more)

    async with serving(serve) as url:
        for _ in range(3):
            assert await body(await post(client, url)) == b'ok'
    assert connections == 3


async def test_a_refusal_that_comes_before_all_was_sent_is_believed_at_once(client: Client):
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b'\r\n\r\n')
        writer.write(b'HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\nno')
        await asyncio.Event().wait()  # and reads no further

    async with serving(serve) as url, asyncio.timeout(20):
        response = await post(client, url, b'x' * 20_000_000, idle=60)
        assert (response.status, await body(response)) == (413, b'no')


async def test_trailers_are_no_headers(client: Client):
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        head = b'HTTP/1.1 200 OK\r\ncontent-type: a\r\ntransfer-encoding: chunked\r\n\r\n'
        writer.write(head + b'2\r\nok\r\n0\r\ncontent-type: b\r\n\r\n')
        await reader.read()

    async with serving(serve) as url:
        response = await post(client, url)
        assert await body(response) == b'ok'
        assert response.headers['content-type'] == 'a'


@pytest.mark.parametrize('content', [b'', b'some'], ids=['before the first byte', 'after it'])
async def test_the_first_byte_may_take_another_time_than_the_next(client: Client, content: bytes):
    """Whichever is longer: the time that counts is that of what is waited for."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        writer.write(b'HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n' + content)
        await reader.read()

    async with serving(serve) as url:
        idle, first = (0.1, 60) if content else (60, 0.1)
        response = await post(client, url, idle=idle, first=first)
        with pytest.raises(UpstreamTimeout):
            await asyncio.wait_for(body(response), 20)


async def test_who_is_patient_for_the_first_byte_gets_it(client: Client):
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        await asyncio.sleep(0.3)  # far longer than is waited for the next byte
        writer.write(WHOLE)

    async with serving(serve) as url:
        assert await body(await post(client, url, idle=0.05, first=60)) == b'ok'
