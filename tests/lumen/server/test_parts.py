"""When a process says that it is ready."""

from __future__ import annotations

import asyncio
import gc
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lumen.config.source import Configuration
from lumen.database import Database
from lumen.server.parts import Parts

READERS = 4


async def test_a_process_whose_readers_are_all_busy_is_ready(database: Database, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr('lumen.server.parts.DATABASE_ANSWERS_WITHIN_SECONDS', 5.0)
    let_go = threading.Event()
    reading = [asyncio.create_task(database.read(let_go.wait, 60)) for _ in range(READERS * 10)]
    await asyncio.sleep(0)
    parts: Any = SimpleNamespace(is_running=True, database=database)
    try:
        assert await Parts.why_not_ready(parts) == ''
    finally:
        let_go.set()
        await asyncio.gather(*reading)


async def test_a_process_whose_database_does_not_answer_is_not_ready(
    database: Database, monkeypatch: pytest.MonkeyPatch
):
    parts: Any = SimpleNamespace(is_running=True, database=database)
    assert await Parts.why_not_ready(parts) == ''
    monkeypatch.setattr('lumen.server.parts.DATABASE_ANSWERS_WITHIN_SECONDS', 0.0)
    assert await Parts.why_not_ready(parts) == 'the database does not answer'


async def test_a_process_that_serves_has_frozen_what_start_up_made_and_collects_seldom(
    database: Database, tmp_path: Path
):
    path = tmp_path / 'config.yaml'
    path.write_text('version: 2')
    configuration = Configuration.load(path, {'LUMEN_ENCRYPTION_KEY': 'e' * 48})
    thresholds, frozen = gc.get_threshold(), gc.get_freeze_count()
    try:
        async with Parts(
            configuration, database, 'gateway', lambda *_: pytest.fail('a gateway has no pages')
        ).running():
            assert gc.get_freeze_count() > frozen + 10_000
            assert gc.get_threshold() == (50_000, 20, 20)
    finally:
        gc.unfreeze()
        gc.set_threshold(*thresholds)
