"""How a call ended, as whoever made it tells the ledger."""

from __future__ import annotations

from typing import NamedTuple

from lumen.coins import Price


class Outcome(NamedTuple):
    """How a call ended. Tokens are those of the whole call; `estimated` when the model server did not report them."""

    outcome: str
    status: int
    input_tokens: int
    output_tokens: int
    estimated: bool
    endpoint: str
    duration_us: int
    time_to_first_byte_us: int | None = None
    answered_by: tuple[str, Price] | None = None
    """The model that answered, and its price, where that is not the one that coins were held for."""

    audio_us: int = 0
    """Microseconds of audio that were read."""
