"""What reaches an open page over its socket: what no page of ours sends is dropped, as the log tells now and then.

NiceGUI takes every message for one of its own pages'. Anybody can speak to a socket instead, and a value of another
kind than its field holds would break whatever reads it later.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any, Literal

import structlog
from engineio.async_drivers.asgi import WebSocket  # type: ignore[import-untyped]  # it has no types
from nicegui import core, nicegui, ui
from nicegui.element import Element
from nicegui.elements.choice_element import ChoiceElement
from nicegui.elements.mixins.value_element import ValueElement

from lumen.seldom import Seldom

log = structlog.get_logger()

ONLY_TRANSPORT: Literal['websocket'] = 'websocket'
"""The other, polling, makes every message a request, and a socket of nothing that could be counted."""

PACKETS = ('1', '3', '4')
"""Good-bye, still here, and what is said: that is all a browser begins with. None of it is bytes."""

HANDLED_AT_ONCE = ('event', 'javascript_response', 'ack')
NONSENSE = (LookupError, TypeError, ValueError, AttributeError, RecursionError)
LONGEST_ID = 100
VALUES = ('update:modelValue', 'update:value')


def install() -> None:
    """Once. NiceGUI has no setting for this, so its handlers are changed."""
    for name in ('engineio.server', 'socketio.server'):
        logging.getLogger(name).handlers.clear()  # theirs write to the terminal, past ours
    core.app.config.socket_io_js_transports = [ONLY_TRANSPORT]
    core.sio.eio.transports = [ONLY_TRANSPORT]
    core.sio.eio._async = core.sio.eio._async | {'websocket': _Frames}
    handlers = core.sio.handlers['/']
    for name in HANDLED_AT_ONCE:
        handlers[name] = _dropping(name, handlers[name])
    handlers['log'] = _ignore  # no page of ours sends any, and anybody could fill the disk with it
    handlers['connect'] = _refusing('connect', handlers['connect'])
    # The one for `connect` shakes hands by itself, through the module's name.
    handlers['handshake'] = nicegui._on_handshake = _refusing('handshake', _fitting(handlers['handshake']))
    core.sio.eio.handlers['message'] = _refusing('packet', core.sio.eio.handlers['message'])
    handle = Element._handle_event

    def handle_what_fits(self: Element, msg: dict[str, Any]) -> None:
        listener = self._event_listeners[msg['listener_id']]
        if isinstance(self, ValueElement) and listener.type in VALUES:
            _check(self, msg['args'])
        handle(self, msg)

    Element._handle_event = handle_what_fits  # type: ignore[method-assign]  # there is no other way in


class _Frames(WebSocket):  # type: ignore[misc]  # as above
    async def wait(self) -> Any:
        """The next that could be read."""
        while True:
            said = await super().wait()
            if isinstance(said, str) and said.startswith(PACKETS):
                return said
            _tell('frame', ValueError())


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
    """What the handlers of our pages raise never comes here: NiceGUI reports that by itself.

    A page is spoken for by the socket that shook hands for it, and by no other that knows its id.
    """

    @wraps(handle)
    def run(socket_id: str, *arguments: Any) -> None:
        try:
            (said,) = arguments
            if said['client_id'] not in core.sio.rooms(socket_id):
                raise LookupError('not of this socket')
            handle(socket_id, said)
        except NONSENSE as error:
            _tell(name, error)

    return run


def _ignore(*_: Any) -> None:
    pass


def _fitting(shake: Callable[..., Awaitable[bool]]) -> Callable[..., Awaitable[bool]]:
    """NiceGUI keeps what a handshake says before it looks at it, and cannot let go of a page by an id that is none."""

    @wraps(shake)
    async def run(socket_id: str, said: Any) -> bool:
        ids = [said['client_id'], said['tab_id'], said['document_id'], said.get('old_tab_id') or '']
        number = said.get('next_message_id')
        if not all(isinstance(each, str) and len(each) <= LONGEST_ID for each in ids):
            raise TypeError('not an id')
        if number is not None and not (type(number) is int or (isinstance(number, str) and number.isdecimal())):
            raise TypeError('not a number')
        return await shake(socket_id, said)

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


_seldom = Seldom()


def _tell(name: str, error: Exception) -> None:
    if (untold := _seldom.turn()) is not None:
        kind = type(error).__name__
        log.warning('a message that no page sends was dropped', message=name, error=kind, dropped_before=untold)
