"""The order to stop, passed on to what is served the moment it is given: uvicorn tells it only when all has ended."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

ORDERS = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def orders(*, stop: Callable[[], None], hurry: Callable[[], None], is_one_of_several: bool) -> Iterator[None]:
    """Within the block the first order calls `stop`, and then does what it did before; a second one calls `hurry`.

    To one of several processes the first order comes twice, from whoever gave it to all of them and from the process
    above: there only an interrupt is a second one.
    """
    if threading.current_thread() is not threading.main_thread():  # where nobody may listen for signals
        yield
        return
    loop = asyncio.get_running_loop()
    before = {order: signal.getsignal(order) for order in ORDERS}
    is_stopping = False

    def heard(number: int, frame: FrameType | None) -> None:
        nonlocal is_stopping
        if is_stopping:
            if number == signal.SIGINT or not is_one_of_several:
                loop.call_soon_threadsafe(hurry)
            return
        is_stopping = True
        loop.call_soon_threadsafe(stop)
        if callable(handler := before[signal.Signals(number)]):
            handler(number, frame)

    for order in ORDERS:
        signal.signal(order, heard)
    try:
        yield
    finally:
        for order, handler in before.items():
            signal.signal(order, handler)
