"""The same verdicts as Great Expectations: expectations x arguments x types x data, both engines on the same table."""

from __future__ import annotations

import datetime
import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from functools import cache
from typing import Any

import hypothesis.strategies as st
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings

from prefect_gatehouse.errors import InputError
from prefect_gatehouse.validation import validate as module
from prefect_gatehouse.validation.forms import form_of, understood
from prefect_gatehouse.validation.gx import run
from prefect_gatehouse.validation.gx_import import registry
from prefect_gatehouse.validation.pushdown import registry as checks
from prefect_gatehouse.validation.report import CheckResult
from prefect_gatehouse.validation.suite import Suite, build
from prefect_gatehouse.workload.features import as_frame

Expectation = tuple[str, dict[str, Any]]
_LEFT = CheckResult(type="left", column=None, success=False, errored=True, engine="great-expectations")

BIG = 2**53
DATA: dict[str, pa.Array] = {
    "ints": pa.array([3, 1, 2, 2, 5, 4], pa.int64()),
    "ints-unique": pa.array([3, 1, 2, 7, 5, 4], pa.int64()),
    "ints-with-null": pa.array([3, None, 2, 2, 5, 4], pa.int64()),
    "ints-negative": pa.array([-3, -1, -2, 0, 1, 2], pa.int64()),
    "ints-huge": pa.array([BIG, BIG + 1, BIG + 2, 1, 2, 3], pa.int64()),
    "ints-huge-with-null": pa.array([BIG, BIG + 1, None, 1, 2, 3], pa.int64()),
    "ints-small": pa.array([3, 1, 2, 2, None, 4], pa.int8()),
    "ints-unsigned": pa.array([3, 1, 2, 2, 9, 4], pa.uint64()),
    "floats": pa.array([0.1, 0.2, 0.3, 2.0, 5.5, 4.0], pa.float64()),
    "floats-whole": pa.array([1.0, 2.0, 2.0, -0.0, 0.0, 4.0], pa.float64()),
    "floats-nan": pa.array([0.5, math.nan, 2.0, None, 5.0, 2.0], pa.float64()),
    "floats-inf": pa.array([0.5, math.inf, 2.0, -math.inf, 5.0, 2.0], pa.float64()),
    "floats-all-nan": pa.array([math.nan] * 6, pa.float64()),
    "floats-single": pa.array([0.1, 0.2, 2.0, None, 5.0, 2.0], pa.float32()),
    "floats-constant": pa.array([2.0] * 6, pa.float64()),
    "texts": pa.array(["a", "b", "c", "b", "ab", "2"]),
    "texts-unique": pa.array(["a", "b", "c", "d", "ab", "abcdefghijklmnop"]),
    "texts-with-null": pa.array(["a", None, "c", "b", "ab", ""]),
    "texts-unicode": pa.array(["ä", "ß", "é", "٣", "中文", "a\n"]),
    "texts-large": pa.array(["a", "b", "c", "b", "ab", "2"], pa.large_string()),
    "texts-view": pa.array(["a", "b", "c", "b", "ab", None], pa.string_view()),
    "texts-dates": pa.array(["2020-01-01", "2020-02-01", "2021-01-01", "2020-01-01", None, "x"]),
    "categories": pa.array(["a", "b", None, "b", "ab", "a"]).dictionary_encode(),
    "bools": pa.array([True, False, True, True, False, True]),
    "bools-with-null": pa.array([True, None, True, True, False, True]),
    "dates": pa.array([datetime.date(2020, 1, day) for day in (1, 2, 3, 3, 5, 6)]),
    "times": pa.array([datetime.datetime(2020, 1, day) for day in (1, 2, 3, 3, 5, 6)], pa.timestamp("us")),
    "times-with-null": pa.array([datetime.datetime(2020, 1, 1), None] * 3, pa.timestamp("ns", "UTC")),
    "decimals": pa.array([Decimal("1.5"), Decimal("2.5"), None, Decimal("2.5"), Decimal("3.5"), Decimal("4.5")]),
    "lists": pa.array([[1], [2], None, [2], [3], [4]]),
    "bytes": pa.array([b"a", b"b", None, b"b", b"c", b"d"]),
    "nulls": pa.nulls(6),
    "ints-all-null": pa.nulls(6, pa.int64()),
    "texts-all-null": pa.nulls(6, pa.string()),
}
EMPTY = ["ints", "floats", "texts", "categories", "dates", "nulls", "bools"]


def on(kind: str, **kwargs: object) -> Expectation:
    return kind, {"column": "x", **kwargs}


def bounds(kind: str) -> list[Expectation]:
    name = f"expect_column_{kind}_to_be_between"
    pairs: list[dict[str, object]] = [{"min_value": 1}, {"max_value": 4}, {"min_value": 1, "max_value": 5}, {"min_value": 2.0, "max_value": 2.0}]
    pairs += [{"min_value": 2, "strict_min": True}, {"max_value": 2, "strict_max": True}, {"min_value": -1e6, "max_value": 1e6}, {"min_value": 0.0}]
    return [on(name, **pair) for pair in pairs]


SETS: list[list[object]] = [
    ["a", "b", "c", "ab", "2"],
    ["a"],
    ["zz"],
    [1, 2, 3],
    [1, 2, 3, 4, 5],
    [2.0],
    [0.5, 2, 5],
    [0],
    [0.1],
    ["2020-01-01"],
    [True],
    ["a", 1],
]
REGEXES = [
    "a",
    "^a",
    "b$",
    "^[a-z]+$",
    r"\d",
    r"^\w+$",
    "(a|b)",
    "a.c",
    "(?i)A",
    "^$",
    "x{2,3}",
    r"\s",
    "[^a]",
    "^(a|b)*$",
    "(",
    r"\ba",
    "a(?=b)",
    "^.$",
]
ROW = [{}, {"mostly": 0.5}, {"mostly": 0.8}, {"mostly": 1.0}]

MATRIX: list[Expectation] = [
    *[
        ("expect_table_row_count_to_be_between", each)
        for each in ({"min_value": 6}, {"max_value": 5}, {"min_value": 6, "strict_min": True}, {"min_value": 1, "max_value": 9})
    ],
    ("expect_table_row_count_to_equal", {"value": 6}),
    ("expect_table_column_count_to_be_between", {"min_value": 2}),
    ("expect_table_column_count_to_be_between", {"min_value": 4, "max_value": 5}),
    ("expect_table_column_count_to_equal", {"value": 3}),
    *[
        ("expect_table_columns_to_match_set", {"column_set": names, **more})
        for names in (["x", "y", "z"], ["x"], ["x", "q"])
        for more in ({}, {"exact_match": False})
    ],
    *[("expect_table_columns_to_match_ordered_list", {"column_list": names}) for names in (["x", "y", "z"], ["y", "x", "z"], ["x"])],
    *[on("expect_column_to_exist", **more) for more in ({}, {"column_index": 0}, {"column_index": 1}, {"column_index": 7})],
    ("expect_column_to_exist", {"column": "q"}),
    *[
        on(kind, **more)
        for kind in ("expect_column_values_to_not_be_null", "expect_column_values_to_be_null", "expect_column_values_to_be_unique")
        for more in ROW
    ],
    *bounds("proportion_of_non_null_values"),
    on("expect_column_proportion_of_non_null_values_to_be_between", min_value=0.5, max_value=0.9),
    *[(kind, {**kwargs, **more}) for kind, kwargs in bounds("values") for more in ROW[:2]],
    on("expect_column_values_to_be_between", min_value="2020-01-02"),
    on("expect_column_values_to_be_between", min_value=5, max_value=1),
    *[on(f"expect_column_values_to_{word}_in_set", value_set=each, **more) for word in ("be", "not_be") for each in SETS for more in ROW[:2]],
    *[on(f"expect_column_distinct_values_to_{word}_set", value_set=each) for word in ("be_in", "contain", "equal") for each in SETS],
    *[on("expect_column_most_common_value_to_be_in_set", value_set=each, **more) for each in SETS for more in ({}, {"ties_okay": True})],
    *[on(f"expect_column_values_to_{word}match_regex", regex=each) for word in ("", "not_") for each in REGEXES],
    on("expect_column_values_to_match_regex", regex="^[ab]", mostly=0.5),
    *[on("expect_column_values_to_match_regex_list", regex_list=["^a", "b$"], match_on=each) for each in ("any", "all")],
    on("expect_column_values_to_not_match_regex_list", regex_list=["^z", "b$"]),
    on("expect_column_values_to_not_match_regex_list", regex_list=["^z", "q"]),
    *[
        on("expect_column_value_lengths_to_be_between", **each)
        for each in ({"min_value": 1}, {"max_value": 1}, {"min_value": 1, "max_value": 2, "strict_max": True}, {"min_value": 0, "strict_min": True})
    ],
    *[on("expect_column_value_lengths_to_equal", value=each) for each in (1, 2)],
    on("expect_column_value_lengths_to_equal", value=1, mostly=0.5),
    *[
        on("expect_column_values_to_be_of_type", type_=each)
        for each in ("int", "int64", "float", "float64", "str", "object", "bool", "datetime64", "nonsense", "Int64", "StringDtype")
    ],
    *[
        on("expect_column_values_to_be_in_type_list", type_list=each)
        for each in (["int", "int64"], ["float", "float64"], ["str", "string"], ["nonsense"], ["Decimal", "bytes"])
    ],
    *bounds("unique_value_count"),
    *bounds("proportion_of_unique_values"),
    on("expect_column_proportion_of_unique_values_to_be_between", min_value=0.5, max_value=0.9),
    *bounds("min"),
    *bounds("max"),
    *bounds("mean"),
    *bounds("sum"),
    *bounds("stdev"),
    *bounds("median"),
    *[
        on("expect_column_quantile_values_to_be_between", quantile_ranges={"quantiles": quantiles, "value_ranges": ranges})
        for quantiles, ranges in (
            ([0.5], [[0, 3]]),
            ([0.0, 1.0], [[None, 1], [4, None]]),
            ([0.25, 0.75], [[1, 2], [3, 5]]),
            ([0.4], [[2.0001, 9]]),
            ([0.4], [[50, 90]]),
        )
    ],
    *[
        (kind, {"column_A": a, "column_B": b, **more})
        for kind in ("expect_column_pair_values_a_to_be_greater_than_b", "expect_column_pair_values_to_be_equal")
        for a, b in (("x", "y"), ("y", "x"), ("x", "x"), ("x", "z"), ("x", "q"))
        for more in ({}, {"ignore_row_if": "either_value_is_missing"}, {"ignore_row_if": "neither"}, {"mostly": 0.3})
    ],
    ("expect_column_pair_values_a_to_be_greater_than_b", {"column_A": "x", "column_B": "y", "or_equal": True}),
    *[("expect_compound_columns_to_be_unique", {"column_list": each}) for each in (["x", "y"], ["x", "z"], ["x", "y", "z"], ["x", "q"])],
    *[
        ("expect_compound_columns_to_be_unique", {"column_list": ["x", "z"], **more})
        for more in ({"mostly": 0.5}, {"ignore_row_if": "any_value_is_missing"}, {"ignore_row_if": "never"})
    ],
    *[("expect_multicolumn_sum_to_equal", {"column_list": each, "sum_total": total}) for each in (["x", "y"], ["x", "y", "z"]) for total in (6, 4.0)],
    ("expect_multicolumn_sum_to_equal", {"column_list": ["x", "y"], "sum_total": 6, "mostly": 0.1, "ignore_row_if": "never"}),
    *[
        on(kind)
        for kind in ("expect_column_values_to_be_increasing", "expect_column_values_to_be_decreasing", "expect_column_values_to_be_json_parseable")
    ],
    *[(kind, {"column": "q"}) for kind in ("expect_column_values_to_not_be_null", "expect_column_values_to_be_unique")],
    ("expect_column_max_to_be_between", {"column": "q", "min_value": 1}),
    ("expect_column_values_to_be_of_type", {"column": "q", "type_": "int"}),
    ("expect_column_value_lengths_to_equal", {"column": "X", "value": 1}),
    on("expect_column_value_z_scores_to_be_less_than", threshold=2, double_sided=True),
]
assert len({json.dumps(each) for each in MATRIX}) == len(MATRIX)


def table_of(x: pa.Array) -> pa.Table:
    """The column under test beside one of whole numbers and one of texts."""
    y = pa.array([3, 5, 2, None, 1, 2][: len(x)], pa.int64())
    z = pa.array(["a", "b", "c", "b", None, "b"][: len(x)])
    return pa.table({"x": x, "y": y, "z": z})


def suite_of(expectations: Sequence[Expectation]) -> Suite:
    entries: Any = tuple({"type": kind, "kwargs": kwargs} for kind, kwargs in expectations)
    return Suite(name="suite.json", sha256="0" * 64, expectations=entries, declared=len(entries))


@cache
def loadable() -> list[Expectation]:
    """The matrix without what Great Expectations refuses to load."""
    known = registry()
    return [each for each in MATRIX if loads(known, *each)]


def loads(known: Any, kind: str, kwargs: Mapping[str, Any]) -> bool:
    try:
        build(known, kind, kwargs, "x")
    except InputError:
        return False
    return True


def by_library(expectations: Sequence[Expectation], table: pa.Table) -> list[tuple[bool, bool]]:
    """What Great Expectations says of a table, in the form in which it gets it (``forms``)."""
    known, types = registry(), dict(zip(table.schema.names, table.schema.types, strict=True))
    forms = [form_of(*each, types) for each in expectations]
    results: dict[int, CheckResult] = {}
    for form in set(forms):
        places = [place for place, each in enumerate(forms) if each == form]
        built = [build(known, expectations[place][0], understood(expectations[place][1], types), "x") for place in places]
        results |= dict(zip(places, run(built, form.frame(table)), strict=True))
    return [(results[place].success, results[place].errored) for place in range(len(expectations))]


def compare(expectations: Sequence[Expectation], table: pa.Table, data: object = None) -> Counter[str]:
    """Asserts that both engines say the same wherever record batches have an answer; returns how many verdicts came from which.

    What is left to Great Expectations is not computed twice here: see ``test_what_is_left_comes_from_the_library``.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "run", lambda built, frame: [_LEFT] * len(built))
        report = module.validate(suite_of(expectations), table if data is None else data)  # type: ignore[arg-type]
    results = report.results[: len(expectations)]
    answered = [(each, result) for each, result in zip(expectations, results, strict=True) if result.engine == "arrow"]
    expected = by_library([each for each, _ in answered], table) if answered else []
    wrong = [
        (each, verdict, result) for (each, result), verdict in zip(answered, expected, strict=True) if verdict != (result.success, result.errored)
    ]
    assert wrong == []
    return Counter(each.engine for each in results)


@pytest.mark.parametrize("name", DATA)
def test_the_matrix(name: str) -> None:
    """Every expectation of the matrix over every type and kind of data: the same success, the same errored."""
    engines = compare(loadable(), table_of(DATA[name]))
    assert engines["arrow"] >= 40, "the matrix must reach this engine"


@pytest.mark.parametrize("name", EMPTY)
def test_the_matrix_on_an_empty_table(name: str) -> None:
    """The same over no rows at all."""
    compare(loadable(), table_of(DATA[name][:0]))


def test_what_is_left_comes_from_the_library() -> None:
    """What has no equal here, and what turns out to be undecided on the way, has the library's verdict, from a source of batches too."""
    table = table_of(DATA["floats"])
    mean = float(table.column("x").to_pandas().mean())
    left = [
        on("expect_column_mean_to_be_between", min_value=mean),
        on("expect_column_mean_to_be_between", max_value=mean, strict_max=True),
        on("expect_column_values_to_be_increasing"),
        on("expect_column_value_z_scores_to_be_less_than", threshold=2, double_sided=True),
        ("expect_column_values_to_not_be_null", {"column": "X"}),
        ("expect_column_value_lengths_to_equal", {"column": "z", "value": 1, "mostly": 0.1}),
        ("expect_column_values_to_match_regex", {"column": "z", "regex": "a(?=b)"}),
        on("expect_column_sum_to_be_between", min_value=10),
    ]
    expected = by_library(left, table)
    for data in (table, table.to_pandas(), Batches(table)):
        results = module.validate(suite_of(left), data).results[: len(left)]
        assert [(each.success, each.errored) for each in results] == expected
        assert [each.engine for each in results] == ["great-expectations"] * 5 + ["arrow", "great-expectations", "arrow"]


class Batches:
    """A source of batches of two rows that remembers what it was asked for."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table
        self.schema = table.schema
        self.rows = table.num_rows
        self.asked: list[list[str]] = []

    def __call__(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        self.asked.append(list(columns))
        return iter(self._table.select(list(columns)).to_batches(max_chunksize=2))


@pytest.mark.parametrize("name", ["ints-with-null", "floats-nan", "texts-with-null"])
def test_frames_and_batches_say_what_the_table_says(name: str) -> None:
    """The way the data comes does not matter: a frame, and batches of two rows."""
    table = table_of(DATA[name])
    compare(loadable()[::4], table, Batches(table))
    compare(loadable()[2::4], table, as_frame(table))


def test_one_pass_over_what_is_needed() -> None:
    """A suite without quantiles or repetitions reads its columns once, and the others up to the first value."""
    source = Batches(table_of(DATA["ints-unique"]))
    report = module.validate(suite_of([on("expect_column_values_to_be_unique"), on("expect_column_max_to_be_between", max_value=9)]), source)
    assert report.success
    assert source.asked == [["x"], ["y", "z"]]
    assert {each.engine for each in report.results[:2]} == {"arrow"}


_FLOATS = st.none() | st.floats(width=64) | st.sampled_from([0.0, -0.0, 1.0, 2.0])
_TEXTS = st.none() | st.text(max_size=20) | st.sampled_from(["a", "b", "ab", "1"])
COLUMNS = st.one_of(
    st.lists(st.none() | st.integers(-4, 4), min_size=1, max_size=30).map(lambda each: pa.array(each, pa.int64())),
    st.lists(st.none() | st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=8).map(lambda each: pa.array(each, pa.int64())),
    st.lists(st.none() | st.floats(width=64) | st.sampled_from([0.0, -0.0, 1.0, 2.0]), min_size=1, max_size=30).map(
        lambda each: pa.array(each, pa.float64())
    ),
    st.lists(st.none() | st.text(max_size=20) | st.sampled_from(["a", "b", "ab", "1"]), min_size=1, max_size=30).map(
        lambda each: pa.array(each, pa.string())
    ),
)
"""Columns of every kind that is computed here, hostile values included."""


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(x=COLUMNS, picks=st.lists(st.integers(0, len(MATRIX) - 1), min_size=6, max_size=6))
def test_any_data_any_expectations(x: pa.Array, picks: list[int]) -> None:
    """Random columns against random rows of the matrix: still the same verdicts."""
    rows = len(x)
    table = pa.table({"x": x, "y": pa.array([3, 5, 2, None, 1, 2] * rows, pa.int64())[:rows], "z": pa.array(["a", "b", None] * rows)[:rows]})
    chosen = [MATRIX[pick] for pick in dict.fromkeys(picks)]
    compare(chosen, table)


def test_the_release_that_was_compared_is_the_installed_one() -> None:
    """Another release makes this fail: run the matrix, then raise the constant; meanwhile everything goes through the library."""
    assert checks.proven()


def test_every_computed_expectation_is_in_the_matrix() -> None:
    """No check without its comparison."""
    assert {kind for kind, _ in MATRIX} >= set(checks.CHECKS)
