"""A link to PostgreSQL that can be cut at the worst moment: when COMMIT was sent and its answer has not come back."""

from __future__ import annotations

import re
import socket
import threading
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

COMMIT = b'COMMIT\x00'


class Proxy:
    """Stands before a server on a Unix socket. `url` is the address of the same database through it.

    `cut(delivered=True)` lets the next COMMIT through and keeps its answer back; `delivered=False` keeps COMMIT itself
    back. `is_open` says whether new links are let through.
    """

    def __init__(self, url: str, directory: Path):
        found = re.search(r'host=([^&]+)', url)
        assert found is not None
        self.is_open = True
        self.cuts = 0
        self.url = url.replace(found.group(), f'host={quote(str(directory))}')
        self._server_path = f'{found[1]}/.s.PGSQL.5432'
        self._delivered: bool | None = None
        self._stays_open = True
        self._sockets: list[socket.socket] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(directory / '.s.PGSQL.5432'))
        self._listener.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self, *, delivered: bool, stays_open: bool = True) -> None:
        """Cut the link at the next COMMIT; let nobody through afterwards unless it `stays_open`."""
        self._stays_open = stays_open
        self._delivered = delivered

    def close(self) -> None:
        self._listener.close()
        for each in self._sockets:
            each.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if not self.is_open:
                client.close()
                continue
            server = socket.socket(socket.AF_UNIX)
            server.connect(self._server_path)
            self._sockets += [client, server]
            threading.Thread(target=self._upward, args=(client, server), daemon=True).start()

    def _upward(self, client: socket.socket, server: socket.socket) -> None:
        muted = threading.Event()
        relay = threading.Thread(target=self._downward, args=(client, server, muted), daemon=True)
        relay.start()
        with suppress(OSError):
            while data := client.recv(65536):
                if COMMIT in data and self._delivered is not None:
                    delivered, self._delivered = self._delivered, None
                    self.is_open = self._stays_open
                    self.cuts += 1
                    muted.set()
                    if delivered:
                        server.sendall(data)
                        relay.join()  # until the server has answered: it is committed
                    break
                server.sendall(data)
        _end(client)
        _end(server)

    def _downward(self, client: socket.socket, server: socket.socket, muted: threading.Event) -> None:
        with suppress(OSError):
            while data := server.recv(65536):
                if muted.is_set():
                    return
                client.sendall(data)
        _end(client)


def _end(each: socket.socket) -> None:
    with suppress(OSError):
        each.shutdown(socket.SHUT_RDWR)
    each.close()
