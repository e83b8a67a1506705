"""The names of modules that source files import, read from their text without running it."""

from __future__ import annotations

import ast
from collections.abc import Iterable

MOST_BYTES = 1 << 18
"""Of a file that Python's own parser is asked about outside a cell: a tree takes four hundred times the room of its text."""
_ALL_BYTES = 1 << 20


def imported_names(sources: Iterable[bytes]) -> set[str]:
    """Every module that an import statement names, with the packages that it lies in; a file that is no Python, or is too long, imports nothing."""
    found: set[str] = set()
    read = 0
    for source in sources:
        if len(source) > MOST_BYTES or read + len(source) > _ALL_BYTES:
            continue
        read += len(source)
        try:
            tree = ast.parse(source)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                found.update(name for alias in node.names for name in _with_parents(alias.name))
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found.update(_with_parents(node.module))
    return found


def _with_parents(name: str) -> set[str]:
    parts = name.split(".")
    return {".".join(parts[:end]) for end in range(1, len(parts) + 1)}
