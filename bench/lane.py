"""What is measured together."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from bench.processes import Running


@dataclass(frozen=True, slots=True)
class Target:
    """What is measured, and the file with the keys to call it with. `running` is the process whose CPU counts.

    `head` is a file with more lines for the head of each call.
    """

    name: str
    port: int
    keys: Path
    running: Running | None
    head: Path | None = None
    database: int | None = None
    """The process of the database server, whose CPU is told apart."""


@dataclass(slots=True)
class Lane:
    """Which targets take turns, at which numbers of connections, whole answers and streams."""

    name: str
    targets: list[Target]
    connections: tuple[int, ...]
    longer: int = 1
    """How much longer its rounds are."""

    bodies: tuple[str, ...] = ('whole', 'stream')
    spread: float = 0
    """Over so many seconds its connections begin, one after the other."""

    missing: dict[str, str] = field(default_factory=dict)
    """Why what belongs here too is not measured, by its name."""

    server: ExitStack = field(default_factory=ExitStack)
    """What they need besides, which ends after them."""
