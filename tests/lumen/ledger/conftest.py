"""The ledger is tested at the isolation of distributed engines too, where any transaction may have to be repeated."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import fresh


@pytest.fixture(params=['sqlite', 'postgresql', 'serializable'])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of a fresh, migrated database, once for each engine, and for PostgreSQL at SERIALIZABLE besides."""
    yield from fresh(request, tmp_path)
