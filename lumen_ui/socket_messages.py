"""What reaches an open page over its socket: what no page of ours sends is dropped with a line in the log.

NiceGUI takes every message for one of its own pages'. Anybody can speak to a socket instead, and a value of another
kind than its field holds would break whatever reads it later.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any

import structlog
from nicegui import core, ui
from nicegui.element import Element
from nicegui.elements.choice_element import ChoiceElement
from nicegui.elements.mixins.value_element import ValueElement

log = structlog.get_logger()

HANDLED_AT_ONCE = ('event', 'javascript_response', 'ack', 'log')
AWAITED = ('connect', 'handshake')
NONSENSE = (LookupError, TypeError, ValueError, AttributeError)
VALUES = ('update:modelValue', 'update:value')


def install() -> None:
    """Once. NiceGUI has no setting for this, so its handlers are changed."""
    handlers = core.sio.handlers['/']
    for name in HANDLED_AT_ONCE:
        handlers[name] = _dropping(name, handlers[name])
    for name in AWAITED:
        handlers[name] = _refusing(name, handlers[name])
    handle = Element._handle_event

    def handle_what_fits(self: Element, msg: dict[str, Any]) -> None:
        listener = self._event_listeners[msg['listener_id']]
        if isinstance(self, ValueElement) and listener.type in VALUES:
            _check(self, msg['args'])
        handle(self, msg)

    Element._handle_event = handle_what_fits  # type: ignore[method-assign]  # there is no other way in


def _check(element: ValueElement[Any], value: Any) -> None:
    """Raises ValueError when a browser would not send `value` for this element."""
    if isinstance(element, ui.select):
        value = value.get('value') if isinstance(value, dict) else value
    if isinstance(element, ChoiceElement):
        fits = type(value) is int and 0 <= value < len(element.options)
    elif isinstance(element, ui.input):
        fits = value is None or isinstance(value, str)
    else:
        fits = value is None or isinstance(value, bool)
    if not fits:
        raise ValueError('not a value of this element')


def _dropping(name: str, handle: Callable[..., None]) -> Callable[..., None]:
    """What the handlers of our pages raise never comes here: NiceGUI reports that by itself."""

    @wraps(handle)
    def run(*arguments: Any) -> None:
        try:
            handle(*arguments)
        except NONSENSE as error:
            _tell(name, error)

    return run


def _refusing(name: str, handle: Callable[..., Awaitable[bool | None]]) -> Callable[..., Awaitable[bool | None]]:
    @wraps(handle)
    async def run(*arguments: Any) -> bool | None:
        try:
            return await handle(*arguments)
        except NONSENSE as error:
            _tell(name, error)
            return False

    return run


def _tell(name: str, error: Exception) -> None:
    log.warning('a message that no page sends was dropped', message=name, error=type(error).__name__)
