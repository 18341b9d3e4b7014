"""What a trusted proxy says of the request it passes on: over TLS or not, and from whom. Nobody else is believed."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable

from starlette.types import ASGIApp, Receive, Scope, Send

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# NiceGUI writes this one into its pages and redirects. Lumen lives at the root of its host, so it is never needed, and
# whoever sends it could lead others elsewhere through a cache.
DROPPED = b'x-forwarded-prefix'


class TrustedProxies:
    """Sets a request's scheme and client from `X-Forwarded-Proto` and `X-Forwarded-For`, when a trusted proxy sent it.

    `trusted` returns the addresses and networks in force. The headers themselves stay: their presence says that there
    was a proxy.
    """

    def __init__(self, app: ASGIApp, *, trusted: Callable[[], Iterable[str]]):
        self.app = app
        self._trusted = trusted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope['type'] in ('http', 'websocket'):
            scope = {**scope, 'headers': [header for header in scope['headers'] if header[0] != DROPPED]}
            networks = [ipaddress.ip_network(address, strict=False) for address in self._trusted()]
            peer = scope.get('client')
            if peer and _is_in(peer[0], networks):
                scope = {**scope, **_told(scope, networks)}
        await self.app(scope, receive, send)


def _told(scope: Scope, networks: list[Network]) -> Scope:
    told: Scope = {}
    protocol = _last(scope, b'x-forwarded-proto')
    if protocol in ('http', 'https'):
        is_socket = scope['type'] == 'websocket'
        told['scheme'] = {'http': 'ws', 'https': 'wss'}[protocol] if is_socket else protocol
    # Each proxy appends whom it heard from. What stands before the last untrusted one is that one's own claim.
    for address in reversed(_values(scope, b'x-forwarded-for')):
        if _address(address) is None:
            break
        told['client'] = (address, 0)
        if not _is_in(address, networks):
            break
    return told


def _last(scope: Scope, name: bytes) -> str:
    values = _values(scope, name)
    return values[-1].lower() if values else ''


def _values(scope: Scope, name: bytes) -> list[str]:
    joined = ','.join(value.decode('latin-1') for key, value in scope['headers'] if key == name)
    return [value.strip() for value in joined.split(',')] if joined else []


def _is_in(host: str, networks: Iterable[Network]) -> bool:
    address = _address(host)
    return address is not None and any(address in network for network in networks)


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(host.partition('%')[0])
    except ValueError:
        return None
    return getattr(address, 'ipv4_mapped', None) or address
