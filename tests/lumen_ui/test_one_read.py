"""However often an open page is asked to be true, it reads once at a time, and sees what came last."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from lumen.errors import DatabaseUnavailable
from lumen_ui.one_read import OneRead
from lumen_ui.pages.client.open_client import OpenClient
from lumen_ui.pages.clients.listing import Listing
from lumen_ui.pages.clients.wanted import Wanted

MANY = 1000


class Reads:
    """Stands for the database: every read waits until it is let go."""

    def __init__(self) -> None:
        self.begun = 0
        self.running = 0
        self.most_running = 0
        self.let_go = asyncio.Event()

    async def read(self, *_: Any) -> None:
        self.begun += 1
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        await self.let_go.wait()
        self.running -= 1


async def test_one_runs_and_one_follows_however_many_ask():
    reads = Reads()
    read = OneRead(reads.read)
    asking = [asyncio.create_task(read()) for _ in range(MANY)]
    await asyncio.sleep(0)
    reads.let_go.set()
    await asyncio.gather(*asking)
    assert (reads.begun, reads.most_running) == (2, 1)


async def test_who_asks_waits_for_a_read_that_begins_afterwards():
    asked, seen, let_go = 0, [], asyncio.Event()

    async def look() -> None:
        seen.append(asked)
        await let_go.wait()

    read = OneRead(look)
    first = asyncio.create_task(read())
    await asyncio.sleep(0)
    asked = 1
    second = asyncio.create_task(read())
    await asyncio.sleep(0)
    let_go.set()
    await asyncio.gather(first, second)
    assert seen == [0, 1]


async def test_after_a_read_that_fails_comes_the_next():
    failures = [DatabaseUnavailable('gone', 'wait')]

    async def look() -> None:
        if failures:
            raise failures.pop()

    read = OneRead(look)
    answers = await asyncio.gather(*(read() for _ in range(3)), return_exceptions=True)
    assert [type(answer) for answer in answers] == [DatabaseUnavailable, type(None), type(None)]
    await read()


@pytest.mark.parametrize('kind', ['a client', 'the list'])
async def test_events_without_end_keep_one_reader_busy(kind: str, monkeypatch: pytest.MonkeyPatch):
    reads = Reads()
    visitor: Any = SimpleNamespace(read=reads.read, settings=None)
    if kind == 'a client':
        view: Any = SimpleNamespace(client=SimpleNamespace(id=1))
        page: Any = OpenClient(visitor, view, SimpleNamespace())  # type: ignore[arg-type]  # nothing is shown in it
    else:
        monkeypatch.setattr(Listing, '__init__', lambda self: None)
        page = Listing()  # type: ignore[call-arg]  # without its table
        page.wanted, page._visitor, page._pulse, page._due = Wanted(), visitor, (), 0.0
        page._stale = SimpleNamespace(set_visibility=lambda visible: None)
        page._read_once_more = OneRead(page._read_and_show)
    asking = [asyncio.create_task(page.keep_true()) for _ in range(MANY)]
    await asyncio.sleep(0)
    reads.let_go.set()
    await asyncio.gather(*asking)
    assert (reads.begun, reads.most_running) == (2, 1)
