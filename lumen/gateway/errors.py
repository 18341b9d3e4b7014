"""Errors in OpenAI's shape: `{"error": {"message", "type", "param", "code"}}`."""

from __future__ import annotations

import json

from lumen.errors import InsufficientCoins, LumenError, RateLimited

TYPES = {
    400: 'invalid_request_error',
    401: 'authentication_error',
    403: 'permission_error',
    404: 'invalid_request_error',
    405: 'invalid_request_error',
    408: 'invalid_request_error',
    413: 'invalid_request_error',
    429: 'rate_limit_error',
}


class UpstreamError(LumenError):
    """A model server that failed before its first byte.

    `may_be_repeated` is whether the call can be asked for again without the fear that it is generated twice.
    """

    code = 'upstream_error'
    status = 502
    is_unreachable = False
    may_be_repeated = False

    def __init__(self, message: str, *, code: str | None = None, status: int | None = None, retry_after: str = ''):
        super().__init__(message, code=code, status=status)
        self.retry_after = retry_after


class UpstreamTimeout(UpstreamError):
    """A model server that we stopped waiting for."""

    code = 'upstream_timeout'
    status = 504

    def __init__(self) -> None:
        super().__init__('The model server did not answer in time.')


class ConnectTimeout(UpstreamTimeout):
    """A model server to which no connection came about in time. It was not asked yet."""

    is_unreachable = True
    may_be_repeated = True


class BrokeOff(UpstreamError):
    """A model server that ended its answer too early. It may be asked again if nothing of that had come."""

    may_be_repeated = True


class Refused(UpstreamError):
    """A model server that answered with a failure of its own, which may have passed a moment later, or elsewhere."""

    may_be_repeated = True


class AllBusy(UpstreamError):
    """All endpoints that work have as many calls as they may. Nobody was asked."""

    code = 'upstream_busy'
    status = 429

    def __init__(self) -> None:
        super().__init__('The model servers have as many calls as they may have at once.', retry_after='1')


class PoolExhausted(UpstreamError):
    """A stream that costs more than was held for it, and than the pool has."""

    code = 'insufficient_coins'
    status = 429

    def __init__(self) -> None:
        super().__init__('The coin pool is empty, and this answer would cost more: it ends here.')


class TooLarge(LumenError):
    code = 'request_too_large'
    status = 413


class TooSlow(LumenError):
    code = 'request_timeout'
    status = 408


class MethodNotAllowed(LumenError):
    code = 'method_not_allowed'
    status = 405

    def __init__(self, message: str, allowed: str):
        super().__init__(message)
        self.allowed = allowed


def outcome_of(error: UpstreamError, otherwise: str) -> str:
    """How a call ended that failed like this."""
    if isinstance(error, PoolExhausted):
        return 'insufficient_coins'
    return 'timeout' if error.status == 504 else otherwise


def body(error: LumenError) -> bytes:
    """The error as JSON."""
    is_about_coins = isinstance(error, InsufficientCoins | PoolExhausted)
    kind = 'insufficient_quota' if is_about_coins else TYPES.get(error.status, 'api_error')
    shape = {'message': error.message, 'type': kind, 'param': error.param, 'code': error.code}
    return json.dumps({'error': shape}, ensure_ascii=False).encode('utf-8', 'replace')


def event(error: LumenError) -> bytes:
    """The error as an event of a stream."""
    return b'data: ' + body(error) + b'\n\n'


def headers(error: LumenError) -> dict[str, str]:
    """What an answer with this error carries besides its body."""
    if isinstance(error, InsufficientCoins) and error.available_in_seconds is not None:
        return {'retry-after': str(error.available_in_seconds)}
    if isinstance(error, RateLimited):
        return {'retry-after': str(error.retry_after_seconds), **error.fields}
    if isinstance(error, UpstreamError) and error.status == 429 and error.retry_after:
        return {'retry-after': error.retry_after}
    if isinstance(error, MethodNotAllowed):
        return {'allow': error.allowed}
    if error.status == 401:
        return {'www-authenticate': 'Bearer'}
    return {}
