"""The ledger is tested at the isolation of distributed engines too, where any transaction may have to be repeated."""

import pytest


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Every test that takes each engine takes PostgreSQL at SERIALIZABLE besides."""
    chosen = {name for mark in metafunc.definition.iter_markers('parametrize') for name in mark.args[0].split(',')}
    if 'database_url' in metafunc.fixturenames and 'database_url' not in chosen:
        metafunc.parametrize('database_url', ['sqlite', 'postgresql', 'serializable'], indirect=True)
