"""What can go wrong, in words that a caller may see: a code, an HTTP status, a message."""

from __future__ import annotations


class LumenError(Exception):
    """A refusal or failure whose message is safe to show. `param` names the field at fault, where there is one."""

    code = 'internal_error'
    status = 500

    def __init__(self, message: str, *, code: str | None = None, status: int | None = None, param: str | None = None):
        super().__init__(message)
        self.message = message
        self.code = code or self.code
        self.status = status or self.status
        self.param = param


class Invalid(LumenError):
    """Something was entered that cannot be; `param` names the field."""

    code = 'invalid_request'
    status = 400


class NotAuthenticated(LumenError):
    code = 'invalid_api_key'
    status = 401


class Forbidden(LumenError):
    code = 'forbidden'
    status = 403


class NotFound(LumenError):
    code = 'not_found'
    status = 404


class Conflict(LumenError):
    code = 'conflict'
    status = 409


class InsufficientCoins(LumenError):
    """A pool cannot pay. Amounts are nanocoins; `available_in_seconds` is None when no refill will ever cover it.

    `obtainable_in_us` is the soonest that the call could be paid, were all calls in flight to cost nothing: 0 when it
    waits for them alone, None when it could never be.
    """

    code = 'insufficient_coins'
    status = 429

    def __init__(
        self,
        message: str,
        *,
        balance: int,
        held: int,
        needed: int,
        available_in_seconds: int | None,
        obtainable_in_us: int | None = None,
    ):
        super().__init__(message)
        self.obtainable_in_us = obtainable_in_us
        self.balance = balance
        self.held = held
        self.needed = needed
        self.available_in_seconds = available_in_seconds


class RateLimited(LumenError):
    """A key that used what it may use in a time. `fields` are headers that tell how much that is."""

    code = 'rate_limit_exceeded'
    status = 429

    def __init__(self, message: str, *, retry_after_seconds: int, fields: dict[str, str] | None = None):
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds
        self.fields = fields or {}


class ConfigurationError(LumenError):
    """A configuration that cannot be used; the message names every fault, one a line."""

    code = 'configuration'


class DatabaseUnavailable(LumenError):
    """The database cannot be used. The message may be shown to anybody; `cause` and `remedy` are for who runs Lumen."""

    code = 'unavailable'
    status = 503

    def __init__(self, cause: str, remedy: str):
        super().__init__('Lumen cannot use its database at the moment. Please try again.')
        self.cause = cause
        self.remedy = remedy

    def __str__(self) -> str:
        return f'{self.cause}; {self.remedy}'


class ShuttingDown(LumenError):
    """A process that was told to stop, and takes or finishes no more."""

    code = 'unavailable'
    status = 503

    def __init__(self) -> None:
        super().__init__('Lumen is shutting down. Please try again.')


class MigrationsPending(LumenError):
    """The database is behind the program."""

    code = 'migrations_pending'


class NewerSchema(LumenError):
    """The database is ahead of the program."""

    code = 'newer_schema'


class OutcomeUnknown(DatabaseUnavailable):
    """The link was lost while the database committed, or it does not answer: it may be done, or not."""

    code = 'outcome_unknown'

    def __init__(self, cause: str = 'the link to the database was lost while it saved') -> None:
        super().__init__(cause, 'look what was saved before you do it again')
        self.message = f'{cause[0].upper()}{cause[1:]}. Look what was saved before you do it again.'
