"""YAML as a tree with positions: no aliases, no tags, no bombs, and every field knows its line."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

_DEPTH = 20  # the manifest itself nests five deep
_NODES = 50_000  # two thousand columns have about twenty thousand
_BITS = 1024  # of a whole number; Python itself refuses to write much longer ones
_SURROGATE = re.compile("[\ud800-\udfff]")  # made by an escape such as \\ud800; JSON and UTF-8 have no form for it
# libyaml is ten times as fast; the pure parser needs minutes for a megabyte of brackets if nothing stops it.
_LOADER: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_PLAIN_TAGS = {f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null", "map", "seq")}

Position = tuple[int, int]
Path = tuple[str | int, ...]


class YamlProblem(Exception):
    """The text is no YAML that a manifest may be."""

    def __init__(self, message: str, advice: str, mark: Any, field_name: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.advice = advice
        self.line = mark.line + 1 if mark is not None else 1
        self.column = mark.column + 1 if mark is not None else 1
        self.field = field_name


@dataclass
class Tree:
    """A parsed document.

    Attributes:
        value: Plain Python values.
        positions: Line and column (from 1) of each path.
        repeated: Keys that a mapping holds twice: path, line, column.
    """

    value: object = None
    positions: dict[Path, Position] = field(default_factory=dict)
    repeated: list[tuple[str, int, int]] = field(default_factory=list)

    def locate(self, loc: Sequence[str | int], *, missing: bool = False) -> tuple[str, Position]:
        """The field's dotted name and position; what is missing is named in full and placed at its parent."""
        path: Path = ()
        for part in loc:
            # Otherwise the part is a branch that the model took, not a key of the file.
            if (*path, part) in self.positions:
                path = (*path, part)
        return _dotted((*path, loc[-1]) if missing else path), self.positions.get(path, (1, 1))

    def at(self, *path: str) -> object:
        """The plain value at a path of keys, None where there is none."""
        value = self.value
        for key in path:
            value = value.get(key) if isinstance(value, dict) else None
        return value


def _dotted(path: Path) -> str:
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def parse(text: str) -> Tree:
    """Parses one document.

    Raises:
        YamlProblem: The text is no YAML, or uses what a manifest may not.
    """
    loader: yaml.SafeLoader | None = None
    try:
        _screen(text)
        loader = _LOADER(text)
        node = loader.get_single_node()
        tree = Tree()
        if node is None:
            raise YamlProblem("the manifest is empty", "start one with: gatehouse init", None)
        tree.value = _build(loader, node, (), tree)
    except yaml.MarkedYAMLError as error:
        raise YamlProblem(f"this is no valid YAML: {error.problem or 'syntax error'}", "check indentation and quotes", error.problem_mark) from None
    except yaml.YAMLError:
        raise YamlProblem("this is no valid YAML: it holds a control character", "save it as plain text", None) from None
    finally:
        if loader is not None:
            loader.dispose()
    if not isinstance(tree.value, dict):
        raise YamlProblem("a manifest is a mapping of fields", "start one with: gatehouse init", None)
    return tree


def _screen(text: str) -> None:
    """Looks at the text as events, before anything is built from it: what is deep, huge, an alias or a tag stops here."""
    depth = nodes = 0
    for event in yaml.parse(text, Loader=_LOADER):
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise YamlProblem("anchors and aliases are not allowed", "write the value out", event.start_mark)
        if isinstance(event, yaml.NodeEvent):
            nodes += 1
            if getattr(event, "tag", None) not in (None, "!"):
                raise YamlProblem("tags are not allowed", "write a plain value", event.start_mark)
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEPTH:
            raise YamlProblem("the nesting is too deep", "a manifest nests five levels", event.start_mark)
        if nodes > _NODES:
            raise YamlProblem(f"there are more than {_NODES} values", "give the manifest, not the data", event.start_mark)


def _build(loader: yaml.SafeLoader, node: yaml.Node, path: Path, tree: Tree) -> object:
    tree.positions.setdefault(path, (node.start_mark.line + 1, node.start_mark.column + 1))
    if isinstance(node, yaml.MappingNode):
        return _mapping(loader, node, path, tree)
    if isinstance(node, yaml.SequenceNode):
        return [_build(loader, item, (*path, index), tree) for index, item in enumerate(node.value)]
    if node.tag not in _PLAIN_TAGS:
        return node.value  # a date or the like: what was written is what counts
    try:
        value: object = loader.construct_object(node)
    except ValueError:
        raise YamlProblem("this value can't be read", "put it in quotes", node.start_mark, _dotted(path)) from None
    if isinstance(value, int) and value.bit_length() > _BITS:
        raise YamlProblem("this number is too large", "write a smaller one", node.start_mark, _dotted(path))
    if isinstance(value, str) and _SURROGATE.search(value):
        raise YamlProblem("this text holds half a character", "write the character itself", node.start_mark, _dotted(path))
    return value


def _mapping(loader: yaml.SafeLoader, node: yaml.MappingNode, path: Path, tree: Tree) -> dict[str, object]:
    found: dict[str, object] = {}
    for key_node, value_node in node.value:
        if not isinstance(key_node, yaml.ScalarNode) or key_node.tag == "tag:yaml.org,2002:merge":
            raise YamlProblem("a key must be plain text", "write one name before the colon", key_node.start_mark, _dotted(path))
        name = key_node.value
        position = (key_node.start_mark.line + 1, key_node.start_mark.column + 1)
        if name in found:
            tree.repeated.append((_dotted((*path, name)), *position))
        tree.positions[(*path, name)] = position
        found[name] = _build(loader, value_node, (*path, name), tree)
    return found
