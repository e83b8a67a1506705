"""What a suite says of a frame whose numbers are not the real ones: which verdicts would stay, and which only the real counts decide."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from prefect_gatehouse.canonical import Json
from prefect_gatehouse.validation.report import CheckResult, SuiteReport
from prefect_gatehouse.validation.suite import Suite
from prefect_gatehouse.validation.validate import NOT_ALL_NULL, ROWS_PRESENT

# About what a workload writes, not about how often or how much: columns, types, missing values, sets, forms of text.
_LASTING = {
    "expect_table_column_count_to_be_between",
    "expect_table_column_count_to_equal",
    "expect_table_columns_to_match_set",
    "expect_table_columns_to_match_ordered_list",
    "expect_column_to_exist",
    "expect_column_values_to_not_be_null",
    "expect_column_values_to_be_null",
    "expect_column_values_to_be_in_set",
    "expect_column_values_to_not_be_in_set",
    "expect_column_values_to_match_regex",
    "expect_column_values_to_not_match_regex",
    "expect_column_values_to_match_regex_list",
    "expect_column_values_to_not_match_regex_list",
    "expect_column_value_lengths_to_be_between",
    "expect_column_value_lengths_to_equal",
    "expect_column_values_to_be_of_type",
    "expect_column_values_to_be_in_type_list",
    "expect_column_values_to_be_unique",
    "expect_compound_columns_to_be_unique",
    "expect_column_distinct_values_to_be_in_set",
    ROWS_PRESENT,
    NOT_ALL_NULL,
}


@dataclass(frozen=True)
class Standing:
    """The failed expectations by what can become of them, each with its column.

    Attributes:
        broken: They would fail with other numbers too.
        open: With other numbers they may hold.
    """

    broken: tuple[str, ...]
    open: tuple[str, ...]


def standing_of(suite: Suite, report: SuiteReport) -> Standing:
    """Sorts what failed: an expectation that could not be judged at all counts as broken, one for most rows only as open."""
    arguments = [cast("Mapping[str, Json]", each["kwargs"]) for each in suite.expectations]
    broken: list[str] = []
    undecided: list[str] = []
    for place, result in enumerate(report.results):
        if result.success and not result.errored:
            continue
        most = place < len(arguments) and arguments[place].get("mostly", 1) != 1
        lasting = result.errored or (result.type in _LASTING and not most)
        (broken if lasting else undecided).append(_told(result))
    return Standing(tuple(broken), tuple(undecided))


def _told(result: CheckResult) -> str:
    return f"{result.type}({result.column or 'table'}){' errored' if result.errored else ''}"
