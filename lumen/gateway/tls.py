"""What connections to model servers are secured by."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

from lumen.config.endpoint import Tls

Stamp = tuple[int, ...]


class Contexts:
    """The TLS contexts of one event loop: one for all endpoints that want the same, made anew when its files change."""

    def __init__(self) -> None:
        self._made: dict[Tls, tuple[Stamp, ssl.SSLContext]] = {}

    async def of(self, tls: Tls) -> ssl.SSLContext:
        """Raises OSError, as `ssl.SSLError` is one, when a file cannot be read or is none of its kind."""
        if tls == Tls() and tls in self._made:
            return self._made[tls][1]
        self._made[tls] = made = await asyncio.to_thread(_current, tls, self._made.get(tls))
        return made[1]


def _current(tls: Tls, made: tuple[Stamp, ssl.SSLContext] | None) -> tuple[Stamp, ssl.SSLContext]:
    files = filter(None, (tls.ca_file, tls.client_certificate, tls.client_key))
    stamp = tuple(Path(file).stat().st_mtime_ns for file in files)
    if made is not None and made[0] == stamp:
        return made
    context = ssl.create_default_context(cafile=tls.ca_file)
    if tls.client_certificate is not None:
        context.load_cert_chain(tls.client_certificate, tls.client_key)
    return stamp, context
