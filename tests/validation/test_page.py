"""The report as a page and as a table."""

from __future__ import annotations

import re

import pandas as pd
import pyarrow as pa
import pytest
from tests.support.pages import StrictPage

from prefect_gatehouse.validation.page import by_column, markdown, page
from prefect_gatehouse.validation.report import CheckResult, SuiteReport
from prefect_gatehouse.validation.suite import Suite
from prefect_gatehouse.validation.validate import validate

HOSTILE = "</h2><script>alert(1)</script> | [x](javascript:1) `<img src=x>`\n# y"


def report(*results: CheckResult, suite: str = "input.json") -> SuiteReport:
    success = all(each.success for each in results)
    return SuiteReport(suite=suite, suite_sha256="a" * 64, rows=12345, declared=len(results), loaded=len(results), results=results, success=success)


MIXED = report(
    CheckResult(type="expect_table_row_count_to_equal", column=None, success=True, errored=False, engine="arrow"),
    CheckResult(type="expect_column_values_to_be_unique", column="token", success=True, errored=False, engine="arrow"),
    CheckResult(type="expect_column_values_to_be_between", column="token", success=False, errored=False, engine="arrow"),
    CheckResult(type="expect_column_values_to_be_json_parseable", column="age", success=False, errored=True, engine="great-expectations"),
    CheckResult(type="gatehouse_rows_present", column=None, success=True, errored=False),
)


def test_the_page_says_what_the_report_says() -> None:
    """Suite, digest, rows, engines and each verdict in words; columns in order, what failed first."""
    text = StrictPage(page(MIXED, gate="validate_input", run="run-1")).text
    for piece in (
        "input.json",
        "a" * 64,
        "12,345",
        "2 of 5 checks failed",
        "record batches (3)",
        "Great Expectations (1)",
        "\u2717 errored",
        "validate_input",
        "run-1",
    ):
        assert piece in text
    assert text.count("\u2713 passed") == 3
    assert list(by_column(MIXED.results)) == ["The table", "token", "age"]
    assert [each.success for each in by_column(MIXED.results)["token"]] == [False, True]
    assert "Every check passed" in StrictPage(page(report(MIXED.results[0]), gate="g", run="r")).text


@pytest.mark.parametrize("where", ["suite", "column", "type"])
def test_hostile_names_stay_text(where: str) -> None:
    """A name that is HTML or Markdown is shown as written, on the page and in the table."""
    result = CheckResult(type=HOSTILE if where == "type" else "t", column=HOSTILE if where == "column" else "c", success=True, errored=False)
    hostile = report(result, suite=HOSTILE if where == "suite" else "s")
    assert HOSTILE in StrictPage(page(hostile, gate="g", run="r")).text
    table = markdown(hostile, page_at="/x.html")
    assert "<" not in table
    assert not re.search(r"(?<!\\)[\[\]()`]", "\n".join(table.splitlines()[2:-1] if where != "suite" else table.splitlines()[:1]))
    assert len(table.splitlines()) == len(markdown(report(CheckResult(type="t", column="c", success=True, errored=False)), page_at="x").splitlines())


def test_no_value_reaches_the_page() -> None:
    """Canaries in texts, numbers and objects, through both engines, and through what they raise: the page and the table hold none."""
    kinds = [
        "values_to_be_unique",
        "mean_to_be_between",
        "values_to_be_between",
        "values_to_match_regex",
        "values_to_be_json_parseable",
        "median_to_be_between",
    ]
    extra: dict[str, dict[str, object]] = {"values_to_match_regex": {"regex": "^x"}}
    entries = tuple(
        {"type": f"expect_column_{kind}", "kwargs": {"column": column, **extra.get(kind, {"min_value": 0} if "between" in kind else {})}}
        for kind in kinds
        for column in ("text", "number", "objects")
    )
    suite = Suite("suite.json", "0" * 64, entries, len(entries))  # type: ignore[arg-type]
    columns = {"text": ["CANARYa", "CANARYb", "CANARYb"], "number": [424242.5, 424242.5, -424242.5]}
    frame = pd.DataFrame(columns).assign(objects=pd.Series([b"CANARYbytes", {"CANARY": 1}, "CANARYc"], dtype=object))
    made = validate(suite, frame)
    assert {each.engine for each in made.results} == {"arrow", "great-expectations", "gatehouse"}
    assert any(each.errored for each in made.results)
    shown = [
        page(made, gate="g", run="r"),
        markdown(made, page_at="p"),
        repr(made),
        repr(validate(suite, pa.table({**columns, "objects": ["CANARYc"] * 3}))),
    ]
    assert not any("CANARY" in text or "424242" in text for text in shown)
