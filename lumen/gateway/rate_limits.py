"""How many requests and tokens a key may use in a time, counted in this process or in a Redis that processes share.

Requests are counted in sliding windows when they come. Tokens are counted when a call is settled, for nobody knows them
before: a key that has used up its tokens waits until the time is over.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Coroutine
from contextlib import suppress
from functools import lru_cache
from typing import Any, NamedTuple

import structlog
from limits import RateLimitItem, parse_many
from limits.aio.storage import RedisStorage, Storage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from limits.storage import storage_from_string
from pydantic import SecretStr
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from lumen.config.serving import KeyLimits
from lumen.errors import RateLimited
from lumen.gateway.limits_in_memory import InMemory

log = structlog.get_logger()

ANSWER_SECONDS = 0.5
AWAY_SECONDS = 1.0
"""After a failure nobody asks for so long: each call would wait for nothing."""

SAID_EVERY_SECONDS = 10.0


class _State(NamedTuple):
    """Of one limit: how many it allows, how many are left, and in how many seconds there is room again."""

    limit: int
    remaining: int
    reset: int


class RateLimits:
    """Of one event loop. Where the counts cannot be reached nobody is refused: that is logged, and counted."""

    def __init__(self) -> None:
        self.unlimited = 0
        self._url: SecretStr | None = None
        self._storage: Storage = InMemory()
        self._strategy = SlidingWindowCounterRateLimiter(self._storage)
        self._away_until = 0.0
        self._said_at = -SAID_EVERY_SECONDS
        self._beside: set[asyncio.Task[None]] = set()

    def use(self, url: SecretStr | None) -> None:
        """Count there from now on: `memory://`, which is this process, or a Redis. Raises ValueError for no address."""
        if url == self._url:
            return
        self._url = url
        address = 'memory://' if url is None else url.get_secret_value()
        if address.startswith('memory:'):
            self._use(InMemory())
            return
        storage = storage_from_string(
            f'async+{address.replace("valkey", "redis", 1)}',
            implementation='redispy',
            wrap_exceptions=True,
            socket_timeout=ANSWER_SECONDS,
            socket_connect_timeout=ANSWER_SECONDS,
            retry=Retry(NoBackoff(), 0),  # type: ignore[arg-type]  # what the client takes, not what is annotated
        )
        assert isinstance(storage, Storage)  # noqa: S101 - what begins with async+ is
        self._use(storage)
        self._away_until = 0.0

    async def admit(self, key_id: int, limits: KeyLimits) -> dict[str, str]:
        """Count one request of the key; the header fields that tell what is left. Raises RateLimited."""
        if isinstance(self._storage, InMemory) and not limits.tokens:
            return _admitted_here(self._storage, key_id, _items(limits.limit))
        if time.monotonic() < self._away_until:
            self.unlimited += 1
            return {}
        try:
            async with asyncio.timeout(None if isinstance(self._storage, InMemory) else 2 * ANSWER_SECONDS):
                return await self._admit(str(key_id), _items(limits.limit), _items(limits.tokens))
        except RateLimited:
            raise
        except Exception as error:  # noqa: BLE001 - whatever became of it, callers must not stop for a count
            self._is_away(error)
            return {}

    def used(self, key_id: int, limits: KeyLimits, tokens: int) -> None:
        """Count the tokens of a call that ended. Only queues, so it may be called from a `finally`."""
        if limits.tokens and tokens:
            self._do_beside(self._used(str(key_id), _items(limits.tokens), tokens))

    async def close(self) -> None:
        """Count what is to be counted, and leave the Redis."""
        if self._beside:
            await asyncio.wait(self._beside)
        await _close(self._storage)

    async def _admit(
        self, key: str, requests: tuple[RateLimitItem, ...], tokens: tuple[RateLimitItem, ...]
    ) -> dict[str, str]:
        fields: dict[str, str] = {}
        for item in tokens:
            state = await self._tokens(item, key)
            _tell(fields, 'tokens', state)
            if state.remaining == 0:
                raise _refusal(item, 'tokens', state, fields)
        for item in requests if len(requests) > 1 else ():  # what one of them refuses, no other counts
            if not await self._strategy.test(item, 'requests', key):
                raise _refusal(item, 'requests', await self._requests(item, key), fields)
        for item in requests:
            is_admitted = await self._strategy.hit(item, 'requests', key)
            state = await self._requests(item, key)
            _tell(fields, 'requests', state)
            if not is_admitted:
                raise _refusal(item, 'requests', state, fields)
        return fields

    async def _requests(self, item: RateLimitItem, key: str) -> _State:
        reset, remaining = await self._strategy.get_window_stats(item, 'requests', key)
        return _State(item.amount, remaining, _seconds_until(reset, item))

    async def _tokens(self, item: RateLimitItem, key: str) -> _State:
        name = item.key_for('tokens', key)
        used = await self._storage.get(name)
        reset = await self._storage.get_expiry(name) if used else time.time()
        return _State(item.amount, max(0, item.amount - used), _seconds_until(reset, item))

    async def _used(self, key: str, items: tuple[RateLimitItem, ...], tokens: int) -> None:
        try:
            for item in items:
                await self._storage.incr(item.key_for('tokens', key), item.get_expiry(), tokens)
        except Exception as error:  # noqa: BLE001 - as above
            self._is_away(error)

    def _use(self, storage: Storage) -> None:
        self._do_beside(_close(self._storage))
        self._storage = storage
        self._strategy = SlidingWindowCounterRateLimiter(storage)

    def _do_beside(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._beside.add(task)
        task.add_done_callback(self._beside.discard)

    def _is_away(self, error: Exception) -> None:
        self.unlimited += 1
        now = time.monotonic()
        self._away_until = now + AWAY_SECONDS
        if now - self._said_at >= SAID_EVERY_SECONDS:
            self._said_at = now
            log.error('rate limits are not in force: their counts cannot be reached', error=type(error).__name__)


def _admitted_here(storage: InMemory, key_id: int, items: tuple[RateLimitItem, ...]) -> dict[str, str]:
    """`_admit` without tokens, where nothing has to be waited for."""
    fields: dict[str, str] = {}
    windows = [((key_id, item.amount), item.amount, item.get_expiry(), item) for item in items]
    if len(windows) > 1:
        for key, limit, expiry, item in windows:
            if not storage.has_room(key, limit, expiry):
                _, remaining, seconds = storage.hit(key, limit, expiry)
                raise _refusal(item, 'requests', _State(limit, remaining, math.ceil(seconds)), fields)
    for key, limit, expiry, item in windows:
        is_admitted, remaining, seconds = storage.hit(key, limit, expiry)
        state = _State(limit, remaining, math.ceil(seconds))
        _tell(fields, 'requests', state)
        if not is_admitted:
            raise _refusal(item, 'requests', state, fields)
    return fields


async def _close(storage: Storage) -> None:
    if isinstance(storage, RedisStorage):
        with suppress(RedisError):
            await storage.bridge.storage.aclose()  # type: ignore[attr-defined]  # of each kind of bridge


@lru_cache(maxsize=4096)
def _items(rates: str) -> tuple[RateLimitItem, ...]:
    return tuple(parse_many(rates)) if rates else ()


def _seconds_until(moment: float, item: RateLimitItem) -> int:
    return max(0, min(item.get_expiry(), math.ceil(moment - time.time())))


def _tell(fields: dict[str, str], what: str, state: _State) -> None:
    """Of several limits the one of which the least is left is told."""
    name = f'x-ratelimit-remaining-{what}'
    if name not in fields or state.remaining < int(fields[name]):
        fields[f'x-ratelimit-limit-{what}'] = str(state.limit)
        fields[name] = str(state.remaining)
        fields[f'x-ratelimit-reset-{what}'] = f'{state.reset}s'


def _refusal(item: RateLimitItem, what: str, state: _State, fields: dict[str, str]) -> RateLimited:
    _tell(fields, what, state)
    seconds = max(1, state.reset)
    period = item.GRANULARITY.name if item.multiples == 1 else f'{item.multiples} {item.GRANULARITY.name}s'
    return RateLimited(
        f'This key may use {item.amount:,} {what} per {period}. Try again in {seconds:,} seconds.',
        retry_after_seconds=seconds,
        fields=fields,
    )
