"""How often somebody may do something within a minute, and who that somebody is to those who only see an address."""

from __future__ import annotations

import ipaddress
import math
import time

from limits import RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from starlette.types import Scope

from lumen.errors import LumenError

# Whoever mistypes or clicks twice stays far below; guessing does not get far with it.
SIGN_INS_OF_ONE = 20
# A lecture hall behind one address in which everybody signs in at once.
SIGN_INS_FROM_ADDRESS = 300


class TooMany(LumenError):
    """More than is allowed; `retry_after_seconds` is when there may be room again."""

    code = 'too_many'
    status = 429

    def __init__(self, message: str, *, retry_after_seconds: int):
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class Limiter:
    """Counts in memory: every process for itself, and anew after a restart."""

    def __init__(self) -> None:
        self._strategy = SlidingWindowCounterRateLimiter(MemoryStorage())

    async def count(self, a_minute: int, *identifiers: str) -> None:
        """Count one more. Raises TooMany when it was `a_minute` already."""
        limit = RateLimitItemPerMinute(a_minute)
        if not await self._strategy.hit(limit, *identifiers):
            reset = (await self._strategy.get_window_stats(limit, *identifiers)).reset_time
            seconds = max(1, min(60, math.ceil(reset - time.time())))
            raise TooMany('Too much at once. Wait a little, and try again.', retry_after_seconds=seconds)

    async def count_sign_in(self, email: str, scope: Scope) -> None:
        """Raises TooMany for an address that tries to sign in too often, or a person who does so from anywhere."""
        await self.count(SIGN_INS_FROM_ADDRESS, 'sign-in from', address_of(scope))
        await self.count(SIGN_INS_OF_ONE, 'sign-in as', email.strip().casefold()[:320])


def address_of(scope: Scope) -> str:
    """Whom an address stands for: an IPv6 one for its whole /64, which one customer has to themselves."""
    host = scope['client'][0] if scope.get('client') else ''
    try:
        address = ipaddress.ip_address(host.partition('%')[0])
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is None:
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)
