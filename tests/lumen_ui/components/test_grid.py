from types import SimpleNamespace
from typing import Any

from lumen_ui.components.grid import Column, Grid


def grid(answer: object, asked_for: list[tuple[str, bool]]) -> Grid:
    """Sorted by name, in a browser that gives this answer, or none for an exception."""

    async def run_grid_method(name: str, **options: float) -> Any:
        assert options['timeout'] >= 5, 'connections are slow'
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def on_sort(field: str, descending: bool) -> None:
        asked_for.append((field, descending))

    made = object.__new__(Grid)
    made.element = SimpleNamespace(run_grid_method=run_grid_method)
    made._columns, made._sort, made._on_sort = [Column('name', 'Name')], ('name', False), on_sort
    return made


async def test_an_order_is_asked_for_when_the_browser_says_which():
    asked_for: list[tuple[str, bool]] = []
    await grid([{'colId': 'name', 'sort': 'desc'}], asked_for)._sorted()
    assert asked_for == [('name', True)]


async def test_a_browser_that_does_not_answer_or_says_what_is_no_order_changes_none():
    asked_for: list[tuple[str, bool]] = []
    for answer in (
        TimeoutError(),
        None,
        [],
        ['name'],
        [{'colId': 'id', 'sort': 'asc'}],
        [{'colId': 'name', 'sort': 1}],
    ):
        await grid(answer, asked_for)._sorted()
    assert asked_for == []
