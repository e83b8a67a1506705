"""A returned key that is missing or repeated, judged in Arrow: as pandas judges the frame that the workload returned."""

from __future__ import annotations

from datetime import date, time
from decimal import Decimal

import pyarrow as pa
import pytest

from prefect_gatehouse.run.returned import _is_gap_or_repeated
from prefect_gatehouse.workload.features import as_frame

KEYS = {
    "whole": (pa.array([1, 2, 3]), False),
    "whole-twice": (pa.array([1, 2, 1]), True),
    "whole-missing": (pa.array([1, None]), True),
    "largest": (pa.array([2**64 - 1, 1], pa.uint64()), False),
    "floats": (pa.array([0.0, 1.5]), False),
    "both-zeros": (pa.array([0.0, -0.0]), True),
    "no-number": (pa.array([1.0, float("nan")]), True),
    "infinities": (pa.array([float("inf"), float("-inf")]), False),
    "single-twice": (pa.array([1.5, 1.5], pa.float32()), True),
    "text": (pa.array(["a", "b", "A"]), False),
    "text-twice": (pa.array(["a", "a"], pa.large_string()), True),
    "categories": (pa.array(["a", "b"]).dictionary_encode(), False),
    "categories-twice": (pa.array(["a", "a"]).dictionary_encode(), True),
    "nothing": (pa.nulls(1), True),
    "truth": (pa.array([True, False]), False),
    "decimals": (pa.array([Decimal("1.0"), Decimal("1.1")]), False),
    "decimals-twice": (pa.array([Decimal("1.0"), Decimal("1.0")]), True),
    "days": (pa.array([date(2020, 1, 1), date(2020, 1, 2)]), False),
    "hours-twice": (pa.array([time(1), time(1)]), True),
    "moments": (pa.array([1, 2], pa.timestamp("ns", "UTC")), False),
    "moments-twice": (pa.array([1, 1], pa.timestamp("us")), True),
    "no-rows": (pa.array([], pa.int64()), False),
}


@pytest.mark.parametrize("name", KEYS)
def test_a_key_is_judged_as_pandas_does(name: str) -> None:
    column, refused = KEYS[name]
    table = pa.table({"key": pa.chunked_array([column.slice(0, 1), column.slice(1)])})
    series = as_frame(table)["key"]
    assert bool(series.isna().any() or series.duplicated().any()) is refused
    assert _is_gap_or_repeated(table.column("key")) is refused
