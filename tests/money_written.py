"""Which statements of a source write a balance, a hold or a counter, under whatever name it has for the table."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping

TABLES = ('Account', 'ApiKey', 'Hold', 'Request', 'HourlyUsage', 'CarriedTotal')
ROWS = '|'.join(('account', 'api_key', 'hold', 'request', 'hourly_usage', 'carried_total'))
FIELDS = (
    'balance|held|granted|accrued|spent|spent_unlimited|touched_at|refill_remainder|requests|input_tokens|output_tokens'
)
STATEMENT = re.compile(rf'(?i)\b((insert\s+into|delete\s+from)\s+"?({ROWS})\b|update\s+"?({ROWS})\b"?\s+set\b)')
WHOLE_ROWS = (
    'create|insert|insert_many|insert_from|bulk_create|get_or_create|replace|replace_many|delete|delete_by_id'
    '|truncate_table'
)
SOME_FIELDS = 'update|update_many|bulk_update|set_by_id'
OF_AN_INSTANCE = ('save', 'delete_instance')
"""They write every column of a row, or take it away; nobody outside the ledger needs them, for whatever table."""

Known = Mapping[str, frozenset[str]]
"""What the names of a scope may stand for: `Account`, `Account.update`."""
Scope = ast.Module | ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda


def money_written(source: str) -> list[str]:
    """The statements, shortened."""
    module = ast.parse(source)
    return [text.strip()[:60] for text in _written(module, {'models': frozenset({'models'})})]


def _written(scope: Scope, outer: Known) -> Iterator[str]:
    known = {**outer, **_named(scope, outer)}
    for node in _inside(scope):
        if isinstance(node, Scope):
            yield from _written(node, known)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and STATEMENT.search(node.value):
            yield node.value
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            if re.fullmatch(FIELDS, node.attr) and ast.unparse(node.value) != 'self':
                yield ast.unparse(node)
        elif isinstance(node, ast.Call) and any(_writes(name, node, scope) for name in _names(node.func, known)):
            yield ast.unparse(node)


def _writes(function: str, call: ast.Call, scope: Scope) -> bool:
    if function in ('bulk.load', 'bulk.Stage'):
        table = call.args[0] if call.args else None
        return not (isinstance(table, ast.Constant) and not re.fullmatch(ROWS, str(table.value)))
    if function == 'setattr':
        return bool(_money(call.args[1], scope)) if len(call.args) > 1 else True
    owner, _, method = function.rpartition('.')
    if method in OF_AN_INSTANCE:
        return True
    if owner not in TABLES:
        return False
    touches_money = any(_money(part, scope) for part in _values(call, method))
    if re.fullmatch(WHOLE_ROWS, method):
        is_key = owner == 'ApiKey' and method == 'create' and not touches_money
        return not is_key
    return re.fullmatch(SOME_FIELDS, method) is not None and touches_money


def _values(call: ast.Call, method: str) -> Iterator[ast.expr | str]:
    """What says which fields are written: names of keywords, keys of mappings, lists of fields."""
    for keyword in call.keywords:
        yield keyword.value if keyword.arg in (None, 'fields') else keyword.arg
    yield from call.args[1:] if method in ('bulk_update', 'set_by_id') else call.args


def _money(said: ast.expr | str, scope: Scope) -> bool:
    """Whether a field of money is named, or what is named cannot be known here."""
    if isinstance(said, str):
        return re.fullmatch(FIELDS, said) is not None
    if isinstance(said, ast.Name):
        assigned = [value for name, value in _assignments(scope) if name == said.id]
        return not assigned or any(isinstance(value, ast.Name) or _money(value, scope) for value in assigned)
    return any(re.fullmatch(FIELDS, word) for word in re.findall(r'\w+', ast.unparse(said)))


def _named(scope: Scope, outer: Known) -> Known:
    """The names that a scope gives to tables and their methods."""
    known: dict[str, frozenset[str]] = {}
    for node in _inside(scope):
        if isinstance(node, ast.Import | ast.ImportFrom):
            prefix = f'{node.module}.' if isinstance(node, ast.ImportFrom) and node.module != 'models' else ''
            known |= {alias.asname: frozenset({prefix + alias.name}) for alias in node.names if alias.asname}
    for _ in range(3):  # a name for a name for a name
        for name, value in _assignments(scope):
            found = _names(value, {**outer, **known})
            if any(table == text.split('.')[0] for text in found for table in (*TABLES, 'models')):
                known[name] = known.get(name, frozenset()) | found
    return known


def _assignments(scope: Scope) -> Iterator[tuple[str, ast.expr]]:
    for node in _inside(scope):
        if isinstance(node, ast.Assign):
            for target in node.targets:
                yield from _paired(target, node.value)
        elif isinstance(node, ast.AnnAssign | ast.NamedExpr) and node.value is not None:
            yield from _paired(node.target, node.value)
        elif isinstance(node, ast.For | ast.comprehension) and isinstance(node.iter, ast.Tuple | ast.List | ast.Set):
            for value in node.iter.elts:
                yield from _paired(node.target, value)
    if not isinstance(scope, ast.Module):
        arguments = [*scope.args.posonlyargs, *scope.args.args]
        defaults = [*zip(reversed(arguments), reversed(scope.args.defaults), strict=False)]
        for argument, default in [*defaults, *zip(scope.args.kwonlyargs, scope.args.kw_defaults, strict=True)]:
            if default is not None:
                yield argument.arg, default


def _paired(target: ast.expr, value: ast.expr) -> Iterator[tuple[str, ast.expr]]:
    if isinstance(target, ast.Name):
        yield target.id, value
    elif isinstance(target, ast.Tuple | ast.List) and isinstance(value, ast.Tuple | ast.List):
        for one, other in zip(target.elts, value.elts, strict=False):
            yield from _paired(one, other)


def _names(node: ast.expr, known: Known) -> frozenset[str]:
    """What an expression may stand for, as `Account` or `Account.update`."""
    if isinstance(node, ast.Name):
        return known.get(node.id, frozenset({node.id}))
    if isinstance(node, ast.IfExp):
        return _names(node.body, known) | _names(node.orelse, known)
    if isinstance(node, ast.Attribute):
        return frozenset(f'{owner}.{node.attr}'.removeprefix('models.') for owner in _names(node.value, known))
    return frozenset({ast.unparse(node)})


def _inside(scope: Scope) -> Iterator[ast.AST]:
    """Every node of a scope; of the scopes within it only themselves."""
    waiting = list(ast.iter_child_nodes(scope))
    while waiting:
        node = waiting.pop(0)
        yield node
        if not isinstance(node, Scope):
            waiting[:0] = ast.iter_child_nodes(node)
