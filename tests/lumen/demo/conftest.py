"""Demos in databases of tests, and what is in them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

import models
from lumen import schema
from lumen.config.settings import Settings
from lumen.database import Database
from lumen.demo import Made, Wish, fill

UNTIL = datetime(2026, 3, 4, 16, 20, tzinfo=timezone(timedelta(hours=-6)))
"""A Wednesday afternoon in Illinois."""

MODELS: list[dict[str, Any]] = [
    {
        'name': name,
        'access': 'allowed',
        'input_cost_per_million': price,
        'output_cost_per_million': f'{price}0',
        'context_window': '8192',
        'max_output_tokens': '1024',
        'endpoints': [{'url': f'http://{name}.example.org/v1'}],
    }
    for name, price in (('large', '200'), ('small', '20'), ('free', '0'))
]


def settings(**more: Any) -> Settings:
    values: dict[str, Any] = {
        'admins': ['admin@example.org'],
        'login': {
            'dev_users': [
                {'email': 'admin@example.org', 'name': 'Ada Admin'},
                {'email': 'max@example.org', 'name': 'Max Manager'},
                {'email': 'uma@example.org', 'name': 'Uma User'},
            ]
        },
        'models': MODELS,
        'clients': {
            'default': {'max': '50', 'refresh': '0.05', 'starting': '50'},
            'Research-Bot': {'max': '500', 'refresh': '1', 'starting': '20'},
            'boundless': {'max': '-2', 'starting': '0'},
            'penniless': {'max': '0', 'starting': '0'},
        },
    }
    return Settings.model_validate(values | more)


def make(database: Database, configured: Settings | None = None, **more: Any) -> Made:
    values: dict[str, Any] = {'clients': 60, 'days': 21, 'requests': 3000, 'seed': 1, 'until': UNTIL}
    return database.write_now(fill, Wish(**(values | more)), settings=configured or settings())


def content(database: Database) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table, in a form that is the same on both engines."""

    def rows() -> dict[str, list[tuple[Any, ...]]]:
        return {
            table.__name__: list(table.select().order_by(*table._meta.get_primary_keys()).tuples())
            for table in models.TABLES
        }

    return database.read_now(rows)


@pytest.fixture
def sqlite_database(tmp_path: Path, new_database: Callable[[str], Database]) -> Database:
    """One on SQLite only, where the engine makes no difference."""
    database = new_database(f'sqlite:///{tmp_path}/demo.db')
    schema.migrate(database)
    return database
