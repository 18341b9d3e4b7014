"""The four cards: what the client used and spent, what its pool holds and how it refills."""

from __future__ import annotations

from lumen import coins
from lumen.ledger.pools import PoolState
from lumen_ui.components.card import FigureCard, cards
from lumen_ui.components.last_time import LastTime
from lumen_ui.components.live_table import change
from lumen_ui.components.markup import tag, text
from lumen_ui.components.pool_bar import PoolBar
from lumen_ui.pages.client.open_client import OpenClient
from lumen_ui.pages.client.view import ClientView


def pool_cards(page: OpenClient) -> None:
    with cards():
        with FigureCard('Total Tokens Used') as tokens:
            split = text('p', '', 'card-note figures')
        with FigureCard('Coins Spent') as spent:
            requests = text('p', '', 'card-note figures')
        pool = _PoolCard()
        refill = _RefillCard()

    def show(view: ClientView) -> None:
        client = view.client
        tokens.set_count(client.input_tokens + client.output_tokens)
        change(split, f'{client.input_tokens:,} input, {client.output_tokens:,} output')
        spent.set_coins(client.spent)
        change(requests, f'in {client.requests:,} {"request" if client.requests == 1 else "requests"}')
        pool.show(client.pool)
        refill.show(client.pool)

    page.on_change(show)


class _PoolCard:
    def __init__(self) -> None:
        with FigureCard('Coin Pool', help_topic='coins') as self._card:
            self._bar = PoolBar()
            self._note = text('p', '', 'card-note figures')

    def show(self, pool: PoolState) -> None:
        self._bar.element.set_visibility(not pool.unlimited and not pool.none)
        if pool.unlimited or pool.balance is None or pool.maximum is None:
            self._card.set('Unlimited')
            change(self._note, _held(pool) or 'Every call is paid for.')
        elif pool.none:
            self._card.set('No budget')
            change(self._note, 'Every call is refused until the configuration gives this client coins.')
        else:
            self._card.set_coins(pool.balance)
            self._bar.show(pool.balance, pool.held, pool.maximum)
            held = _held(pool)
            note = f'of {coins.short(pool.maximum)}' + (f' · {held}' if held else '')
            exact = f'{coins.exact(pool.maximum)} coins at most; {coins.exact(pool.held)} coins held'
            change(self._note, note, exact)


class _RefillCard:
    def __init__(self) -> None:
        with FigureCard('Coin Refill', help_topic='coins') as self._card, tag('p', 'card-note'):
            self._note = text('span', '')
            self._full = LastTime(none='')

    def show(self, pool: PoolState) -> None:
        self._full.show(pool.full_at)
        if pool.unlimited or pool.none:
            self._card.set('–')
            change(self._note, 'Unlimited pools need no refill.' if pool.unlimited else 'There is nothing to refill.')
            return
        self._card.set(f'{coins.short(pool.refresh)} / h', exact=f'{coins.exact(pool.refresh)} coins per hour')
        if pool.full_at is not None:
            change(self._note, 'Full ')
        elif pool.refresh:
            change(self._note, 'The pool is full.')
        else:
            change(self._note, 'This pool does not refill.')


def _held(pool: PoolState) -> str:
    return f'{coins.short(pool.held)} held by calls in flight' if pool.held else ''
