"""However many pages are open, and however long the database is away, the log says so once in a while."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from structlog.testing import capture_logs

from lumen import seldom
from lumen.errors import DatabaseUnavailable
from lumen_ui import outage
from lumen_ui.one_read import OneRead
from lumen_ui.pages.client.open_client import OpenClient
from lumen_ui.pages.clients.listing import Listing
from lumen_ui.pages.clients.wanted import Wanted


async def gone(*_: Any) -> None:
    raise DatabaseUnavailable('nobody listens', 'start it')


def open_pages(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    visitor: Any = SimpleNamespace(read=gone, settings=None)
    view: Any = SimpleNamespace(client=SimpleNamespace(id=1))
    one = OpenClient(visitor, view, SimpleNamespace())  # type: ignore[arg-type]  # nothing is shown in it
    monkeypatch.setattr(Listing, '__init__', lambda self: None)
    every: Any = Listing()  # type: ignore[call-arg]  # without its table
    every.wanted, every._visitor, every._pulse, every._due = Wanted(), visitor, (), 0.0
    every._stale = SimpleNamespace(set_visibility=lambda visible: None)
    every._read_once_more = OneRead(every._read_and_show)
    return [one, every]


async def test_an_outage_is_told_once_a_minute_for_all_pages(monkeypatch: pytest.MonkeyPatch):
    moment = 1000.0
    monkeypatch.setattr(outage, '_seldom', seldom.Seldom(outage.TOLD_EVERY_SECONDS))
    monkeypatch.setattr(seldom.time, 'monotonic', lambda: moment)
    pages = open_pages(monkeypatch)

    async def find_out() -> None:
        for _ in range(30):
            for page in pages:
                await page.keep_true()

    with capture_logs() as lines:
        await find_out()
        moment += 59
        await find_out()
        moment += 1
        await find_out()
    assert [(line['error'], line['failed_before']) for line in lines] == [
        ('nobody listens; start it', 0),
        ('nobody listens; start it', 119),
    ]
