"""What is said of an endpoint once."""

from __future__ import annotations

import structlog

log = structlog.get_logger()


class Remarks:
    """What is said of an endpoint once, and not at each of its calls."""

    def __init__(self) -> None:
        self._said: set[tuple[str, str, str]] = set()

    def usage_not_believed(self, model: str, endpoint: str, why: str) -> None:
        """Say that calls are charged an estimate, and why."""
        if (model, endpoint, why) not in self._said:
            self._said.add((model, endpoint, why))
            log.warning(
                'a model server does not report what can be charged: its calls are estimated; this is said once',
                model=model,
                endpoint=endpoint,
                reported=why,
            )
