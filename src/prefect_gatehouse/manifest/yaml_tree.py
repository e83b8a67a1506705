"""YAML as a tree with positions: no aliases, no tags, no bombs, and every field knows its line.

The library only finds the scalars; what they mean is ``yaml_scalars``'s to say.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from prefect_gatehouse.manifest.yaml_scalars import Difference, core, difference

_DEPTH = 20  # the manifest itself nests five deep
_NODES = 50_000  # two thousand columns have about twenty thousand
_BITS = 1024  # of a whole number; Python itself refuses to write much longer ones
_SURROGATE = re.compile("[\ud800-\udfff]")  # made by an escape such as \\ud800; JSON and UTF-8 have no form for it
# libyaml is ten times as fast; the pure parser needs minutes for a megabyte of brackets if nothing stops it.
_LOADER: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_OLD_BREAK = re.compile("[\x85\u2028\u2029]")  # line ends in YAML 1.1, characters of the line in 1.2: a reviewer may see what we don't
# A column is often called y, no field of ours that a key names is a truth value, and what a key means is always its text.
_KEYS = frozenset("ynYN")

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
        unclear: Scalars without quotes that YAML 1.1 and 1.2 read differently (path, line, column, why); the value is what 1.2 reads.
    """

    value: object = None
    positions: dict[Path, Position] = field(default_factory=dict)
    repeated: list[tuple[str, int, int]] = field(default_factory=list)
    unclear: list[tuple[str, int, int, Difference]] = field(default_factory=list)

    def locate(self, loc: Sequence[str | int], *, missing: bool = False) -> tuple[str, Position]:
        """The field's dotted name and position; what is missing is named in full and placed at its parent."""
        path = self._path(loc)
        return _dotted((*path, loc[-1]) if missing else path), self.positions.get(path, (1, 1))

    def found(self, loc: Sequence[str | int]) -> object:
        """The plain value at the place that ``locate`` gives for a field."""
        value = self.value
        for key in self._path(loc):
            value = value[key]  # type: ignore[index]  # the path is one of the file's own
        return value

    def _path(self, loc: Sequence[str | int]) -> Path:
        path: Path = ()
        for part in loc:
            # Otherwise the part is a branch that the model took, not a key of the file.
            if (*path, part) in self.positions:
                path = (*path, part)
        return path

    def texts(self) -> Iterator[tuple[Path, str]]:
        """Every text that is a value, with its path."""
        return _texts(self.value, ())

    def at(self, *path: str) -> object:
        """The plain value at a path of keys, None where there is none."""
        value = self.value
        for key in path:
            value = value.get(key) if isinstance(value, dict) else None
        return value


def _texts(value: object, path: Path) -> Iterator[tuple[Path, str]]:
    if isinstance(value, str):
        yield path, value
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inner:
        yield from _texts(item, (*path, key))


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
            raise YamlProblem("the file is empty", "", None)
        tree.value = _build(node, (), tree)
    except yaml.MarkedYAMLError as error:
        raise YamlProblem(f"this is no valid YAML: {error.problem or 'syntax error'}", "check indentation and quotes", error.problem_mark) from None
    except yaml.YAMLError:
        raise YamlProblem("this is no valid YAML: it holds a control character", "save it as plain text", None) from None
    finally:
        if loader is not None:
            loader.dispose()
    if not isinstance(tree.value, dict):
        raise YamlProblem("the file is no mapping of fields", "", None)
    return tree


def _screen(text: str) -> None:
    """Looks at the text as events, before anything is built from it: what is deep, huge, an alias or a tag stops here."""
    found = _OLD_BREAK.search(text)
    if found is not None:
        before = text[: found.start()]
        line, column = before.count("\n"), found.start() - before.rfind("\n") - 1
        advice = "remove it, or write it as an escape in double quotes"
        raise YamlProblem("there is a character that ends a line in YAML 1.1 and none in 1.2", advice, yaml.Mark("", 0, line, column, None, 0))
    depth = nodes = 0
    for event in yaml.parse(text, Loader=_LOADER):
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise YamlProblem("anchors and aliases are not allowed", "write the value out", event.start_mark)
        if isinstance(event, yaml.NodeEvent):
            nodes += 1
            if getattr(event, "tag", None) is not None:
                raise YamlProblem("tags are not allowed", "write a plain value", event.start_mark)
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEPTH:
            raise YamlProblem("the nesting is too deep", "a manifest nests five levels", event.start_mark)
        if nodes > _NODES:
            raise YamlProblem(f"there are more than {_NODES} values", "give the manifest, not the data", event.start_mark)


def _build(node: yaml.Node, path: Path, tree: Tree) -> object:
    tree.positions.setdefault(path, (node.start_mark.line + 1, node.start_mark.column + 1))
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, path, tree)
    if isinstance(node, yaml.SequenceNode):
        return [_build(item, (*path, index), tree) for index, item in enumerate(node.value)]
    assert isinstance(node, yaml.ScalarNode)  # there is no fourth kind
    text = str(node.value)
    if _SURROGATE.search(text):
        raise YamlProblem("this text holds half a character", "write the character itself", node.start_mark, _dotted(path))
    if node.style:
        return text  # in quotes, or a block of lines
    _require_clear(text, path, tree)
    try:
        value = core(text)
    except ValueError:
        raise YamlProblem("this value can't be read", "put it in quotes", node.start_mark, _dotted(path)) from None
    if isinstance(value, int) and value.bit_length() > _BITS:
        raise YamlProblem("this number is too large", "write a smaller one", node.start_mark, _dotted(path))
    return value


def _require_clear(text: str, path: Path, tree: Tree) -> None:
    found = difference(text)
    if found is not None:
        tree.unclear.append((_dotted(path), *tree.positions[path], found))


def _mapping(node: yaml.MappingNode, path: Path, tree: Tree) -> dict[str, object]:
    found: dict[str, object] = {}
    for key_node, value_node in node.value:
        plain = isinstance(key_node, yaml.ScalarNode) and not key_node.style
        if not isinstance(key_node, yaml.ScalarNode) or (plain and key_node.value == "<<"):
            raise YamlProblem("a key must be plain text", "write one name before the colon", key_node.start_mark, _dotted(path))
        name = str(key_node.value)
        if _SURROGATE.search(name):
            raise YamlProblem("this key holds half a character", "write the character itself", key_node.start_mark, _dotted(path))
        position = (key_node.start_mark.line + 1, key_node.start_mark.column + 1)
        if name in found:
            tree.repeated.append((_dotted((*path, name)), *position))
        tree.positions[(*path, name)] = position
        if plain and name not in _KEYS:
            _require_clear(name, (*path, name), tree)
        found[name] = _build(value_node, (*path, name), tree)
    return found
