"""A frame that carries something else than its manifest declares is refused, and no error repeats what it carried."""

from __future__ import annotations

import base64
import datetime
from decimal import Decimal
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from prefect_gatehouse.errors import DataRefused
from prefect_gatehouse.manifest.models import Output
from prefect_gatehouse.validation.declared_types import refuse_undeclared
from prefect_gatehouse.workload.frame import table_of

CANARY = "CANARY Ann Example 1961-02-03"


def output(columns: Any) -> Output:
    """The manifest's output section with these columns."""
    target = {"system": "s", "table": "t"}
    return Output.model_validate({"suite": "s.json", "target": target, "key": "k", "columns": columns})


def look(values: Any, declared: dict[str, Any] | None, *, free_text: bool = False) -> None:
    """A frame of one column, as a workload returns it."""
    table = table_of(pd.DataFrame({"k": range(len(values)), "v": values}))
    assert isinstance(table, pa.Table)
    refuse_undeclared(table, output(["v"] if declared is None else {"v": declared}), free_text=free_text)


NUMBER, BOOLEAN, DATE, TIMESTAMP = ({"type": name} for name in ("number", "boolean", "date", "timestamp"))
INTEGER = {"type": "integer", "minimum": 0, "maximum": 9}
CATEGORY = {"type": "category", "values": ["benign", "malignant"]}
TEXT = {"type": "text", "length": 10}
DAY = datetime.date(2026, 1, 2)

GOOD: dict[str, tuple[Any, dict[str, Any]]] = {
    "floats": ([0.5, None, 1e300], NUMBER),
    "whole-numbers": ([1, 2, 3], NUMBER),
    "small-floats": (pd.Series([0.5, 1], dtype="float32"), NUMBER),
    "decimals": ([Decimal("1.25"), None, Decimal("123456789012345.678")], NUMBER),
    "in-range": ([0, 9, 5], INTEGER),
    "whole-with-a-gap": ([0, None, 9], INTEGER),
    "any-whole": ([-(2**63), 2**63 - 1], {"type": "integer"}),
    "nullable-whole": (pd.Series([1, None], dtype="Int64"), INTEGER),
    "truth": ([True, False, None], BOOLEAN),
    "one-of": (["benign", None, "malignant"], CATEGORY),
    "one-of-as-category": (pd.Series(["benign", "malignant"], dtype="category"), CATEGORY),
    "days": ([DAY, None], DATE),
    "times": (pd.to_datetime(["2026-01-02", None]), TIMESTAMP),
    "times-with-a-zone": (pd.to_datetime(["2026-01-02"], utc=True), TIMESTAMP),
    "short-text": (["0123456789", None, "\U0001f600" * 10], TEXT),
    "nothing": ([None, None], CATEGORY),
}


@pytest.mark.parametrize("case", GOOD)
def test_what_is_declared_passes(case: str) -> None:
    """Each type takes what pandas makes of it, gaps too."""
    look(*GOOD[case])


HOSTILE: dict[str, tuple[Any, dict[str, Any], str]] = {
    "base64-in-a-category": (["benign", base64.b64encode(CANARY.encode()).decode()], CATEGORY, "in 1 rows that are none of its declared ones"),
    "case-of-a-category": (["Benign", "BENIGN"], CATEGORY, "in 2 rows"),
    "blanks-after-a-category": (["benign ", "malignant"], CATEGORY, "in 1 rows"),
    "number-in-a-category": ([1, 2], CATEGORY, "not of its declared type, category"),
    "text-in-a-number": ([CANARY], NUMBER, "not of its declared type, number"),
    "number-of-300-digits": (["9" * 300], NUMBER, "not of its declared type, number"),
    "decimal-of-30-digits": ([Decimal("1" * 30)], NUMBER, "decimals of more than 18 digits"),
    "decimal-with-30-places": ([Decimal("0." + "1" * 30)], NUMBER, "decimals of more than 18 digits"),
    "truth-for-a-number": ([True], NUMBER, "not of its declared type, number"),
    "number-beyond-its-range": ([1, 20260101], INTEGER, "beyond its declared minimum and maximum"),
    "number-below-its-range": ([-1, 3], INTEGER, "beyond its declared minimum and maximum"),
    "mantissa-in-a-whole-number": ([1.0, 1.0000000001], INTEGER, "not of its declared type, integer"),
    "huge-float-in-a-whole-number": ([1.0, 2.0**60], {"type": "integer"}, "not of its declared type, integer"),
    "text-in-a-whole-number": (["1"], INTEGER, "not of its declared type, integer"),
    "number-for-a-truth": ([0, 1], BOOLEAN, "not of its declared type, boolean"),
    "text-for-a-day": (["2026-01-02"], DATE, "not of its declared type, date"),
    "time-for-a-day": (pd.to_datetime(["2026-01-02 01:02:03.456"]), DATE, "not of its declared type, date"),
    "day-for-a-time": ([DAY], TIMESTAMP, "not of its declared type, timestamp"),
    "text-too-long": ([CANARY], TEXT, "text of more than 10 characters"),
    "number-for-text": ([1], TEXT, "not of its declared type, text"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_what_carries_something_else_is_refused(case: str) -> None:
    """One error with the column and what is wrong, and no value in it."""
    values, declared, words = HOSTILE[case]
    with pytest.raises(DataRefused, match=words) as caught:
        look(values, declared)
    assert caught.value.where == "output.columns.v" and caught.value.advice
    assert not any(str(value) in f"{caught.value} {caught.value.advice}" for value in list(values) if len(str(value)) > 3)


def test_without_types_only_numbers_pass_where_free_text_may_not() -> None:
    """Numbers, truth values and times have at most 64 bits a cell; text and long decimals have no bound and are refused, unless text may be free."""
    for values in ([1, 2], [0.5], [True], [DAY], pd.to_datetime(["2026-01-02"]), [Decimal("1.5")], [None, None]):
        look(values, None)
    for values, words in (([CANARY], "holds text, and its type is not declared"), ([Decimal("1" * 30)], "more than 18 digits")):
        with pytest.raises(DataRefused, match=words) as caught:
            look(values, None)
        assert CANARY not in str(caught.value) and "declare" in caught.value.advice
        look(values, None, free_text=True)


def test_text_is_refused_though_free_where_the_types_say_otherwise() -> None:
    """The prototype tier's freedom is for columns without types."""
    with pytest.raises(DataRefused, match="not of its declared type"):
        look([CANARY], NUMBER, free_text=True)
