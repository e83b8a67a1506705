"""Reads one of the installation's YAML files of rules: plain YAML, strict types, every key once."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from prefect_gatehouse.errors import InputError
from prefect_gatehouse.manifest.yaml_tree import YamlProblem, parse

Rules = TypeVar("Rules")


def read_rules(path: Path, adapter: TypeAdapter[Rules], what: str, setting: str) -> Rules:
    """The rules of a file.

    Args:
        path: The file.
        adapter: Their type; the same each time, so that a text that was read before is not read again.
        what: What they are, such as ``the tiers``.
        setting: The variable that names the file.

    Raises:
        InputError: The file is missing, no plain YAML, or not of the type.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise InputError(f"{what} can't be read", where=str(path), advice=f"set {setting}") from None
    found: Rules = _rules(text, path, adapter, what)
    return found


@lru_cache(maxsize=8)
def _rules(text: str, path: Path, adapter: TypeAdapter[Rules], what: str) -> Rules:
    """The rules of a text, which a run asks for again before each effect."""
    try:
        tree = parse(text)
    except YamlProblem as problem:
        place = f"{path}:{problem.line}:{problem.column}" + (f": {problem.field}" if problem.field else "")
        advice = problem.advice or "compare the file with the one that ships"
        raise InputError(f"{what} are no plain YAML: {problem.message}", where=place, advice=advice) from None
    for field, line, column, unclear in tree.unclear:
        raise InputError(unclear.reason, where=f"{path}:{line}:{column}: {field}", advice=unclear.advice)
    for field, line, column in tree.repeated:
        raise InputError("the key is given twice", where=f"{path}:{line}:{column}: {field}", advice="keep one of them")
    try:
        # As JSON, so that a list is a tuple and a name a class, but "2" is not 2.
        return adapter.validate_json(json.dumps(tree.value), strict=True)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        parts = [part for part in first["loc"] if part != "[key]"]
        line, column = tree.locate(parts)[1]  # of what is missing the place where it would be
        field = ".".join(str(part) for part in parts)
        place = f"{path}:{line}:{column}" + (f": {field}" if field else "")
        raise InputError(first["msg"], where=place, advice="correct the field") from None
