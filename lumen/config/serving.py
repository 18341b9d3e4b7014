"""How the API serves: what keys may use in a time, how long calls wait, what bodies may hold, who may watch."""

from __future__ import annotations

from pydantic import Field

from lumen.config.fields import OptionalRate, Secret, StorageAddress
from lumen.config.frozen import Frozen


class KeyLimits(Frozen):
    """What each key may use in a time; empty for no limit."""

    limit: OptionalRate = ''
    tokens: OptionalRate = ''
    concurrency: int | None = Field(default=None, gt=0)

    @property
    def is_any(self) -> bool:
        return bool(self.limit or self.tokens)


class RateLimiting(KeyLimits):
    storage_url: StorageAddress | None = None


class Budget(Frozen):
    wait_seconds: float = Field(default=30, ge=0, allow_inf_nan=False)


class Monitoring(Frozen):
    token: Secret | None = None


class Prometheus(Frozen):
    enabled: bool = False
    token: Secret | None = None


class Api(Frozen):
    consent: bool = True
    max_body_mb: int = Field(default=32, gt=0)
    max_upload_mb: int = Field(default=100, gt=0)
    upload_buffer_kib: int = Field(default=1024, ge=16, le=32 * 1024)
    monitoring: Monitoring = Monitoring()
    prometheus: Prometheus = Prometheus()
