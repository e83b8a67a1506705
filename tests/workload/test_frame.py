"""Whatever a workload returns: plain columns of a table, or one sentence that says which column and what kind of values, never a name."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from prefect_gatehouse.workload.frame import Unusable, table_of

KEYS = ["a", "b", "c"]


def with_column(values: Any, name: Any = "score") -> pd.DataFrame:
    """A frame of a key and one column; a list stays objects, for pandas to make nothing of."""
    frame = pd.DataFrame({"subject": KEYS})
    frame[name] = pd.Series(values, dtype=object) if isinstance(values, list) else values
    return frame


def array(values: Any, kind: Any) -> pd.Series[Any]:
    return pd.Series(values, dtype=kind)


FITTING: dict[str, tuple[Callable[[], Any], pa.DataType, list[Any]]] = {
    "int64": (lambda: array([1, 2, 2**62 + 1], "int64"), pa.int64(), [1, 2, 2**62 + 1]),
    "Int64": (lambda: array([1, None, 2**62 + 1], "Int64"), pa.int64(), [1, None, 2**62 + 1]),
    "uint64": (lambda: array([1, 2, 2**64 - 1], "uint64"), pa.uint64(), [1, 2, 2**64 - 1]),
    "arrow-int": (lambda: array([1, None, 3], "int64[pyarrow]"), pa.int64(), [1, None, 3]),
    "float": (lambda: array([0.5, None, 2.0], "float64"), pa.float64(), [0.5, None, 2.0]),
    "float16": (lambda: array([0.5, None, 2.0], "float16"), pa.float32(), [0.5, None, 2.0]),
    "boolean": (lambda: array([True, None, False], "boolean"), pa.bool_(), [True, None, False]),
    "object-bool": (lambda: [True, None, False], pa.bool_(), [True, None, False]),
    "object-int": (lambda: [1, None, 2**62 + 1], pa.int64(), [1, None, 2**62 + 1]),
    "object-numbers": (lambda: [1, np.float64(0.5), None], pa.float64(), [1.0, 0.5, None]),
    "text": (lambda: array(["x", None, "y"], "str"), pa.large_string(), ["x", None, "y"]),
    "object-text": (lambda: ["x", None, "y"], pa.string(), ["x", None, "y"]),
    "category-of-text": (lambda: array(["x", None, "x"], "category"), pa.large_string(), ["x", None, "x"]),
    "category-of-numbers": (lambda: array([7, None, 7], "category"), pa.int64(), [7, None, 7]),
    "sparse": (lambda: pd.arrays.SparseArray([0.0, 0.0, 1.5]), pa.float64(), [0.0, 0.0, 1.5]),
    "sparse-with-gaps": (lambda: pd.arrays.SparseArray([np.nan, 0.0, 1.5]), pa.float64(), [None, 0.0, 1.5]),
    "decimal": (lambda: [Decimal("1.5"), None, Decimal(2)], pa.decimal128(2, 1), [Decimal("1.5"), None, Decimal("2.0")]),
    "date": (lambda: [dt.date(2020, 1, 2), None, dt.date(2021, 3, 4)], pa.date32(), [dt.date(2020, 1, 2), None, dt.date(2021, 3, 4)]),
    "time": (lambda: [dt.time(1, 2)] * 3, pa.time64("us"), [dt.time(1, 2)] * 3),
    "datetime": (lambda: pd.Series(pd.to_datetime(["2020-01-02"] * 3)).dt.as_unit("us"), pa.timestamp("us"), [dt.datetime(2020, 1, 2)] * 3),
    "nothing": (lambda: [None] * 3, pa.null(), [None] * 3),
}


@pytest.mark.parametrize("name", FITTING)
def test_what_fits_comes_through_as_it_is(name: str) -> None:
    """Numbers, truth values, text, decimals, dates and times, in whatever form pandas keeps them: the same values, and missing is missing."""
    make, kind, values = FITTING[name]
    table = table_of(with_column(make()))
    assert isinstance(table, pa.Table), table
    assert table.column_names == ["subject", "score"]
    assert table.schema.field("score").type == kind
    assert table.column("score").to_pylist() == values


RECORDS = np.zeros(3, dtype=[("CANARY", "i4")])


def own(name: str = "CANARY") -> Any:
    """A value of a class that is named after data, and says so whoever asks it."""
    return type(name, (), {"__repr__": lambda self: name, "__str__": lambda self: name})()


UNFIT: dict[str, tuple[Callable[[], Any], str]] = {
    "complex": (lambda: np.array([1j, 2, 3]), "values of type complex"),
    "object-complex": (lambda: [1j, None, 3j], "values of type complex"),
    "long-double": (lambda: np.array([1, 2, 3], dtype=np.longdouble), "values of type float of more than 64 bits"),
    "mixed": (lambda: [1, "CANARY", None], "values of several types: int, str"),
    "mixed-truth": (lambda: [True, 2, None], "values of several types: bool, int"),
    "mixed-much": (lambda: [1, "CANARY", own()], "values of several types: int, object, str"),
    "mixed-category": (lambda: array(["CANARY", 1, None], "category"), "values of several types: int, str"),
    "huge": (lambda: [2**70, 1, 2], "whole numbers of more than 64 bits"),
    "surrogate": (lambda: ["\ud800CANARY", "x", "y"], "text that is no valid Unicode"),
    "bytes": (lambda: [b"CANARY", None, b"x"], "values of type bytes"),
    "list": (lambda: [["CANARY"], None, []], "values of type list"),
    "dict": (lambda: [{"CANARY": 1}, None, {}], "values of type dict"),
    "set": (lambda: [{"CANARY"}, None, {"x"}], "values of type set"),
    "tuple": (lambda: [("CANARY",), None, ("x",)], "values of type tuple"),
    "array": (lambda: [np.zeros(2), None, np.ones(2)], "values of type"),
    "record": (lambda: list(RECORDS), "values of type record"),
    "period": (lambda: pd.Series(pd.period_range("2020", periods=3, freq="Y")), "values of type Period"),
    "interval": (lambda: pd.Series(pd.interval_range(0, 3)), "values of type Interval"),
    "category-of-intervals": (lambda: pd.Series(pd.cut([1, 2, 3], 2)), "values of type Interval"),
    "timedelta": (lambda: pd.Series(pd.to_timedelta([1, 2, 3], unit="s")), "values of type timedelta"),
    "uuid": (lambda: [uuid.UUID(int=7)] * 3, "values of type object"),
    "own-class": (lambda: [own()] * 3, "values of type object"),
    "own-text": (lambda: [type("CANARY", (list,), {})(["CANARY"])] * 3, "values of type list"),
    "function": (lambda: [len] * 3, "values of type object"),
    "frame": (lambda: [pd.DataFrame({"CANARY": [1]})] * 3, "values of type object"),
}


@pytest.mark.parametrize("name", UNFIT)
def test_what_does_not_fit_is_named_by_place_and_type(name: str) -> None:
    """The column's place, its name only if the manifest declares it, and the values' type if it is one of Python's own or of pandas'."""
    make, words = UNFIT[name]
    found = table_of(with_column(make()), {"subject", "score"})
    assert isinstance(found, Unusable)
    assert found.message.startswith("column 2 of the workload's frame ('score') holds ") and words in found.message
    assert "CANARY" not in found.message + found.advice and found.advice
    found = table_of(with_column(make(), "CANARY"), {"subject", "score"})
    assert isinstance(found, Unusable) and found.message.startswith("column 2 of the workload's frame holds ")


def twice() -> pd.DataFrame:
    return pd.DataFrame([["a", 1.0, 2.0]], columns=["subject", "score", "score"])


NAMES: dict[str, tuple[Callable[[], Any], str]] = {
    "twice": (twice, "columns 2 and 3 of the workload's frame have the same name ('score')"),
    "twice-undeclared": (lambda: twice().rename(columns={"score": "CANARY"}), "columns 2 and 3 of the workload's frame have the same name"),
    "number": (lambda: with_column([1, 2, 3], 7), "the name of column 2 of the workload's frame is no text (int)"),
    "tuple": (lambda: pd.DataFrame({"subject": KEYS, "x": KEYS}).set_axis([("a",), "CANARY"], axis=1), "the name of column 1"),
    "nothing": (lambda: with_column([1, 2, 3], None), "the name of column 2 of the workload's frame is no text (float)"),
    "time": (lambda: with_column([1, 2, 3], pd.Timestamp("2020-01-01")), "the name of column 2 of the workload's frame is no text (datetime)"),
    "own-class": (lambda: with_column([1, 2, 3], own()), "the name of column 2 of the workload's frame is no text (object)"),
    "surrogate": (
        lambda: pd.DataFrame([["a", 1]], columns=pd.Index(["subject", "\ud800CANARY"], dtype=object)),
        "the name of column 2 of the workload's frame is no valid Unicode",
    ),
    "levels": (lambda: pd.DataFrame([[1]], columns=pd.MultiIndex.from_tuples([("CANARY", "b")])), "columns of 2 levels"),
    "pivot": (lambda: with_column([1, 2, 3]).pivot_table(index="subject", aggfunc=["mean", "max"]), "columns of 2 levels"),
    "index": (lambda: with_column([1, 2, 3]).set_index("subject"), "subject is the index of the workload's frame, not a column"),
    "empty": (lambda: with_column([1, 2, 3])[:0], "an empty frame"),
    "no-columns": (pd.DataFrame, "an empty frame"),
    "none": (lambda: None, "no pandas frame, but None"),
    "dict": (lambda: {"CANARY": 1}, "no pandas frame, but a value of type dict"),
    "series": (lambda: pd.Series([1], name="CANARY"), "no pandas frame, but a pandas Series"),
    "arrow": (lambda: pa.table({"CANARY": [1]}), "no pandas frame, but a PyArrow Table"),
    "numpy": (lambda: np.zeros(3), "no pandas frame, but a NumPy array"),
    "own-value": (own, "no pandas frame, but a value of type object"),
    "class": (lambda: type("CANARY", (dict,), {}), "no pandas frame, but a value of type type"),
}


@pytest.mark.parametrize("name", NAMES)
def test_what_is_no_frame_of_named_columns(name: str) -> None:
    """Not a frame, no rows, names that repeat, that are no text, or that are levels; a key in the index: said as it is."""
    make, words = NAMES[name]
    found = table_of(make(), {"subject", "score"})
    assert isinstance(found, Unusable)
    assert words in found.message and found.advice
    assert "CANARY" not in found.message + found.advice


class Sub(pd.DataFrame):
    """A frame as geopandas and others make them."""

    @property
    def _constructor(self) -> type[Sub]:
        return Sub


def test_what_else_a_frame_carries_stays_behind() -> None:
    """An index of any kind, also a repeated one, attributes, and a class of its own: only the columns are taken."""
    frame = Sub({"subject": KEYS, "score": [1, 2, 3]}, index=pd.Index([5, 5, 5], name="CANARY"))
    frame.attrs["CANARY"] = "CANARY"
    table = table_of(frame, {"subject", "score"})
    assert isinstance(table, pa.Table)
    assert table.to_pydict() == {"subject": KEYS, "score": [1, 2, 3]}
    assert b"CANARY" not in str(table.schema.metadata).encode()
    assert frame.attrs  # the workload's own frame is as it was
    levels = pd.DataFrame({"score": [1, 2]}, index=pd.MultiIndex.from_tuples([("CANARY", 1), ("b", 2)]))
    assert isinstance(table_of(levels, {"score"}), pa.Table)


def test_the_workload_s_own_frame_is_not_changed(tmp_path: Path) -> None:
    """A category stays one in the frame that the workload holds."""
    frame = with_column(array(["x", "y", "x"], "category"))
    table_of(frame)
    assert isinstance(frame["score"].dtype, pd.CategoricalDtype)


def test_a_time_zone_is_one_that_everybody_has() -> None:
    """Arrow takes any text for the name of one, and the type of a column is told in messages and on pages."""
    for zone, good in (("Europe/Berlin", True), ("+01:00", True), ("CANARY", False)):
        kind = pd.ArrowDtype(pa.timestamp("us", zone))
        found = table_of(pd.DataFrame({"x": pd.array(pa.chunked_array([pa.array([1], kind.pyarrow_dtype)]), dtype=kind)}), {"x"})
        assert isinstance(found, pa.Table) == good
        assert "CANARY" not in getattr(found, "message", "")
