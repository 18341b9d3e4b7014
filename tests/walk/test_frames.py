"""What a stranger can send over a socket below its messages: others are answered as before, and nothing fills up."""

from __future__ import annotations

import socket
import struct
import time
import zlib
from contextlib import suppress
from urllib.parse import urlsplit

import httpx2
import pytest

from lumen.server.websocket import BURST, MOST_BYTES
from tests.walk.cast import Stage

TEXT, PING, PONG, CONTINUED = 0x1, 0x9, 0xA, 0x0
FIN, COMPRESSED = 0x80, 0x40
# Of a machine that others use.
SECONDS = 5.0
QUIET_SECONDS = 0.5


def frame(kind: int, content: bytes = b'', *, flags: int = FIN) -> bytes:
    size = len(content)
    if size < 126:
        length = bytes([0x80 | size])
    elif size < 65536:
        length = bytes([0x80 | 126]) + struct.pack('>H', size)
    else:
        length = bytes([0x80 | 127]) + struct.pack('>Q', size)
    return bytes([flags | kind]) + length + bytes(4) + content


def opened(stage: Stage, *lines: str, hears: bool = True) -> socket.socket:
    """A socket of a stranger, which listens to nothing but the answer to its handshake unless somebody does so."""
    parts = urlsplit(stage.site.address)
    connection = socket.create_connection((parts.hostname, parts.port), timeout=20)
    fields = (
        'GET /_nicegui_ws/socket.io/?EIO=4&transport=websocket HTTP/1.1',
        f'Host: {parts.netloc}',
        'Upgrade: websocket',
        'Connection: Upgrade',
        'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
        'Sec-WebSocket-Version: 13',
        'Sec-Fetch-Site: same-origin',
        *lines,
    )
    connection.sendall('\r\n'.join([*fields, '', '']).encode())
    assert not hears or b' 101 ' in connection.recv(4096)
    return connection


def is_hung_up_on(connection: socket.socket, said: bytes) -> bool:
    """Whether the connection ends while somebody says the same without end."""
    connection.settimeout(SECONDS)
    end = time.monotonic() + SECONDS
    try:
        while time.monotonic() < end:
            connection.sendall(said)
    except TimeoutError:
        return False
    except OSError:
        return True
    return False


FLOODS = {
    'messages': frame(TEXT, b'42["event",{}]'),
    'nonsense': frame(TEXT, b'x'),
    'pings': frame(PING, b'are you there'),
    'pongs': frame(PONG),
    'parts': frame(CONTINUED, flags=0),
    'large messages': frame(TEXT, b'4' * 40_000),
}


@pytest.mark.usefixtures('unbroken')
@pytest.mark.parametrize('kind', FLOODS)
def test_whoever_says_something_without_end_and_does_not_listen_is_hung_up_on(stage: Stage, kind: str):
    one = FLOODS[kind]
    with opened(stage) as connection, httpx2.Client(base_url=stage.site.address, timeout=SECONDS) as http:
        if kind == 'parts':
            connection.sendall(frame(TEXT, b'4', flags=0))
        assert is_hung_up_on(connection, one * (1 + 64_000 // len(one)))
        begun = time.monotonic()
        assert http.get('/healthz').status_code == 200
        assert time.monotonic() - begun < SECONDS / 2
    assert 'a socket that said too much was closed' in stage.site.log.read_text()


def test_what_browsers_send_is_no_flood(stage: Stage):
    with opened(stage) as connection:
        for _ in range(4):
            connection.sendall(frame(PING) * (int(BURST) // 10))
            time.sleep(QUIET_SECONDS)
        connection.sendall(frame(PING, b'still there'))
        hear(connection, b'still there')


def hear(connection: socket.socket, words: bytes) -> None:
    """Wait until the server has said that. Fails when it hangs up before."""
    said = b''
    while words not in said:
        more = connection.recv(4096)
        assert more, said
        said += more


def ends(connection: socket.socket) -> bytes:
    """The last that the server says before it hangs up."""
    connection.settimeout(SECONDS)
    said = b''
    while more := connection.recv(4096):
        said += more
    return said


TOO_LARGE = {
    'one frame': frame(TEXT, b'4' * (MOST_BYTES + 1))[:20],
    'its first part': frame(TEXT, b'4' * (MOST_BYTES + 1), flags=0)[:20],
    'many parts': frame(TEXT, b'4', flags=0)
    + frame(CONTINUED, b'4' * 8192, flags=0) * 7
    + frame(CONTINUED, b'4' * 8192)[:20],
}


@pytest.mark.usefixtures('unbroken')
@pytest.mark.parametrize('name', TOO_LARGE)
def test_a_message_that_is_too_large_is_not_gathered(stage: Stage, name: str):
    with opened(stage) as connection:
        connection.sendall(TOO_LARGE[name])
        assert struct.pack('>H', 1009) in ends(connection)


@pytest.mark.usefixtures('unbroken')
def test_nothing_is_inflated(stage: Stage):
    packer = zlib.compressobj(9, zlib.DEFLATED, -12)
    small = (packer.compress(b'a' * 15_000_000) + packer.flush(zlib.Z_SYNC_FLUSH))[:-4]
    with opened(stage, 'Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits') as connection:
        connection.sendall(frame(TEXT, small, flags=COMPRESSED))
        assert struct.pack('>H', 1002) in ends(connection)


def test_text_that_is_none_closes_its_socket_and_fills_no_log(stage: Stage):
    before = stage.site.log.read_text()
    for said in (frame(TEXT, b'\xff\xfe') * 2, frame(TEXT, b'4\xf0\x9f', flags=0) + frame(CONTINUED, b'\xff')):
        for _ in range(20):
            with opened(stage) as connection:
                connection.sendall(said)
                assert struct.pack('>H', 1007) in ends(connection)
    with opened(stage) as connection:  # a character in two parts is one
        connection.sendall(frame(TEXT, b'3\xf0\x9f', flags=0) + frame(CONTINUED, b'\x91\x8b') + frame(PING, b'still'))
        hear(connection, b'still')
    assert stage.site.log.read_text() == before


@pytest.mark.usefixtures('unbroken')
def test_whoever_does_not_wait_for_the_handshake_breaks_nothing(stage: Stage):
    for _ in range(20):
        with opened(stage, hears=False) as connection:
            connection.sendall(frame(TEXT, b'\xff') + frame(0x3))
            connection.settimeout(SECONDS)
            with suppress(ConnectionResetError):
                connection.recv(4096)
