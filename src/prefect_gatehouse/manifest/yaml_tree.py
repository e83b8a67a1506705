"""YAML as a tree with positions: no aliases, no tags, no bombs, and every field knows its line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

_DEPTH = 20  # the manifest itself nests five deep
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

    def locate(self, loc: Sequence[str | int]) -> tuple[str, Position]:
        """The field's dotted name and position; what is missing is placed at its parent."""
        path: Path = ()
        for part in loc:
            longer = (*path, part)
            if longer in self.positions:
                path = longer
            elif any(known[: len(path)] == path and len(known) > len(path) for known in self.positions) and part == loc[-1]:
                return _dotted(longer), self.positions.get(path, (1, 1))
            # Otherwise the part is a branch that the model took, not a key of the file.
        return _dotted(path), self.positions.get(path, (1, 1))

    def keys(self, path: Path) -> list[str]:
        """The keys of a mapping."""
        return [str(known[-1]) for known in self.positions if known[:-1] == path and known]


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
    loader = yaml.SafeLoader(text)
    try:
        # Looked at as events first: an alias or a tag is refused before anything is built from it.
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
                raise YamlProblem("anchors and aliases are not allowed", "write the value out", event.start_mark)
            if isinstance(event, yaml.NodeEvent) and getattr(event, "tag", None) not in (None, "!"):
                raise YamlProblem("tags are not allowed", "write a plain value", event.start_mark)
        node = loader.get_single_node()
        tree = Tree()
        if node is None:
            raise YamlProblem("the manifest is empty", "start one with: gatehouse init", None)
        tree.value = _build(loader, node, (), tree)
    except yaml.MarkedYAMLError as error:
        raise YamlProblem(f"this is no valid YAML: {error.problem or 'syntax error'}", "check indentation and quotes", error.problem_mark) from None
    except (yaml.YAMLError, RecursionError):
        raise YamlProblem("this is no valid YAML", "check for control characters and deep nesting", None) from None
    finally:
        loader.dispose()
    if not isinstance(tree.value, dict):
        raise YamlProblem("a manifest is a mapping of fields", "start one with: gatehouse init", None)
    return tree


def _build(loader: yaml.SafeLoader, node: yaml.Node, path: Path, tree: Tree) -> object:
    if len(path) > _DEPTH:
        raise YamlProblem("the nesting is too deep", "a manifest nests five levels", node.start_mark)
    tree.positions.setdefault(path, (node.start_mark.line + 1, node.start_mark.column + 1))
    if isinstance(node, yaml.MappingNode):
        return _mapping(loader, node, path, tree)
    if isinstance(node, yaml.SequenceNode):
        return [_build(loader, item, (*path, index), tree) for index, item in enumerate(node.value)]
    if node.tag not in _PLAIN_TAGS:
        return node.value  # a date or the like: what was written is what counts
    try:
        return loader.construct_object(node)
    except ValueError:
        raise YamlProblem("this value can't be read", "put it in quotes", node.start_mark, _dotted(path)) from None


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
