"""A part of the page: a heading, what can be done there, and the content below."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from nicegui import ui

from lumen_ui.components.help_link import help_mark
from lumen_ui.components.markup import tag, text


@contextmanager
def section(title: str, explanation: str = '', *, help_topic: str = '') -> Iterator[ui.element]:
    """Yields the place beside the heading, for buttons."""
    with tag('section', 'panel section'):
        with tag('div', 'section-head'):
            with tag('div'):
                with tag('div', 'with-help'):
                    text('h2', title, 'section-title')
                    if help_topic:
                        help_mark(help_topic)
                if explanation:
                    text('p', explanation, 'muted section-explanation')
            actions = tag('div', 'section-actions')
        yield actions


class NothingHere:
    """What stands in the place of rows, or below them: why there are none or no more, and what to do next."""

    def __init__(self) -> None:
        self._element = text('p', '', 'section-empty')

    def show(self, sentence: str) -> None:
        """An empty sentence hides it."""
        if self._element.text != sentence:
            self._element.text = sentence
        self._element.set_visibility(bool(sentence))
