"""The names of modules that source files import, read from their text without running it."""

from __future__ import annotations

import ast
from collections.abc import Iterable


def imported_names(sources: Iterable[bytes]) -> set[str]:
    """Every module that an import statement names, with the packages that it lies in; a file that is no Python imports nothing."""
    found: set[str] = set()
    for source in sources:
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
