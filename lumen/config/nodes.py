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

STANDARD = 'tag:yaml.org,2002:'
NAME_IN_MESSAGE = re.compile(r"'[\w!-]{2,}'")
"""An alias, an anchor or a tag: to YAML, a secret that starts with `*`, `&` or `!` is one."""


class _TooMuch(Exception):
    """The file unfolds to more than MAX_NODES."""


class Parsed:
    """What the file says (`data`: dict, list, str, None), where (`lines`), and what is wrong with how it says it.

    `unread` are the paths whose value is among the faults and stands as an empty text in `data`.
    """

    def __init__(self, text: str):
        self.data: Any = {}
        self.lines: dict[Path, int] = {}
        self.faults: list[Fault] = []
        self.unread: set[Path] = set()
        self._nodes = 0
        try:
            node = yaml.compose(text, Loader=yaml.SafeLoader)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            message = ' '.join(part for part in (error.problem, error.context) if part)
            message = NAME_IN_MESSAGE.sub("'…'", message)
            self.faults.append(Fault((), f'is not YAML: {message}', mark.line + 1 if mark else None))
            return
        except yaml.reader.ReaderError as error:
            line = text.count('\n', 0, error.position) + 1
            self.faults.append(
                Fault((), f'is not YAML: the character U+{error.character:04X} may not stand here', line)
            )
            return
        except (yaml.YAMLError, RecursionError, ValueError) as error:
            self.faults.append(Fault((), f'is not YAML: {str(error).partition(chr(10))[0]}'))
            return
        if node is None or (isinstance(node, MappingNode) and not node.value):
            self.faults.append(Fault((), 'is empty'))
            return
        if not isinstance(node, MappingNode):
            self.faults.append(Fault((), 'must be a mapping of keys to values', node.start_mark.line + 1))
            return
        try:
            self.data = self._plain(node, (), ())
        except RecursionError:
            self.faults = [Fault((), 'is nested too deeply')]
        except _TooMuch:
            self.faults = [Fault((), 'unfolds to too much')]

    def _plain(self, node: Node, path: Path, around: tuple[int, ...]) -> Any:
        self.lines.setdefault(path, node.start_mark.line + 1)
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise _TooMuch
        if id(node) in around:
            return self._unread(path, node, 'contains itself')
        if not node.tag.startswith(STANDARD) or node.tag.startswith(f'{STANDARD}python'):
            # Without the tag itself: it may be a secret that starts with an exclamation mark.
            return self._unread(
                path, node, 'has a tag that is not understood; a text that starts with "!" needs quotes'
            )
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
            if key in found or (*path, key) in self.lines:
                self._fault((*path, key), key_node, f'stands here twice, first in line {self.lines[(*path, key)]}')
                continue
            self.lines[(*path, key)] = key_node.start_mark.line + 1
            value = self._plain(value_node, (*path, key), around)
            if value is None and len(path) == 1 and path[0] in ('clients', 'users', 'groups'):
                value = {}
            found[key] = value
        return found

    def _sequence(self, node: SequenceNode, path: Path, around: tuple[int, ...]) -> list[Any]:
        found = []
        for number, item_node in enumerate(node.value):
            item = self._plain(item_node, (*path, number), around)
            found.append(self._unread((*path, number), item_node, 'is empty') if item is None else item)
        return found

    def _unread(self, path: Path, node: Node, message: str) -> str:
        self._fault(path, node, message)
        self.unread.add(path)
        return ''

    def _fault(self, path: Path, node: Node, message: str) -> None:
        self.faults.append(Fault(path, message, node.start_mark.line + 1))
