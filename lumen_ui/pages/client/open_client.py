"""One open page of a client: what its viewer may see, kept true from moment to moment."""

from __future__ import annotations

import time
from collections.abc import Callable

from nicegui import ui

from lumen.errors import DatabaseUnavailable, LumenError
from lumen.records.history import PAGE_SIZE
from lumen.records.pulse import Pulse, pulse_of_client
from lumen_ui import outage
from lumen_ui.guard import Visitor
from lumen_ui.one_read import OneRead
from lumen_ui.pages.client.view import ClientView, load

INTERVAL_SECONDS = 0.5
AT_LEAST_EVERY_SECONDS = 5.0
"""For what changes by itself: a pool refills, a key expires, somebody gets a new name."""


class OpenClient:
    """`view` is the newest that was read. What stands in `content` goes, with its dialogs, when the client is lost:
    when the viewer may not see it any more.
    """

    def __init__(self, visitor: Visitor, view: ClientView, content: ui.element) -> None:
        self.visitor = visitor
        self.view = view
        self.content = content
        self.show_revoked = False
        self.history_length = PAGE_SIZE
        self._shows: list[Callable[[ClientView], None]] = []
        self._lost: list[Callable[[LumenError], None]] = []
        self._read_once_more = OneRead(self._read_and_show)
        self._pulse: Pulse = ()
        self._due = 0.0
        self._is_forced = False
        self._tell_stale: Callable[[bool], object] = lambda stale: None

    @property
    def client_id(self) -> int:
        return self.view.client.id

    def on_change(self, show: Callable[[ClientView], None]) -> None:
        """Call `show` now and with every newer view."""
        self._shows.append(show)
        show(self.view)

    def on_stale(self, tell: Callable[[bool], object]) -> None:
        """Call `tell` with True when what is shown may not be true any more, with False when it is again."""
        self._tell_stale = tell

    def on_lost(self, tell: Callable[[LumenError], None]) -> None:
        self._lost.append(tell)

    async def keep_true(self) -> None:
        """Show what is true now, when something changed (what is asked for, too) or the time has come."""
        try:
            await self._read_once_more()
        except DatabaseUnavailable as error:
            outage.tell(error)
            self._tell_stale(True)

    async def refresh(self) -> None:
        """Show what is true now, after an action for instance."""
        self._is_forced = True
        await self._read_once_more()

    async def _read_and_show(self) -> None:
        known = () if self._is_forced or time.monotonic() >= self._due else self._pulse
        self._is_forced = False
        try:
            newer = await self.visitor.read(self._newer, known)
        except DatabaseUnavailable:
            raise
        except LumenError as error:
            for tell in self._lost:
                tell(error)
            self._lost.clear()
            return
        self._tell_stale(False)
        if newer is None:
            return
        self._due = time.monotonic() + AT_LEAST_EVERY_SECONDS
        self._pulse, self.view = newer
        for show in self._shows:
            show(self.view)

    def _newer(self, known: Pulse) -> tuple[Pulse, ClientView] | None:
        """Within a read: what there is to see, None when that would be the same as at `known`."""
        visitor, settings = self.visitor, self.visitor.settings
        felt = (*pulse_of_client(visitor.actor, self.client_id), settings, self.show_revoked, self.history_length)
        if felt == known:
            return None
        view = load(
            visitor.actor,
            self.client_id,
            settings=settings,
            include_revoked=self.show_revoked,
            history_length=self.history_length,
        )
        return felt, view
