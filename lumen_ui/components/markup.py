"""Plain elements with their attributes, for what has a meaning in HTML: headings, lists, forms, landmarks."""

from __future__ import annotations

from typing import TypeVar

from nicegui import ui
from nicegui.elements.mixins.text_element import TextElement

E = TypeVar('E', bound=ui.element)


def tag(name: str, classes: str = '', /, **attributes: str) -> ui.element:
    """An element to put others into. `aria_label='Main'` becomes `aria-label="Main"`."""
    return _with(ui.element(name), classes, attributes)


def text(name: str, content: str, classes: str = '', /, **attributes: str) -> TextElement:
    """An element that holds text, and only ever text."""
    return _with(TextElement(tag=name, text=content), classes, attributes)


def set_attributes(element: ui.element, /, **attributes: str) -> None:
    """Set attributes to values that need no quoting, whatever they contain."""
    for key, value in attributes.items():
        element.props[key.rstrip('_').replace('_', '-')] = value


def _with(element: E, classes: str, attributes: dict[str, str]) -> E:
    set_attributes(element, **attributes)
    element.classes(classes)
    return element
