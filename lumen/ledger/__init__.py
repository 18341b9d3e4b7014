"""Coins: holding, settling, refilling, checking. The only rooms that write a balance, a hold or a counter."""

from lumen.ledger.holds import Ask, Held
from lumen.ledger.ledger import Ledger
from lumen.ledger.outcome import Outcome
from lumen.ledger.settlement import Settled

__all__ = ['Ask', 'Held', 'Ledger', 'Outcome', 'Settled']
