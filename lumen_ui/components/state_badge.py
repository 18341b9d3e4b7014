"""A state in a word and a sign, so that its colour only repeats what can be read."""

from __future__ import annotations

from typing import Literal

from nicegui import ui

from lumen_ui.components.live_table import change
from lumen_ui.components.markup import tag, text

Tone = Literal['good', 'bad', 'quiet']


class StateBadge:
    def __init__(self) -> None:
        with tag('span', 'state') as self._element:
            self._icon = ui.icon('').props('aria-hidden=true')
            self._word = text('span', '')

    def show(self, word: str, icon: str, tone: Tone) -> None:
        if self._word.text == word:
            return
        change(self._word, word)
        self._icon.set_name(icon)
        self._element.classes(replace=f'state state-{tone}')
