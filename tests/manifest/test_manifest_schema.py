"""The JSON Schema for editors says the same as the reader."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from pydantic import ValidationError

from prefect_gatehouse.manifest.models import Manifest
from prefect_gatehouse.manifest.schema import json_schema
from prefect_gatehouse.manifest.yaml_tree import parse

TEMPLATE = (files("prefect_gatehouse") / "templates" / "pipeline" / "gatehouse.yaml.in").read_text(encoding="utf-8")
for word, value in {"NAME": "probe", "PERSON": "p@example.org", "ENVIRONMENT": "local"}.items():
    TEMPLATE = TEMPLATE.replace(f"@{word}@", value)


def document() -> dict[str, object]:
    loaded = yaml.safe_load(TEMPLATE)
    assert isinstance(loaded, dict)
    return loaded


def by_schema(value: object) -> bool:
    return bool(jsonschema.Draft202012Validator(json_schema()).is_valid(value))


def by_reader(value: object) -> bool:
    try:
        Manifest.model_validate_json(json.dumps(value), strict=True, by_alias=True, by_name=False)
    except ValidationError:
        return False
    return True


def test_the_schema_is_one_and_takes_the_template() -> None:
    """It is valid JSON Schema 2020-12 and accepts what gatehouse init writes."""
    jsonschema.Draft202012Validator.check_schema(json_schema())
    assert by_schema(document())
    assert by_reader(document())


CHANGES: dict[str, tuple[tuple[str, ...], object, bool]] = {
    "unknown-field": (("zzz",), 1, False),
    "unknown-field-inside": (("data", "zzz"), 1, False),
    "unknown-field-of-a-column": (("data", "columns", "vibration", "zzz"), 1, False),
    "python-name": (("data", "columns", "vibration", "data_class"), "internal", False),
    "rule-missing": (("data", "columns", "vibration"), {"class": "internal"}, False),
    "rule-unknown": (("data", "columns", "vibration", "rule"), "copy", False),
    "rule-drop": (("data", "columns", "other"), {"rule": "drop"}, True),
    "rule-generalise": (("data", "columns", "other"), {"rule": "generalise", "to": "year"}, True),
    "column-name-with-markup": (("data", "columns", "a|b"), {"rule": "drop"}, False),
    "number-in-quotes": (("execution", "shots"), "1000", False),
    "boolean-for-a-number": (("execution", "shots"), True, False),
    "number-for-text": (("tenant",), 7, False),
    "too-many-shots": (("execution", "shots"), 10**7, False),
    "cost-in-quotes": (("execution", "envelope", "cost"), "0.25", True),
    "cost-negative": (("execution", "envelope", "cost"), -1, False),
    "duration": (("execution", "envelope", "deadline"), "2d", True),
    "duration-without-unit": (("execution", "envelope", "deadline"), "20", False),
    "no-backend": (("execution", "backends"), [], False),
    "other-tier": (("tier",), "lab", False),
    "ticket": (("ticket",), "chg1", False),
    "block-reference": (("credentials", "submit"), "secret", False),
    "parameter-list": (("workload", "parameters", "angles"), [0.5, "x", True], True),
    "parameter-mapping": (("workload", "parameters", "angles"), {"a": 1}, False),
    "parameter-null": (("workload", "parameters", "angles"), None, False),
    "scale-of-three": (("data", "columns", "vibration", "scale"), [0, 1, 2], False),
    "k-of-one": (("data", "k"), 1, False),
    "table-name": (("output", "target", "table"), "drop table", False),
    "nul-in-a-path": (("data", "source"), "a\0b", False),
    "step": (("execution", "angle_step"), 1e-6, True),
    "step-in-quotes": (("execution", "angle_step"), "0.001", False),
    "step-of-nothing": (("execution", "angle_step"), 0, False),
    "step-too-coarse": (("execution", "angle_step"), 0.2, False),
    "output-columns-with-types": (("output", "columns"), {"a": {"type": "number"}, "b": {"type": "text", "length": 5}}, True),
    "output-columns-none": (("output", "columns"), {}, False),
    "output-column-with-markup": (("output", "columns"), {"a|b": {"type": "number"}}, False),
    "output-type-unknown": (("output", "columns"), {"a": {"type": "blob"}}, False),
    "output-type-with-more": (("output", "columns"), {"a": {"type": "number", "values": ["x"]}}, False),
    "output-category-without-values": (("output", "columns"), {"a": {"type": "category"}}, False),
    "systems-no-list": (("systems",), {}, False),
}


@pytest.mark.parametrize("case", CHANGES)
def test_schema_and_reader_agree(case: str) -> None:
    """What an editor accepts the reader accepts, and what it marks the reader refuses."""
    path, value, good = CHANGES[case]
    changed = document()
    place: dict[str, object] = changed
    for key in path[:-1]:
        inner = place[key]
        assert isinstance(inner, dict)
        place = inner
    place[path[-1]] = value
    assert (by_schema(changed), by_reader(changed)) == (good, good)


@pytest.mark.parametrize("field", ["name", "data", "workload", "execution", "output", "tier", "ticket"])
def test_both_miss_a_field(field: str) -> None:
    """A required field is required by both."""
    changed = document()
    del changed[field]
    assert not by_schema(changed)
    assert not by_reader(changed)


def defaults(part: Any, root: dict[str, Any], path: str = "") -> Iterator[tuple[str, Any, dict[str, Any]]]:
    """Place, value and schema of every default in a schema."""
    if isinstance(part, dict):
        if "default" in part:
            yield path, part["default"], {**part, "$defs": root["$defs"]}
        for key, inner in part.items():
            yield from defaults(inner, root, f"{path}/{key}")
    elif isinstance(part, list):
        for place, inner in enumerate(part):
            yield from defaults(inner, root, f"{path}/{place}")


def test_every_default_fits_its_own_schema() -> None:
    """What an editor fills in for a field is what the field may hold, also where the default is a whole section."""
    schema = json_schema()
    found = list(defaults(schema, schema))
    assert {"/$defs/Retention/properties/artifacts", "/properties/retention", "/properties/credentials"} <= {path for path, _, _ in found}
    for path, value, part in found:
        assert list(jsonschema.Draft202012Validator(part).iter_errors(value)) == [], path
    assert schema["$defs"]["Retention"]["properties"]["artifacts"]["default"] == "1d"


ROOT = Path(__file__).resolve().parents[2]


def test_the_documented_schema_is_this_one() -> None:
    """docs/manifest.schema.json is what `make docs` writes now."""
    assert json.loads((ROOT / "docs" / "manifest.schema.json").read_text()) == json_schema()


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*/gatehouse.yaml")), ids=lambda path: path.parent.name)
def test_the_examples_fit(path: Path) -> None:
    """Every example is good to the documented schema and to the reader, which finds no scalar unclear."""
    tree = parse(path.read_text())
    assert tree.unclear == []
    documented = json.loads((ROOT / "docs" / "manifest.schema.json").read_text())
    assert list(jsonschema.Draft202012Validator(documented).iter_errors(tree.value)) == []
    assert by_reader(tree.value)
