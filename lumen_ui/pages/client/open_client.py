"""One open page of a client: what its viewer may see, kept true every second."""

from __future__ import annotations

from collections.abc import Callable

from nicegui import ui

from lumen.errors import LumenError
from lumen_ui.guard import Visitor
from lumen_ui.pages.client.view import ClientView, load

INTERVAL_SECONDS = 1.0


class OpenClient:
    """`view` is the newest that was read. What stands in `content` goes, with its dialogs, when the client is lost:
    when the viewer may not see it any more.
    """

    def __init__(self, visitor: Visitor, view: ClientView, content: ui.element) -> None:
        self.visitor = visitor
        self.view = view
        self.content = content
        self.show_revoked = False
        self._shows: list[Callable[[ClientView], None]] = []
        self._lost: list[Callable[[LumenError], None]] = []
        self._asked = 0
        self._answered = 0

    @property
    def client_id(self) -> int:
        return self.view.client.id

    def on_change(self, show: Callable[[ClientView], None]) -> None:
        """Call `show` now and with every newer view."""
        self._shows.append(show)
        show(self.view)

    def on_lost(self, tell: Callable[[LumenError], None]) -> None:
        self._lost.append(tell)

    async def refresh(self) -> None:
        """Read and show what is true now. An answer that was overtaken by a newer one is dropped."""
        self._asked += 1
        asked = self._asked
        try:
            view = await self.visitor.read(
                load,
                self.visitor.actor,
                self.client_id,
                settings=self.visitor.settings,
                include_revoked=self.show_revoked,
            )
        except LumenError as error:
            for tell in self._lost:
                tell(error)
            self._lost.clear()
            return
        if asked < self._answered:
            return
        self._answered = asked
        self.view = view
        for show in self._shows:
            show(view)
