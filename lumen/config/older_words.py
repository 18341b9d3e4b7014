"""The older words of `config.yaml`, turned into today's with a warning each."""

from __future__ import annotations

from typing import Any

from lumen.config.faults import Fault, Path, shown

RENAMED = {'whitelist': 'allowed', 'blacklist': 'blocked', 'graylist': 'allowed'}
TRUE = frozenset({'true', 'yes', 'on', '1', 't', 'y'})
FALSE = frozenset({'false', 'no', 'off', '0', 'f', 'n'})


def modernise(data: dict[str, Any], lines: dict[Path, int]) -> tuple[list[str], list[Fault]]:
    """Change `data` and `lines` in place. Returns what to warn of and what cannot be understood."""
    translation = _Translation(lines)
    for section in ('groups', 'users', 'clients'):
        for name, entry in _mapping(data, section).items():
            access = _mapping(entry, 'model_access')
            path = (section, name, 'model_access')
            translation.lists(access, path)
            translation.default(access, (*path, 'default'))
    translation.default(_mapping(_mapping(data, 'defaults'), 'models'), ('defaults', 'models', 'access'))
    listed = data.get('models')
    for number, model in enumerate(listed if isinstance(listed, list) else ()):
        if isinstance(model, dict):
            translation.model(model, ('models', number))
    return translation.warnings, translation.faults


class _Translation:
    def __init__(self, lines: dict[Path, int]):
        self.warnings: list[str] = []
        self.faults: list[Fault] = []
        self._lines = lines
        self._graylisted: set[str] = set()
        self._graylists_the_rest = False

    def lists(self, access: dict[str, Any], path: Path) -> None:
        lines = self._lines
        for old, new in RENAMED.items():
            if old not in access:
                continue
            names = access.pop(old)
            if names is None:
                names = []
            line = lines.get((*path, old))
            self._warn(line, old, ' and `needs_ack: true` on these models' if old == 'graylist' else '')
            if not isinstance(names, list):
                self.faults.append(Fault((*path, old), 'must be a list', line))
                continue
            if old == 'graylist':
                self._graylisted.update(name for name in names if isinstance(name, str))
            if access.get(new) is None:
                access[new] = []
            present = access[new]
            if isinstance(present, list):
                for number in range(len(names)):
                    lines[(*path, new, len(present) + number)] = lines.get((*path, old, number), line or 0)
                access[new] = present + names
            lines.setdefault((*path, new), line or 0)

    def default(self, section: dict[str, Any], path: Path) -> None:
        if self._value(section, path, ' and `needs_ack: true` on every model without a `needs_ack` of its own'):
            self._graylists_the_rest = True

    def model(self, model: dict[str, Any], path: Path) -> None:
        """Comes after all lists and defaults: they say which models need an acknowledgement."""
        self._active(model, path)
        name = model.get('name')
        is_named = self._value(model, (*path, 'access'), ' and `needs_ack: true`')
        is_named = is_named or (isinstance(name, str) and name in self._graylisted)
        needs_ack = model.get('needs_ack')
        if needs_ack is None and (is_named or self._graylists_the_rest):
            model['needs_ack'] = 'true'
        elif is_named and isinstance(needs_ack, str) and needs_ack.lower() in FALSE:
            model['needs_ack'] = 'true'
            self.warnings.append(
                f'line {self._lines.get((*path, "needs_ack"))}: `needs_ack: {needs_ack}` is not followed: '
                f'a `graylist` makes it true for "{shown(str(name))}"'
            )

    def _value(self, section: dict[str, Any], path: Path, also: str) -> bool:
        """Translate the value that ends `path`. Whether it was a graylist."""
        key = str(path[-1])
        old = section.get(key)
        if not isinstance(old, str) or old not in RENAMED:
            return False
        section[key] = RENAMED[old]
        self._warn(self._lines.get(path), old, also if old == 'graylist' else '')
        return old == 'graylist'

    def _warn(self, line: int | None, old: str, also: str) -> None:
        self.warnings.append(f'line {line}: `{old}` is an older word for `{RENAMED[old]}`{also}')

    def _active(self, model: dict[str, Any], path: Path) -> None:
        if model.get('active') is None:
            model.pop('active', None)
            return
        value = str(model.pop('active')).lower()
        line = self._lines.get((*path, 'active'))
        meant = 'false' if value in TRUE else 'true'
        self.warnings.append(f'line {line}: `active` is an older word; write `disabled: {meant}`')
        if value not in TRUE | FALSE:
            self.faults.append(Fault((*path, 'active'), 'must be true or false', line))
        elif 'disabled' in model:
            self.faults.append(Fault((*path, 'active'), 'says the same as `disabled`; keep only that', line))
        else:
            model['disabled'] = 'true' if value in FALSE else 'false'


def _mapping(section: object, key: str) -> dict[str, Any]:
    found = section.get(key) if isinstance(section, dict) else None
    return found if isinstance(found, dict) else {}
