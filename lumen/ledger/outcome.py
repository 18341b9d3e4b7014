"""How a call ended, as whoever made it tells the ledger."""

from __future__ import annotations

from typing import NamedTuple


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
