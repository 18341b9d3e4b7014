"""Figures on cards: a label, a number, and what there is to say about it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType

from lumen import coins
from lumen_ui.components.help_link import help_mark
from lumen_ui.components.markup import set_attributes, tag, text


@contextmanager
def cards() -> Iterator[None]:
    """A row of cards that wraps as the window narrows."""
    with tag('section', 'cards', aria_label='Figures'):
        yield


class FigureCard:
    """One card. What is put `with` it stands below the figure."""

    def __init__(self, label: str, value: str = '–', *, help_topic: str = ''):
        with tag('div', 'card') as self.element:
            with tag('div', 'with-help'):
                text('h2', label, 'card-label')
                if help_topic:
                    help_mark(help_topic)
            self._value = text('p', value, 'card-value figures')

    def set(self, value: str, *, exact: str = '') -> None:
        """Show `value`, and `exact` on hover. Sends nothing when neither changed."""
        if self._value.text != value:
            self._value.text = value
            self._value.style(f'--longest: {max(map(len, value.split()), default=0)}')
        if self._value.props.get('title', '') != exact:
            set_attributes(self._value, title=exact)

    def set_count(self, count: int) -> None:
        self.set(f'{count:,}')

    def set_coins(self, nanocoins: int) -> None:
        """Two decimals, all nine on hover."""
        self.set(coins.short(nanocoins), exact=f'{coins.exact(nanocoins)} coins')

    def __enter__(self) -> FigureCard:
        self.element.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.element.__exit__(kind, error, trace)
