"""Plain elements with their attributes, for what has a meaning in HTML: headings, lists, forms, landmarks."""

from __future__ import annotations

from typing import TypeVar

from nicegui import ui
from nicegui.elements.mixins.text_element import TextElement

from lumen.visible import visible

SHOWN = frozenset({'title', 'hint', 'aria-label', 'aria-valuetext'})
E = TypeVar('E', bound=ui.element)


def tag(name: str, classes: str = '', /, **attributes: str) -> ui.element:
    """An element to put others into. `aria_label='Main'` becomes `aria-label="Main"`."""
    return _with(ui.element(name), classes, attributes)


def text(name: str, content: str, classes: str = '', /, **attributes: str) -> TextElement:
    """An element that holds text, and only ever text. What would steer it is shown instead (`lumen.visible`)."""
    return _with(Text(tag=name, text=content), classes, attributes)


class Text(TextElement):
    """Shows what its `text` is, also when that changes later."""

    def _text_to_model_text(self, text: str) -> None:
        super()._text_to_model_text(visible(text, lines=True))


def set_attributes(element: ui.element, /, **attributes: str) -> None:
    """Set attributes to values that need no quoting, whatever they contain. What people see or hear is made visible."""
    for key, value in attributes.items():
        name = key.rstrip('_').replace('_', '-')
        element.props[name] = visible(value, lines=True) if name in SHOWN else value


def _with(element: E, classes: str, attributes: dict[str, str]) -> E:
    set_attributes(element, **attributes)
    element.classes(classes)
    return element
