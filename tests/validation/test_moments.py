"""Columns of dates, times and decimals under every kind of expectation that compares, counts or orders: the verdict of whole numbers like them."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from tests.validation.test_verdicts import Batches, Expectation, on, suite_of

from prefect_gatehouse.errors import InputError
from prefect_gatehouse.validation.pushdown import registry
from prefect_gatehouse.validation.suite import load_suite
from prefect_gatehouse.validation.validate import validate

DAYS = [1, 2, 3, 3, None, 6]
Spoken = Callable[[int], object]


def days(kind: pa.DataType, *, ahead: int = 0, zone: dt.tzinfo | None = None) -> pa.Array:
    values = [day and dt.datetime(2020, 1, day, tzinfo=zone) - dt.timedelta(hours=ahead) for day in DAYS]
    return pa.array([value and value.date() if pa.types.is_date(kind) else value for value in values], kind)


def tenths(kind: pa.DataType) -> pa.Array:
    return pa.array([day and Decimal(day) / 10 for day in DAYS], kind)


def clocks(kind: pa.DataType) -> pa.Array:
    return pa.array([day and dt.time(day) for day in DAYS], kind)


def texts(form: str) -> pa.Array:
    return pa.array([day and form % day for day in DAYS])


# Each column is the days 1, 2, 3, 3 and 6 in another type, and its texts or numbers are how a suite writes a day.
COLUMNS: dict[str, tuple[pa.Array, Spoken]] = {
    "whole numbers": (pa.array(DAYS, pa.int64()), lambda day: day),
    "date": (days(pa.date32()), lambda day: f"2020-01-{day:02}"),
    "date in milliseconds": (days(pa.date64()), lambda day: f"2020-01-{day:02}"),
    "seconds": (days(pa.timestamp("s")), lambda day: f"2020-01-{day:02}"),
    "nanoseconds": (days(pa.timestamp("ns")), lambda day: f"2020-01-{day:02}T00:00:00.000000000"),
    "microseconds with a blank": (days(pa.timestamp("us")), lambda day: f"2020-01-{day:02} 00:00"),
    "UTC": (days(pa.timestamp("us", "UTC"), zone=dt.UTC), lambda day: f"2020-01-{day:02}"),
    "UTC beside an offset": (days(pa.timestamp("us", "UTC"), zone=dt.UTC), lambda day: f"2020-01-{day:02}T02:00:00+02:00"),
    "the column's own zone": (days(pa.timestamp("ms", "Europe/Athens"), ahead=2, zone=dt.UTC), lambda day: f"2020-01-{day:02}"),
    "another zone beside Z": (days(pa.timestamp("ms", "Europe/Athens"), zone=dt.UTC), lambda day: f"2020-01-{day:02}T00:00:00Z"),
    "time of day": (clocks(pa.time64("us")), lambda day: f"{day:02}:00"),
    "time of day in milliseconds": (clocks(pa.time32("ms")), lambda day: f"{day:02}:00:00.000"),
    "decimal": (tenths(pa.decimal128(10, 2)), lambda day: day / 10),
    "decimal of 38 digits": (tenths(pa.decimal128(38, 18)), lambda day: day / 10),
    "decimal of 76 digits": (tenths(pa.decimal256(76, 10)), lambda day: day / 10),
    "dates of a CSV": (texts("2020-01-%02d"), lambda day: f"2020-01-{day:02}"),
    "moments of a CSV": (texts("2020-01-%02dT00:00:00+00:00"), lambda day: f"2020-01-{day:02}T00:00:00Z"),
}
NUMBERS = {"whole numbers", "decimal", "decimal of 38 digits", "decimal of 76 digits"}
TEXTS = {"dates of a CSV", "moments of a CSV"}


def bounded(d: Spoken) -> list[tuple[Expectation, bool]]:
    """Expectations with bounds."""
    between = "expect_column_{}_to_be_between"
    return [
        (on(between.format("values"), min_value=d(1), max_value=d(6)), True),
        (on(between.format("values"), min_value=d(2)), False),
        (on(between.format("values"), min_value=d(1), strict_min=True), False),
        (on(between.format("values"), max_value=d(6), strict_max=True), False),
        (on(between.format("values"), max_value=d(3), mostly=0.8), True),
        (on(between.format("min"), min_value=d(1), max_value=d(1)), True),
        (on(between.format("min"), min_value=d(2)), False),
        (on(between.format("max"), min_value=d(6), max_value=d(6)), True),
        (on(between.format("max"), max_value=d(5)), False),
        (on(between.format("median"), min_value=d(3), max_value=d(3)), True),
        (on(between.format("median"), max_value=d(2)), False),
        (on(between.format("mean"), min_value=d(2), max_value=d(4)), True),
        (on(between.format("mean"), max_value=d(2)), False),
    ]


def of_sets(d: Spoken) -> list[tuple[Expectation, bool]]:
    """Expectations with sets of values."""
    return [
        (on("expect_column_values_to_be_in_set", value_set=[d(1), d(2), d(3), d(6)]), True),
        (on("expect_column_values_to_be_in_set", value_set=[d(1), d(2), d(3)]), False),
        (on("expect_column_values_to_be_in_set", value_set=[d(1), d(2), d(3)], mostly=0.8), True),
        (on("expect_column_values_to_not_be_in_set", value_set=[d(4), d(5)]), True),
        (on("expect_column_values_to_not_be_in_set", value_set=[d(3)]), False),
        (on("expect_column_distinct_values_to_be_in_set", value_set=[d(1), d(2), d(3), d(4), d(6)]), True),
        (on("expect_column_distinct_values_to_be_in_set", value_set=[d(1)]), False),
        (on("expect_column_distinct_values_to_contain_set", value_set=[d(1), d(2)]), True),
        (on("expect_column_distinct_values_to_contain_set", value_set=[d(4)]), False),
        (on("expect_column_distinct_values_to_equal_set", value_set=[d(1), d(2), d(3), d(6)]), True),
        (on("expect_column_distinct_values_to_equal_set", value_set=[d(1), d(2), d(3)]), False),
        (on("expect_column_most_common_value_to_be_in_set", value_set=[d(3)]), True),
        (on("expect_column_most_common_value_to_be_in_set", value_set=[d(1)]), False),
    ]


def counted() -> list[tuple[Expectation, bool]]:
    """Expectations about how values repeat, compare with another column, and are missing."""
    pair = {"column_A": "x", "column_B": "same"}
    return [
        (on("expect_column_values_to_be_unique"), False),
        (on("expect_column_unique_value_count_to_be_between", min_value=4, max_value=4), True),
        (on("expect_column_proportion_of_unique_values_to_be_between", min_value=0.8, max_value=0.8), True),
        (("expect_compound_columns_to_be_unique", {"column_list": ["x", "row"]}), True),
        (("expect_compound_columns_to_be_unique", {"column_list": ["x", "same"]}), False),
        (("expect_column_pair_values_to_be_equal", pair), True),
        (("expect_column_pair_values_a_to_be_greater_than_b", {**pair, "or_equal": True}), True),
        (("expect_column_pair_values_a_to_be_greater_than_b", pair), False),
        (on("expect_column_values_to_not_be_null"), False),
        (on("expect_column_values_to_not_be_null", mostly=0.8), True),
        (on("expect_column_values_to_be_null", mostly=0.1), True),
        (on("expect_column_proportion_of_non_null_values_to_be_between", min_value=0.8, max_value=0.9), True),
    ]


def verdicts(expectations: list[tuple[Expectation, bool]], table: pa.Table) -> None:
    """Asserts the verdicts over batches of two rows."""
    results = validate(suite_of([each for each, _ in expectations]), Batches(table)).results[: len(expectations)]
    found = [(result.success, result.errored) for result in results]
    assert [(each, verdict) for (each, wanted), verdict in zip(expectations, found, strict=True) if verdict != (wanted, False)] == []


@pytest.mark.parametrize("name", COLUMNS)
def test_the_verdict_of_whole_numbers(name: str) -> None:
    """Bounds, sets, counts and pairs: the same success for the same days whatever their type, and nothing errored."""
    column, spoken = COLUMNS[name]
    table = pa.table({"x": column, "same": column, "row": pa.array(range(len(DAYS)))})
    pairs = [each for each in counted() if name not in TEXTS or "greater" not in each[0][0]]
    verdicts(bounded(spoken) + ([] if name == "moments of a CSV" else of_sets(spoken)) + pairs, table)
    if name in NUMBERS:
        ranges = {"quantiles": [0.0], "value_ranges": [[spoken(1), spoken(2)]]}
        verdicts(
            [
                (on("expect_column_sum_to_be_between", min_value=spoken(15), max_value=spoken(15)), True),
                (on("expect_column_stdev_to_be_between", min_value=0.1, max_value=spoken(2)), True),
                (
                    on("expect_column_quantile_values_to_be_between", quantile_ranges=ranges),
                    True,
                ),
            ],
            table,
        )


def test_the_kinds_that_are_computed_are_all_here_or_about_something_else() -> None:
    """No expectation that this project computes itself is left out: the others are about texts, types, the table, or sums of columns."""
    here = {kind for (kind, _), _ in bounded(str) + of_sets(str) + counted()} | {
        f"expect_column_{figure}_to_be_between" for figure in ("sum", "stdev", "quantile_values")
    }
    rest = set(registry.CHECKS) - here
    assert all(any(word in kind for word in ("table", "regex", "lengths", "type", "exist", "multicolumn")) for kind in rest), rest


def test_bools_are_in_sets_of_truth_values() -> None:
    """True and false, with a gap and without."""
    for values in ([True, False, None], [True, False, True]):
        table = pa.table({"x": pa.array(values)})
        verdicts(
            [
                (on("expect_column_values_to_be_in_set", value_set=[True, False]), True),
                (on("expect_column_values_to_be_in_set", value_set=[True]), False),
            ],
            table,
        )


@pytest.mark.parametrize(
    ("array", "bound"),
    [
        (pa.array([dt.datetime(2020, 1, 1)]), "2020-01-01T00:00:00Z"),  # which zone the column means is not said
        (pa.array([dt.date(2020, 1, 1)]), "12:30"),
        (pa.array([1]), "2020-01-01"),
        (pa.array(["2020-01-01", "x"]), "2020-01-01"),
        (pa.array(["2020-01-01", "2020-01-01T00:00:00Z"]), "2020-01-01"),
        (pa.array(["2020-01-01"]), "2020-01-01T00:00:00Z"),
    ],
)
def test_what_can_not_be_compared_fails_and_says_that_it_errored(array: pa.Array, bound: str) -> None:
    """No guess: a bound that means nothing beside its column is no success."""
    (result, *_) = validate(suite_of([on("expect_column_values_to_be_between", min_value=bound)]), pa.table({"x": array})).results
    assert (result.success, result.errored) == (False, True)


def test_a_time_of_day_loads_as_a_bound(tmp_path: Path) -> None:
    """A suite with a time of day as a bound loads, and passes where it should."""
    expectations: list[dict[str, Any]] = [
        {"type": "expect_table_row_count_to_be_between", "kwargs": {"min_value": 1}},
        {"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "x"}},
        {"type": "expect_column_values_to_be_between", "kwargs": {"column": "x", "min_value": "08:00", "max_value": "17:30"}},
    ]
    path = tmp_path / "suite.json"
    path.write_text(json.dumps({"name": "times", "expectations": expectations}))
    suite = load_suite(path)
    path.write_text(path.read_text().replace("08:00", "2020-02-30"))
    with pytest.raises(InputError, match="min_value"):
        load_suite(path)
    assert validate(suite, pa.table({"x": pa.array([dt.time(8), dt.time(17, 30)])})).success
    assert not validate(suite, pa.table({"x": pa.array([dt.time(8), dt.time(17, 31)])})).success


def test_whole_numbers_beyond_doubles_are_counted_exactly_beside_a_gap() -> None:
    """2^53 and 2^53 + 1 are two values, also where one is missing; a type is that of the column without gaps."""
    table = pa.table({"x": pa.array([2**53, 2**53 + 1, None])})
    verdicts(
        [
            (on("expect_column_values_to_be_unique"), True),
            (on("expect_column_unique_value_count_to_be_between", min_value=2, max_value=2), True),
            (on("expect_column_values_to_be_of_type", type_="int64"), True),
            (on("expect_column_values_to_be_of_type", type_="float64"), False),
            (on("expect_column_values_to_be_in_type_list", type_list=["int64"]), True),
        ],
        table,
    )
