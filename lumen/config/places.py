"""Addresses of endpoints as they may be kept and shown: without whatever is secret in them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from functools import lru_cache
from urllib.parse import urlsplit


@lru_cache(maxsize=1024)
def place_of(url: str) -> str:
    """An endpoint's address without a user, a password or a query."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition('@')[2], query='', fragment='').geturl()


def distinct_places(urls: Iterable[str]) -> list[str]:
    """The places of addresses, in their order: those that stand at the same place get `#2`, `#3` behind it."""
    number: Counter[str] = Counter()
    places = []
    for place in map(place_of, urls):
        number[place] += 1
        places.append(place if number[place] == 1 else f'{place}#{number[place]}')
    return places
