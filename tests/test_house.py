"""The house keeps its floors: who imports what, who writes coins, how long a room gets."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.money_written import money_written

ROOT = Path(__file__).parents[1]
WEB = {'aiohttp', 'fastapi', 'nicegui', 'starlette', 'uvicorn'}

# From the roof down. A file imports from its own floor and from those below.
FLOORS = [
    {'app'},
    {'lumen.server', 'lumen.cli'},
    {'lumen_ui', 'lumen.gateway'},
    {'lumen.demo', 'lumen.ledger', 'lumen.identity', 'lumen.records', 'lumen.access'},
    {
        'lumen.config',
        'lumen.database',
        'lumen.database_address',
        'lumen.database_faults',
        'lumen.commit_fate',
        'lumen.conflicts',
        'lumen.engine',
        'lumen.bulk',
        'lumen.schema',
        'lumen.coins',
        'lumen.errors',
        'lumen.visible',
    },
    {'models'},
]
LONGEST = 300


def rooms() -> Iterator[tuple[str, str]]:
    """Every module of ours by dotted name, with its source."""
    files = [ROOT / 'app.py', ROOT / 'models.py', *(ROOT / 'lumen').rglob('*.py'), *(ROOT / 'lumen_ui').rglob('*.py')]
    for path in files:
        name = '.'.join(path.relative_to(ROOT).with_suffix('').parts)
        yield name.removesuffix('.__init__'), path.read_text()


def imports(source: str) -> set[str]:
    """Every module that a source imports, at its top or anywhere inside."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found.update(f'{node.module}.{alias.name}' for alias in node.names)
    return found


def floor(module: str) -> int | None:
    for number, names in enumerate(FLOORS):
        if any(module == name or module.startswith(f'{name}.') for name in names):
            return number
    return None


def climbing(name: str, source: str) -> list[str]:
    """What is wrong with the imports of one room."""
    found = []
    mine = floor(name)
    for module in imports(source):
        theirs = floor(module)
        if mine is not None and theirs is not None and theirs < mine:
            found.append(f'{name} climbs to {module}')
        if name.startswith('lumen_ui') and module.startswith('lumen.gateway'):
            found.append(f'{name} knows the gateway: {module}')
        if name.startswith('lumen.') and module.split('.')[0] in ('nicegui', 'lumen_ui'):
            found.append(f'{name} knows the pages: {module}')
        engine = mine is not None and mine >= 3
        if engine and module.split('.')[0] in WEB:
            found.append(f'{name} knows a web framework: {module}')
    return found


def test_nobody_climbs():
    assert [fault for name, source in rooms() for fault in climbing(name, source)] == []


@pytest.mark.parametrize(
    ('name', 'source'),
    [
        ('lumen.gateway.relay', 'from lumen_ui.theme import x'),
        ('lumen.gateway.relay', 'import lumen.server.serve'),
        ('lumen_ui.pages.x', 'def f():\n    from lumen.gateway import Gateway'),
        ('lumen.ledger.holds', 'from starlette.types import Send'),
        ('lumen.records.clients', 'from lumen import gateway'),
        ('lumen.config.reading', 'import lumen.records.clients'),
        ('lumen.server.serve', 'from nicegui import ui'),
        ('lumen.server.headers', 'from lumen_ui import theme'),
        ('lumen.cli.serve', 'def f():\n    from lumen_ui.app import mount'),
        ('lumen.access', 'import aiohttp'),
        ('models', 'from lumen import coins'),
    ],
)
def test_a_room_that_climbs_is_found(name: str, source: str):
    assert climbing(name, source)


def test_only_the_ledger_writes_coins():
    written = {
        name: found
        for name, source in rooms()
        if not name.startswith('lumen.ledger') and (found := money_written(source))
    }
    assert written == {}


@pytest.mark.parametrize(
    'source',
    [
        'models.Account.update(balance=5).execute()',
        'models.Account.update({models.Account.spent: 5}).execute()',
        'Account.update(**values).execute()',
        'models.Account.create(kind="client")',
        'models.Hold.delete().execute()',
        'models.Request.insert(cost=1).execute()',
        'models.ApiKey.create(spent=1)',
        'models.HourlyUsage.insert_many([]).execute()',
        'database.execute_sql("update account set held = 0")',
        'database.execute_sql("DELETE FROM hold")',
        'bulk.load("request", COLUMNS, rows)',
        'bulk.load(table, COLUMNS, rows)',
        'bulk.Stage("hourly_usage", COLUMNS, order="hour")',
        'account.balance = 5',
        'account.requests += 1',
        'setattr(account, "balance", 5)',
        'setattr(account, name, 5)',
        'account = models.Account\naccount.update(balance=5).execute()',
        'row = models.Hold\nrow.delete().execute()',
        'row, wanted = models.Hold, []\nrow.delete().execute()',
        'row = other = models.Hold\nother.delete().execute()',
        'row = models.Hold\nsame = row\nsame.delete().execute()',
        'row: type = models.Hold\nrow.delete().execute()',
        'if row := models.Hold:\n    row.delete().execute()',
        'row = models.Hold if wanted else models.Session\nrow.delete().execute()',
        'for row in (models.Session, models.Hold):\n    row.delete().execute()',
        'def forget(row=models.Hold):\n    row.delete().execute()',
        'def forget(*, row=models.Hold):\n    return lambda: row.delete().execute()',
        'row = models.Hold\n\n\ndef forget():\n    row.delete().execute()',
        'remove = models.Hold.delete\nremove().execute()',
        'tables = models\ntables.Hold.delete().execute()',
        'import models as tables\ntables.Hold.delete().execute()',
        'from models import Hold\nHold.delete().execute()',
        'from models import Hold as Row\nRow.delete().execute()',
        'models.Account.set_by_id(1, {"balance": 5})',
        'models.Account.set_by_id(1, values)',
        'models.Account.update(values).execute()',
        'values = {"balance": 5}\nmodels.Account.update(values).execute()',
        'models.Account.bulk_update(rows, ["balance"])',
        'models.Account.bulk_update(rows, fields=[models.Account.balance])',
        'models.Account.update_many(rows, fields=["balance"])',
        'models.Account.bulk_create(rows)',
        'models.Account.get_or_create(handle="x")',
        'models.Account.insert_from(query, fields)',
        'models.Account.delete_by_id(1)',
        'models.ApiKey.insert_many(rows)',
        'account.save()',
        'models.Account.get_by_id(1).delete_instance()',
    ],
)
def test_whoever_else_writes_coins_is_found(source: str):
    assert money_written(source)


@pytest.mark.parametrize(
    'source',
    [
        'models.Account.update(active=True).execute()',
        'models.ApiKey.update(revoked_at=1).execute()',
        'ended = {models.ApiKey.revoked_at: 1}\nmodels.ApiKey.update(ended).execute()',
        'models.ApiKey.create(name="x", digest="y")',
        'models.Account.set_by_id(1, {"active": False})',
        'models.Account.bulk_update(rows, [models.Account.name])',
        'def count():\n    row = models.Hold\n\n\ndef forget():\n    row = models.Session\n    row.delete().execute()',
        'balances.update(spent=5)',
        'setattr(account, "name", 5)',
        'self.balance = 5',
    ],
)
def test_what_is_no_money_may_be_written(source: str):
    assert money_written(source) == []


def test_no_room_is_too_long():
    assert [name for name, source in rooms() if len(source.splitlines()) > LONGEST] == []


def test_every_exception_from_the_linter_has_its_reason():
    bare = [
        f'{name}: {line.strip()}'
        for name, source in rooms()
        for line in source.splitlines()
        if re.search(r'# (noqa|type: ignore)(: ?[\w, ]+|\[[\w, -]+\])?\s*$', line)
    ]
    assert bare == []


def test_every_file_says_what_it_is_for():
    silent = [name for name, source in rooms() if source.strip() and not ast.get_docstring(ast.parse(source))]
    assert silent == []


def test_no_lock_names_a_package_host():
    for path in ROOT.glob('requirements*.txt'):
        text = path.read_text()
        assert '--hash=sha256:' in text
        assert not re.search(r'://|--(extra-)?index-url|--find-links|^-[if] ', text, re.MULTILINE)
