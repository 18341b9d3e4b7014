"""What the log says of an outage of the database, which every open page finds out again and again."""

from __future__ import annotations

import structlog

from lumen.errors import DatabaseUnavailable
from lumen.seldom import Seldom

log = structlog.get_logger()

TOLD_EVERY_SECONDS = 60.0

_seldom = Seldom(TOLD_EVERY_SECONDS)


def tell(error: DatabaseUnavailable) -> None:
    """Log that a page cannot be kept true, once in a while for all of them."""
    if (untold := _seldom.turn()) is not None:
        log.error('open pages cannot be kept true', error=str(error), failed_before=untold)
