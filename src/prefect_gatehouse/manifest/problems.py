"""Problems of a manifest in plain sentences; none repeats a value of the file."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pydantic import BaseModel

from prefect_gatehouse.manifest.models import Manifest

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


def sentence(kind: str, message: str, loc: Sequence[str | int], context: Mapping[str, Any]) -> tuple[str, str]:
    """What is wrong and what to do, for one of pydantic's errors."""
    if kind == "missing":
        return "the field is missing", "add it"
    if kind == "extra_forbidden":
        near = difflib.get_close_matches(str(loc[-1]), sorted(_known_names()), 1)
        return "there is no such field", f"did you mean {near[0]}?" if near else "remove it"
    if kind in ("union_tag_not_found", "union_tag_invalid"):
        return "a column needs a rule that exists", "set rule to drop, keep, tokenise or generalise"
    if kind in ("literal_error", "enum"):
        return "the value is none of the allowed ones", f"use {context.get('expected', 'one of the documented values')}"
    if kind in _WANTED:
        return f"this must be {_WANTED[kind]}", "correct the value"
    if kind == "string_pattern_mismatch":
        return "the value has not the form that this field has", f"it must match {context.get('pattern', '')}"
    if kind == "value_error":
        return str(context.get("error", message)), ""
    return message[:1].lower() + message[1:], "correct the value"


def _known_names(model: type[BaseModel] = Manifest) -> set[str]:
    schema = model.model_json_schema()
    names = set(schema.get("properties", {}))
    for part in schema.get("$defs", {}).values():
        names |= set(part.get("properties", {}))
    return names
