"""Coins as whole nanocoins: prices, costs, reading and showing. No float ever holds money.

A coin is 10**9 nanocoins. A price is nanocoins per million tokens, or per hour of audio, so a cost is one division,
rounded half up once.
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation, localcontext
from typing import NamedTuple

NANOCOINS_PER_COIN = 1_000_000_000
TOKENS_PER_PRICE = 1_000_000
SECONDS_PER_PRICE = 3600
US_PER_PRICE = 1_000_000 * SECONDS_PER_PRICE
MAX_NANOCOINS = 2**63 - 1


class Price(NamedTuple):
    """What a model costs, in nanocoins per million input and output tokens, and per hour of `audio`."""

    input: int
    output: int
    audio: int = 0

    @property
    def is_free(self) -> bool:
        return self.input == 0 and self.output == 0 and self.audio == 0

    def cost(self, input_tokens: int, output_tokens: int, audio_us: int = 0) -> int:
        """Nanocoins for so many tokens and microseconds of audio, rounded half up."""
        exact = input_tokens * self.input + output_tokens * self.output
        if not audio_us:
            return (exact + TOKENS_PER_PRICE // 2) // TOKENS_PER_PRICE
        return (exact * SECONDS_PER_PRICE + audio_us * self.audio + US_PER_PRICE // 2) // US_PER_PRICE

    def affordable_output_tokens(self, nanocoins: int, input_tokens: int, audio_us: int = 0) -> int:
        """The most output tokens whose cost, with all that is read, is not above `nanocoins`; 0 when none is."""
        # cost <= N  <=>  exact + half < (N + 1) * per  <=>  exact <= (N + 1) * per - half - 1
        room = (nanocoins + 1) * US_PER_PRICE - US_PER_PRICE // 2 - 1
        room -= input_tokens * self.input * SECONDS_PER_PRICE + audio_us * self.audio
        if room < 0:
            return 0
        return room // (self.output * SECONDS_PER_PRICE) if self.output else MAX_NANOCOINS


def from_text(text: str) -> int:
    """Nanocoins from a decimal string of coins (`'0.05'`, `'1e-9'`).

    Raises ValueError when it is not a finite decimal number, has more than 9 decimals or does not fit in 64 bits.
    """
    try:
        coins = Decimal(text.strip().replace('_', ''))
    except InvalidOperation:
        raise ValueError(f'must be a number of coins, got {text!r}') from None
    if not coins.is_finite():
        raise ValueError(f'must be a finite number of coins, got {text!r}')
    if coins.adjusted() > 12:
        raise ValueError(f'is too large, got {text!r}')
    if coins.adjusted() < -40:
        raise ValueError(f'has more than 9 decimals, got {text!r}')
    with localcontext() as context:
        context.prec = len(text) + 16
        nanocoins = coins.scaleb(9)
        if nanocoins != nanocoins.to_integral_value():
            raise ValueError(f'has more than 9 decimals, got {text!r}')
    if abs(nanocoins) > MAX_NANOCOINS:
        raise ValueError(f'is too large, got {text!r}')
    return int(nanocoins)


def exact(nanocoins: int) -> str:
    """All nine decimals, for exports, tooltips and JSON: `'12.345000000'`."""
    sign = '-' if nanocoins < 0 else ''
    whole, fraction = divmod(abs(nanocoins), NANOCOINS_PER_COIN)
    return f'{sign}{whole}.{fraction:09d}'


def stated(nanocoins: int) -> str:
    """Two decimals, but all nine of so few that two would say none: for sentences that give a reason."""
    return exact(nanocoins) if 0 < abs(nanocoins) < 5_000_000 else short(nanocoins)


def short(nanocoins: int) -> str:
    """Two decimals, rounded half up, thousands separated, for pages: `'1,234.57'`."""
    sign = '-' if nanocoins < 0 else ''
    hundredths = (abs(nanocoins) + 5_000_000) // 10_000_000
    whole, fraction = divmod(hundredths, 100)
    return f'{sign if hundredths else ""}{whole:,}.{fraction:02d}'
