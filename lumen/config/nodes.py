"""YAML as nodes: plain data in which every scalar is still text, and the line of everything.

PyYAML composes the nodes; nothing is constructed, so a name stays `123` or `on` and no coin is ever a float.
"""

from __future__ import annotations

import re
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from lumen.config.faults import Fault, Path

MAX_NODES = 1_000_000
"""Aliases multiply; a file that unfolds to more than this is not a configuration."""

CONTROL = re.compile('[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff]')
"""YAML takes them as escapes in quotes; no database takes a zero byte, and nobody can read the others."""

NAMED = re.compile(r'(alias|anchor|handle) \S+')
STANDARD = 'tag:yaml.org,2002:'


class Parsed:
    """What the file says (`data`: dict, list, str, None), where (`lines`), and what is wrong with how it says it."""

    def __init__(self, text: str):
        self.data: Any = {}
        self.lines: dict[Path, int] = {}
        self.faults: list[Fault] = []
        self._nodes = 0
        try:
            node = yaml.compose(text, Loader=yaml.SafeLoader)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            # The name of an alias, an anchor or a tag may be a secret that begins with *, & or !.
            message = NAMED.sub(r'\1', ' '.join(part for part in (error.problem, error.context) if part))
            self.faults.append(Fault((), f'is not YAML: {message}', mark.line + 1 if mark else None))
            return
        except (yaml.YAMLError, RecursionError, ValueError) as error:
            self.faults.append(Fault((), f'is not YAML: {str(error).partition(chr(10))[0]}'))
            return
        if node is None:
            return
        if not isinstance(node, MappingNode):
            self.faults.append(Fault((), 'must be a mapping of keys to values', node.start_mark.line + 1))
            return
        try:
            self.data = self._plain(node, (), ())
        except RecursionError:
            self.faults.append(Fault((), 'is nested too deeply'))

    def _plain(self, node: Node, path: Path, around: tuple[int, ...]) -> Any:
        self.lines.setdefault(path, node.start_mark.line + 1)
        self._nodes += 1
        if id(node) in around:
            self._fault(path, node, 'contains itself')
            return None
        if self._nodes > MAX_NODES:
            if self._nodes == MAX_NODES + 1:
                self._fault(path, node, 'unfolds to too much')
            return None
        if not node.tag.startswith(STANDARD) or node.tag.startswith(f'{STANDARD}python'):
            # The tag is not repeated: a secret that begins with an exclamation mark is read as one.
            self._fault(path, node, 'has a YAML tag; put text that begins with "!" in quotes')
            return None
        if isinstance(node, ScalarNode) and CONTROL.search(str(node.value)):
            self._fault(path, node, 'contains a control character')
            return None
        if isinstance(node, MappingNode):
            return self._mapping(node, path, (*around, id(node)))
        if isinstance(node, SequenceNode):
            return self._sequence(node, path, (*around, id(node)))
        return None if node.tag == f'{STANDARD}null' else str(node.value)

    def _mapping(self, node: MappingNode, path: Path, around: tuple[int, ...]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, ScalarNode):
                self._fault(path, key_node, 'has a key that is not text')
                continue
            key = str(key_node.value)
            if CONTROL.search(key):
                self._fault(path, key_node, 'has a key with a control character')
                continue
            if key in found or (*path, key) in self.lines:
                self._fault((*path, key), key_node, f'stands here twice, first in line {self.lines[(*path, key)]}')
                continue
            self.lines[(*path, key)] = key_node.start_mark.line + 1
            value = self._plain(value_node, (*path, key), around)
            if value is not None:
                found[key] = value
            elif len(path) == 1 and path[0] in ('clients', 'users', 'groups'):
                found[key] = {}
        return found

    def _sequence(self, node: SequenceNode, path: Path, around: tuple[int, ...]) -> list[Any]:
        found = []
        for number, item_node in enumerate(node.value):
            item = self._plain(item_node, (*path, number), around)
            if item is None:
                self._fault((*path, number), item_node, 'is empty')
            found.append('' if item is None else item)
        return found

    def _fault(self, path: Path, node: Node, message: str) -> None:
        if not any(fault.path == path for fault in self.faults):
            self.faults.append(Fault(path, message, node.start_mark.line + 1))
