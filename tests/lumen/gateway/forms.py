"""Forms with a file in them, and a caller who sends one piece by piece."""

from __future__ import annotations

import io
import json
import socket
import wave
from typing import Any
from urllib.parse import urlsplit

from tests.lumen.gateway.conftest import Running

BOUNDARY = b'b0undary'
CONTENT_TYPE = f'multipart/form-data; boundary={BOUNDARY.decode()}'


def form(*parts: tuple[str, str | bytes], boundary: bytes = BOUNDARY) -> bytes:
    """Texts are fields, bytes are files."""
    found = b''
    for name, value in parts:
        is_file = isinstance(value, bytes)
        more = b'; filename="a.mp3"\r\nContent-Type: audio/mpeg' if is_file else b''
        content = value if isinstance(value, bytes) else value.encode()
        head = b'Content-Disposition: form-data; name="%b"%b' % (name.encode(), more)
        found += b'--%b\r\n%b\r\n\r\n%b\r\n' % (boundary, head, content)
    return found + b'--%b--\r\n' % boundary


def wav(milliseconds: int) -> bytes:
    """Silence of that length, 16,000 bytes a second."""
    content = io.BytesIO()
    with wave.open(content, 'wb') as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(b'\0\0' * (8 * milliseconds))
    return content.getvalue()


class Caller:
    """Sends a request as slowly as a test wants."""

    def __init__(self, running: Running, length: int | None, path: str = '/v1/audio/transcriptions', **headers: str):
        parts = urlsplit(running.address)
        self.connection = socket.create_connection((parts.hostname, parts.port), timeout=20)
        framing = 'transfer-encoding: chunked' if length is None else f'content-length: {length}'
        lines = [f'POST {path} HTTP/1.1', f'host: {parts.netloc}', f'authorization: Bearer {running.key}', framing]
        lines += [f'{name}: {value}' for name, value in ({'content-type': CONTENT_TYPE} | headers).items()]
        self.connection.sendall('\r\n'.join([*lines, '', '']).encode())
        self._is_chunked = length is None

    def send(self, content: bytes) -> None:
        self.connection.sendall(b'%x\r\n%b\r\n' % (len(content), content) if self._is_chunked else content)

    def end(self) -> None:
        if self._is_chunked:
            self.connection.sendall(b'0\r\n\r\n')

    def answer(self) -> tuple[int, dict[str, Any]]:
        """Status and JSON of the answer."""
        head, body = b'', b''
        with self.connection.makefile('rb') as file:
            while (line := file.readline()).strip():
                head += line.lower()
            length = next(line for line in head.split(b'\r\n') if line.startswith(b'content-length'))
            body = file.read(int(length.partition(b':')[2]))
        return int(head.split()[1]), json.loads(body)

    def leave(self) -> None:
        self.connection.close()
