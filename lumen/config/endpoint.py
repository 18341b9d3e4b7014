"""One model server of a model, as `config.yaml` states it."""

from __future__ import annotations

import re
from functools import cached_property
from pathlib import Path
from typing import Annotated, NamedTuple
from urllib.parse import urljoin, urlsplit

from pydantic import AfterValidator, Field, SecretStr

from lumen.config.fields import BUILTIN, Line, Secret, ServerAddress
from lumen.config.frozen import Frozen

NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
"""RFC 9110, section 5.6.2."""

HOP_BY_HOP = frozenset(
    {
        'connection',
        'keep-alive',
        'proxy-authenticate',
        'proxy-authorization',
        'proxy-connection',
        'te',
        'trailer',
        'transfer-encoding',
        'upgrade',
    }
)
OURS = HOP_BY_HOP | {'host', 'content-length', 'content-type', 'content-encoding', 'accept-encoding', 'expect'}
"""What says how a request is sent, which is not for a file to say."""


def _header_name(name: str) -> str:
    # Not quoted: where a space is missing, its value is a part of it.
    if not NAME.fullmatch(name):
        raise ValueError('is not the name of a header')
    if name.lower() in OURS:
        raise ValueError('is a header that Lumen sends itself')
    return name


def _header_value(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    if not (text.isascii() and text.isprintable()):
        raise ValueError('must be a single line of printable ASCII characters')
    return value


HeaderName = Annotated[str, AfterValidator(_header_name)]
HeaderValue = Annotated[SecretStr, AfterValidator(_header_value)]


class Patience(NamedTuple):
    """Seconds until the first byte of an answer's body, and between its bytes."""

    first: float
    idle: float


def _readable(path: str) -> str:
    try:
        with Path(path).open('rb'):
            return path
    except OSError as error:
        raise ValueError(f'cannot be read: {error.strerror}') from None


ReadableFile = Annotated[Line, AfterValidator(_readable)]


class Secured(NamedTuple):
    """How a connection is secured, otherwise than usual. Made once, for it is looked up at every call."""

    ca_file: str | None = None
    client_certificate: str | None = None
    client_key: str | None = None
    server_name: str | None = None


class Tls(Frozen):
    """Whom the server's certificate must come from and be for, and what Lumen shows of its own."""

    ca_file: ReadableFile | None = None
    client_certificate: ReadableFile | None = None
    client_key: ReadableFile | None = None
    server_name: Line | None = None


def _below(path: str) -> str:
    parts = urlsplit(path)
    if parts.scheme or parts.netloc or not path or ' ' in path or not path.isascii():
        raise ValueError('must be a path at the address of the endpoint, as in models or /health')
    return path


class Probe(Frozen):
    """How it is asked whether it works: a GET of `path`, which is relative to its address (RFC 3986)."""

    interval_seconds: float = Field(default=30, ge=0, le=86_400, allow_inf_nan=False)
    path: Annotated[Line, AfterValidator(_below)] = 'models'
    timeout_seconds: float = Field(default=5, gt=0, le=60, allow_inf_nan=False)


class Identity(NamedTuple):
    """What makes an endpoint another one."""

    url: str
    model: str | None
    api_key: SecretStr | None
    headers: tuple[tuple[str, SecretStr], ...]
    secured: Secured | None


class Endpoint(Frozen):
    """`model` is the name that the server knows the model by; the model's own name when left out."""

    url: ServerAddress
    api_key: Secret | None = None
    model: Line | None = None
    weight: float = Field(default=1, gt=0, le=1_000_000, allow_inf_nan=False)
    concurrency: int | None = Field(default=None, gt=0)
    headers: dict[HeaderName, HeaderValue] = {}
    tls: Tls = Tls()
    continuous_usage: bool = False
    connect_timeout_seconds: float = Field(default=10, gt=0)
    first_byte_timeout_seconds: float | None = Field(default=None, gt=0)
    idle_timeout_seconds: float = Field(default=120, gt=0)
    probe: Probe = Probe()

    @cached_property
    def secured(self) -> Secured | None:
        """None as usual."""
        tls = self.tls
        wishes = Secured(tls.ca_file, tls.client_certificate, tls.client_key, tls.server_name)
        return wishes if any(wishes) else None

    @cached_property
    def patience(self) -> Patience:
        """How long it may say nothing."""
        return Patience(self.first_byte_timeout_seconds or self.idle_timeout_seconds, self.idle_timeout_seconds)

    @cached_property
    def probe_url(self) -> str | None:
        """What is asked whether it works; None where nothing is."""
        if self.url == BUILTIN or not self.probe.interval_seconds:
            return None
        return urljoin(self.url.rstrip('/') + '/', self.probe.path)

    @cached_property
    def identity(self) -> Identity:
        """Made once, for secrets are dear to hash."""
        return Identity(self.url, self.model, self.api_key, self.own_headers, self.secured)

    @cached_property
    def own_headers(self) -> tuple[tuple[str, SecretStr], ...]:
        """`headers` by their names in lower case, as something that can be hashed."""
        return tuple((name.lower(), value) for name, value in self.headers.items())
