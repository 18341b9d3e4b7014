"""A bar for what a coin pool holds of its maximum: free coins, coins held by calls in flight, the rest empty."""

from __future__ import annotations

from nicegui import ui

from lumen_ui.components.markup import set_attributes, tag


class PoolBar:
    def __init__(self) -> None:
        self.element = tag(
            'div', 'pool-bar', role='meter', aria_label='Coin pool', aria_valuemin='0', aria_valuemax='100'
        )
        with self.element:
            self._free = tag('div', 'pool-free')
            self._held = tag('div', 'pool-held')

    def show(self, balance: int, held: int, maximum: int) -> None:
        """All in nanocoins. A balance may be above the maximum, when the maximum was lowered."""
        whole = max(maximum, balance, 1)
        percent = str(100 * balance // whole)
        if self.element.props.get('aria-valuenow') != percent:
            set_attributes(self.element, aria_valuenow=percent, aria_valuetext=f'{percent} % full')
        _widen(self._free, 100 * (balance - held) / whole)
        _widen(self._held, 100 * held / whole)


def _widen(part: ui.element, percent: float) -> None:
    width = f'{percent:.1f}%'
    if part.style.get('width') != width:
        part.style(f'width: {width}')
