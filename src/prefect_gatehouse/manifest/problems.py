"""Problems of a manifest in plain sentences; none repeats a value of the file."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

from pydantic_core import ErrorDetails

from prefect_gatehouse.manifest.fields import Inconsistent
from prefect_gatehouse.manifest.models import Manifest
from prefect_gatehouse.manifest.yaml_tree import Tree

LIMIT = 1000
"""Problems that are told; nobody corrects more at a time."""

_SHOULD = re.compile(r"^[A-Z][a-z]*(?: input)? should (be|have|match)")  # how pydantic's sentences begin
_WANTED = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "decimal_type": "a number",
    "decimal_parsing": "a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "tuple_type": "a list",
    "list_type": "a list",
}


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong."""

    file: str
    line: int
    column: int
    field: str
    message: str
    advice: str = ""

    def place(self) -> str:
        """File, line, column and field, as compilers write them."""
        place = f"{self.file}:{self.line}:{self.column}"
        return f"{place}: {self.field}" if self.field else place

    def as_dict(self) -> dict[str, object]:
        """The problem as ``--json`` prints it."""
        return asdict(self)


def from_pydantic(errors: Sequence[ErrorDetails], file: str, tree: Tree) -> list[Problem]:
    """Pydantic's errors as problems with their places."""
    found = []
    above = {item["loc"][:length] for item in errors for length in range(len(item["loc"]))}
    for item in errors[:LIMIT]:
        kind, loc, context = item["type"], item["loc"], item.get("ctx") or {}
        if kind == "too_short" and loc in above:
            continue  # pydantic does not count an item that is wrong, and says so as well
        error = context.get("error")
        if isinstance(error, Inconsistent):
            for inner, message in error.findings:
                field, (line, column) = tree.locate((*loc, *inner))
                found.append(Problem(file, line, column, field, message))
            continue
        field, (line, column) = tree.locate(loc, missing=kind == "missing")
        message, advice = sentence(kind, item["msg"], loc, context)
        if kind == "string_pattern_mismatch" and _padded(tree.found(loc)):
            message, advice = "there is a blank or a line break at its start or end", "remove it"
        found.append(Problem(file, line, column, field, message, advice))
    if len(errors) > LIMIT:
        line, column = max((problem.line, problem.column) for problem in found)
        found.append(Problem(file, line, column, "", f"there are {len(errors) - LIMIT} more problems", "correct these first"))
    return found


def _padded(value: object) -> bool:
    return isinstance(value, str) and value != value.strip()


def sentence(kind: str, message: str, loc: Sequence[str | int], context: Mapping[str, Any]) -> tuple[str, str]:
    """What is wrong and what to do, for one of pydantic's errors."""
    if kind == "missing":
        return "the field is missing", "add it"
    if kind == "extra_forbidden":
        near = difflib.get_close_matches(str(loc[-1]), _known_names(), 1)
        return "there is no such field", f"did you mean {near[0]}?" if near else "remove it"
    if kind in ("union_tag_not_found", "union_tag_invalid"):
        if "type" in str(context.get("discriminator")):
            return "a column needs a type that exists", "set type to number, integer, boolean, category, date, timestamp or text"
        return "a column needs a rule that exists", "set rule to drop, keep, tokenise or generalise"
    if kind in ("literal_error", "enum"):
        return "the value is none of the allowed ones", f"use {context.get('expected', 'one of the documented values')}"
    if kind in _WANTED:
        # YAML reads a bare no, 0123 or 1:30 as something else than text.
        return f"this must be {_WANTED[kind]}", "put it in quotes" if kind == "string_type" else "correct the value"
    if kind == "string_pattern_mismatch":
        pattern = str(context.get("pattern", ""))
        # A pattern of what is left out is harder to read than a list.
        advice = "leave out control characters and ` | < >" if pattern.startswith("^[^") else f"it must match {pattern}"
        return "the value has not the form that this field has", advice
    if kind == "value_error":
        return str(context.get("error", message)), ""
    return _SHOULD.sub(r"this must \1", message).replace(" after validation", ""), "correct the value"


@cache
def _known_names() -> list[str]:
    schema = Manifest.model_json_schema()
    names = set(schema.get("properties", {}))
    for part in schema.get("$defs", {}).values():
        names |= set(part.get("properties", {}))
    return sorted(names)
