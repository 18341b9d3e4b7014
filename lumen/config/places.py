"""Addresses of endpoints as they may be kept and shown: without whatever is secret in them."""

from __future__ import annotations

from functools import lru_cache
from urllib.parse import urlsplit


@lru_cache(maxsize=1024)
def place_of(url: str) -> str:
    """An endpoint's address without a user, a password or a query."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition('@')[2], query='', fragment='').geturl()
