"""The older words of `config.yaml`, turned into today's with a warning each."""

from __future__ import annotations

from typing import Any

from lumen.config.faults import Fault, Path

RENAMED = {'whitelist': 'allowed', 'blacklist': 'blocked', 'graylist': 'allowed'}
TRUE = frozenset({'true', 'yes', 'on', '1'})
FALSE = frozenset({'false', 'no', 'off', '0'})


def modernise(data: dict[str, Any], lines: dict[Path, int]) -> tuple[list[str], list[Fault]]:
    """Change `data` and `lines` in place. Returns what to warn of and what cannot be understood."""
    warnings: list[str] = []
    faults: list[Fault] = []
    graylisted: set[str] = set()
    for section in ('groups', 'users', 'clients'):
        entries = data.get(section)
        for name, entry in entries.items() if isinstance(entries, dict) else ():
            access = entry.get('model_access') if isinstance(entry, dict) else None
            if isinstance(access, dict):
                _lists(access, (section, name, 'model_access'), lines, warnings, faults, graylisted)
    listed = data.get('models')
    for number, model in enumerate(listed if isinstance(listed, list) else ()):
        if isinstance(model, dict):
            _active(model, ('models', number), lines, warnings, faults)
            if isinstance(model.get('name'), str) and model['name'] in graylisted and model.get('needs_ack') is None:
                model['needs_ack'] = 'true'
    return warnings, faults


def _lists(
    access: dict[str, Any],
    path: Path,
    lines: dict[Path, int],
    warnings: list[str],
    faults: list[Fault],
    graylisted: set[str],
) -> None:
    for old, new in RENAMED.items():
        if old not in access:
            continue
        names = access.pop(old)
        if names is None:
            names = []
        line = lines.get((*path, old))
        also = ' and `needs_ack: true` on these models' if old == 'graylist' else ''
        warnings.append(f'line {line}: `{old}` is an older word for `{new}`{also}')
        if not isinstance(names, list):
            faults.append(Fault((*path, old), 'must be a list', line))
            continue
        if old == 'graylist':
            graylisted.update(name for name in names if isinstance(name, str))
        if access.get(new) is None:
            access[new] = []
        present = access[new]
        if isinstance(present, list):
            for number in range(len(names)):
                lines[(*path, new, len(present) + number)] = lines.get((*path, old, number), line or 0)
            access[new] = present + names
        lines.setdefault((*path, new), line or 0)


def _active(
    model: dict[str, Any], path: Path, lines: dict[Path, int], warnings: list[str], faults: list[Fault]
) -> None:
    if model.get('active') is None:
        model.pop('active', None)
        return
    value = str(model.pop('active')).lower()
    line = lines.get((*path, 'active'))
    warnings.append(f'line {line}: `active` is an older word; write `disabled: {"false" if value in TRUE else "true"}`')
    if value not in TRUE | FALSE:
        faults.append(Fault((*path, 'active'), 'must be true or false', line))
    elif 'disabled' in model:
        faults.append(Fault((*path, 'active'), 'says the same as `disabled`; keep only that', line))
    else:
        model['disabled'] = 'true' if value in FALSE else 'false'
