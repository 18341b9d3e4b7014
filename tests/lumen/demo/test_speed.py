"""How long the largest demo takes, told from a small part of it: in time of the processor, which other tests share."""

from __future__ import annotations

import time
from pathlib import Path

from lumen import schema
from lumen.database import Database
from tests.lumen.demo.conftest import make


def seconds_for(part: int, directory: Path) -> float:
    """For one of so many parts of 100,000 clients with a million requests."""
    database = Database(f'sqlite:///{directory}/{part}.db')
    try:
        schema.migrate(database)
        began = time.process_time()
        make(database, clients=100_000 // part, requests=1_000_000 // part, days=30)
        return time.process_time() - began
    finally:
        database.close()


def test_a_hundred_thousand_clients_with_a_million_requests_take_less_than_90_seconds(tmp_path: Path):
    twentieth, eightieth = seconds_for(20, tmp_path), seconds_for(80, tmp_path)
    assert 20 * twentieth < 90
    assert twentieth < 8 * eightieth, 'it grows faster than what is made, so twenty times a twentieth says little'
