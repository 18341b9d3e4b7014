"""What connections to model servers are secured by."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

from lumen.config.endpoint import Secured

Stamp = tuple[int, ...]


class Contexts:
    """The TLS contexts of one event loop: one for all endpoints that want the same, made anew when its files change."""

    def __init__(self) -> None:
        self._made: dict[Secured | None, tuple[Stamp, ssl.SSLContext]] = {}

    async def of(self, secured: Secured | None) -> ssl.SSLContext:
        """Raises OSError, as `ssl.SSLError` is one, when a file cannot be read or is none of its kind."""
        if secured is None and secured in self._made:
            return self._made[secured][1]
        self._made[secured] = made = await asyncio.to_thread(_current, secured or Secured(), self._made.get(secured))
        return made[1]


def _current(secured: Secured, made: tuple[Stamp, ssl.SSLContext] | None) -> tuple[Stamp, ssl.SSLContext]:
    files = filter(None, secured[:3])
    stamp = tuple(Path(file).stat().st_mtime_ns for file in files)
    if made is not None and made[0] == stamp:
        return made
    context = ssl.create_default_context(cafile=secured.ca_file)
    if secured.client_certificate is not None:
        context.load_cert_chain(secured.client_certificate, secured.client_key)
    return stamp, context
