"""Loading a suite."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from prefect_gatehouse.canonical import sha256_bytes
from prefect_gatehouse.errors import DataRefused, InputError
from prefect_gatehouse.validation.suite import LARGEST, absent_columns, load_suite, require_present

ROWS = {"type": "expect_table_row_count_to_be_between", "kwargs": {"min_value": 1}}
NOT_NULL = {"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "a"}}


def written(tmp_path: Path, content: object) -> Path:
    path = tmp_path / "suite.json"
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return path


def suite(*expectations: object, **more: object) -> dict[str, object]:
    return {"name": "s", "expectations": [ROWS, NOT_NULL, *expectations], **more}


def test_a_good_suite_is_reduced_to_types_and_arguments(tmp_path: Path) -> None:
    """The library's own extra keys are accepted and dropped; the digest is that of the file."""
    extra = {
        "type": "expect_column_max_to_be_between",
        "kwargs": {"column": "a", "max_value": 3, "strict_max": True},
        "meta": {"x": 1},
    }
    path = written(tmp_path, suite(extra | {"severity": "info", "id": None}, meta={"great_expectations_version": "1.24.1"}, notes=None))
    loaded = load_suite(path)
    assert loaded.expectations == (ROWS, NOT_NULL, {"type": extra["type"], "kwargs": extra["kwargs"]})
    assert (loaded.name, loaded.declared, loaded.sha256) == ("suite.json", 3, sha256_bytes(path.read_bytes()))


def column(kind: str, **kwargs: object) -> dict[str, object]:
    return {"type": kind, "kwargs": {"column": "a", **kwargs}}


MALFORMED: dict[str, tuple[object, str]] = {
    "not-json": (b"{", r"not valid JSON \(line 1\)"),
    "not-utf-8": (b'{"name": "\xff"}', "not valid JSON"),
    "nan": (b'{"name": "s", "expectations": [NaN]}', "not valid JSON"),
    "double-key": (b'{"name": "s", "expectations": [], "expectations": [1]}', "not valid JSON"),
    "nesting-bomb": (b"[" * 200_000, "not valid JSON"),
    "too-large": (b" " * (LARGEST + 1), "larger than 1 MiB"),
    "list": ([], "no name"),
    "no-name": ({"expectations": [ROWS, NOT_NULL]}, "no name"),
    "no-expectations": ({"name": "s"}, "no expectations"),
    "empty": ({"name": "s", "expectations": []}, "no expectations"),
    "misspelt-key": ({"name": "s", "expectation": []}, "unknown keys"),
    "misspelt-entry-key": (suite({"type": "expect_column_to_exist", "kwarg": {"column": "a"}}), r"\[2\].*unknown keys"),
    "entry-is-text": (suite("expect_column_to_exist"), r"expectations\[2\]"),
    "kwargs-is-list": (suite({"type": "expect_column_to_exist", "kwargs": ["a"]}), r"expectations\[2\]"),
    "misspelt-type": (suite(column("expect_column_values_to_not_be_nul")), r"expectations\[2\]: the type .* unknown"),
    "class-name": (suite(column("ExpectColumnValuesToNotBeNull")), "unknown"),
    "sql-type": (suite({"type": "unexpected_rows_expectation", "kwargs": {"unexpected_rows_query": "x"}}), "unknown"),
    "misspelt-argument": (suite(column("expect_column_values_to_be_between", min_value=0, max_valeu=1)), "max_valeu"),
    "missing-argument": (suite({"type": "expect_column_values_to_be_unique", "kwargs": {}}), "column"),
    "wrong-type": (suite(column("expect_column_value_lengths_to_equal", value={"CANARY": []}, mostly="CANARY")), "mostly"),
    "mostly-zero": (suite(column("expect_column_values_to_be_unique", mostly=0)), "mostly"),
    "no-bounds": (suite(column("expect_column_mean_to_be_between")), "no bound|do not fit"),
    "duplicate": (suite(NOT_NULL), "declared twice"),
    "row-condition": (
        suite(column("expect_column_values_to_be_unique", row_condition="x", condition_parser="pandas")),
        "row_condition",
    ),
    "shows-values": (suite(column("expect_column_values_to_be_unique", result_format="COMPLETE")), "result_format"),
    "no-row-count": ({"name": "s", "expectations": [NOT_NULL]}, "empty table"),
    "row-count-zero": ({"name": "s", "expectations": [{**ROWS, "kwargs": {"min_value": 0}}, NOT_NULL]}, "empty table"),
    "row-count-most": ({"name": "s", "expectations": [{**ROWS, "kwargs": {"max_value": 9}}, NOT_NULL]}, "empty table"),
    "row-count-parameter": (
        {"name": "s", "expectations": [{**ROWS, "kwargs": {"min_value": {"$PARAMETER": "x"}}}, NOT_NULL]},
        "empty table",
    ),
    "no-not-null": ({"name": "s", "expectations": [ROWS]}, "missing values"),
}


@pytest.mark.parametrize("attack", MALFORMED)
def test_malformed_and_vacuous_suites_are_refused(tmp_path: Path, attack: str) -> None:
    """Whatever the library would drop, or would let pass on nothing, is an InputError that names the file and the place."""
    content, message = MALFORMED[attack]
    with pytest.raises(InputError, match=message) as caught:
        load_suite(written(tmp_path, content))
    assert str(caught.value).startswith("suite.json")
    assert "CANARY" not in str(caught.value)


def test_a_missing_suite_says_what_to_do(tmp_path: Path) -> None:
    """A suite that is not there, or is a folder, is an InputError that names the whole path and what to do."""
    for path in (tmp_path / "none.json", tmp_path):
        with pytest.raises(InputError, match="does not exist") as caught:
            load_suite(path)
        assert caught.value.advice
        assert caught.value.where.startswith(str(path))


def test_an_exact_row_count_counts_rows_too(tmp_path: Path) -> None:
    """expect_table_row_count_to_equal with at least one row satisfies the demand for a count."""
    equal = {"type": "expect_table_row_count_to_equal", "kwargs": {"value": 3}}
    assert load_suite(written(tmp_path, {"name": "s", "expectations": [equal, NOT_NULL]})).declared == 2


def test_a_suite_about_what_will_not_be_there(tmp_path: Path) -> None:
    """The plan refuses it with its place, before a job; names count as Great Expectations takes them, and no column's name is repeated."""
    entries = [
        {"type": "expect_table_row_count_to_be_between", "kwargs": {"min_value": 1}},
        {"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "Score"}},
        {"type": "expect_compound_columns_to_be_unique", "kwargs": {"column_list": ["score", "CANARY"]}},
    ]
    (tmp_path / "out.json").write_text(json.dumps({"name": "out", "expectations": entries}))
    loaded = load_suite(tmp_path / "out.json")
    assert absent_columns(loaded, ["score", "canary"]) == []
    require_present(loaded, ["score", "canary"], "output.suite")
    assert absent_columns(loaded, ["score"]) == [(2, "CANARY")]
    with pytest.raises(DataRefused, match=r"out.json: expectations\[2\]") as refused:
        require_present(loaded, ["score"], "output.suite")
    assert "CANARY" not in str(refused.value)
