"""Frames in code: pandas' own types and Arrow's, one type a column, the index left out."""

from __future__ import annotations

import pickle
from datetime import date
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from prefect_gatehouse.data.sources import BATCH_ROWS, FramePlace, open_source
from prefect_gatehouse.data.sources.content import ContentHash
from prefect_gatehouse.errors import DataRefused, InputError


def read(frame: pd.DataFrame, columns: list[str]) -> pa.Table:
    with open_source(FramePlace(frame)) as source:
        return pa.Table.from_batches(source.batches(columns))


def test_columns_come_in_their_types_without_the_index() -> None:
    """Numbers with gaps, text, categories, days, decimals, Arrow-backed columns; missing values are null."""
    frame = pd.DataFrame(
        {
            "n": [1, 2],
            "gap": [1.5, np.nan],
            "whole": pd.array([1, None], "Int64"),
            "text": ["x", None],
            "old": pd.Series(["x", None], dtype=object),
            "kind": pd.Categorical(["a", "b"]),
            "day": [date(2026, 1, 1), None],
            "at": pd.to_datetime(["2026-01-01", None]),
            "exact": [Decimal("1.50"), None],
            "yes": [True, False],
            "arrow": pd.array(["p", None], pd.ArrowDtype(pa.string())),
        }
    ).set_index(pd.Index(["CANARY1", "CANARY2"]))
    with open_source(pickle.loads(pickle.dumps(FramePlace(frame)))) as source:
        assert source.names == tuple(frame.columns)
        assert source.typed
        table = pa.Table.from_batches(source.batches(list(frame.columns)))
        assert source.progress() == (2, 2)
    first, second = table.to_pylist()
    expected = ("n", 1), ("gap", 1.5), ("whole", 1), ("text", "x"), ("old", "x"), ("kind", "a"), ("day", date(2026, 1, 1))
    more = ("at", pd.Timestamp("2026-01-01")), ("exact", Decimal("1.50")), ("yes", True), ("arrow", "p")
    assert first == dict((*expected, *more))
    assert {name for name, value in second.items() if value is None} == {"gap", "whole", "text", "old", "day", "at", "exact", "arrow"}


@pytest.mark.parametrize("values", [["CANARY", 1], [1, "CANARY"], [b"CANARY"], [{"a": "CANARY"}], [["CANARY"]], [object()], [1 + 2j]])
def test_a_column_of_several_types_is_refused(values: list[object]) -> None:
    """The column is named, no value is."""
    with pytest.raises(InputError, match="frame, column 'mixed'") as refused:
        read(pd.DataFrame({"mixed": pd.Series(values, dtype=object)}), ["mixed"])
    assert "CANARY" not in str(refused.value)
    assert refused.value.__context__ is None or refused.value.__suppress_context__


def test_no_rows_and_names_that_are_no_text() -> None:
    """An empty frame is refused as an empty file is; numbered columns have no names to declare."""
    with pytest.raises(DataRefused, match="no rows"):
        read(pd.DataFrame({"a": []}), ["a"])
    with pytest.raises(InputError, match="not text"):
        read(pd.DataFrame([[1]]), ["0"])


def test_many_rows_come_in_batches() -> None:
    """Batches of one size, and one part."""
    with open_source(FramePlace(pd.DataFrame({"n": range(150_000)}))) as source:
        (part,) = source.parts()
        assert [batch.num_rows for batch in source.batches(["n"], part)] == [BATCH_ROWS] * (150_000 // BATCH_ROWS) + [150_000 % BATCH_ROWS]


def test_a_frame_shows_no_value() -> None:
    """Its place has no rows in its repr."""
    assert "CANARY" not in repr(FramePlace(pd.DataFrame({"a": ["CANARY"]})))


def hashed(*arrays: pa.Array) -> str:
    batch = pa.RecordBatch.from_arrays(list(arrays), names=[f"c{index}" for index in range(len(arrays))])
    content = ContentHash(batch.schema)
    content.update(batch)
    return content.hexdigest()


def test_content_digest_is_of_the_content_only() -> None:
    """Offsets into a larger array and what stands under a null do not matter; every value, its place and its type do."""
    text, numbers = pa.array(["a", "bc", None, ""]), pa.array([1, None, 3, 4])
    assert hashed(text, numbers) == hashed(pa.array(["zz", "a", "bc", None, ""])[1:], pa.array([9, 1, None, 3, 4])[1:])
    under_null = pa.Array.from_buffers(pa.int64(), 2, [pa.py_buffer(b"\x01"), pa.array([1, 77]).buffers()[1]])
    assert hashed(under_null) == hashed(pa.array([1, None]))
    different = [
        hashed(*arrays)
        for arrays in [
            (text, numbers),
            (pa.array(["ab", "c", None, ""]), numbers),
            (pa.array(["a", "bc", "", None]), numbers),
            (pa.array(["a", "bc", None, None]), numbers),
            (text, pa.array([1, 0, 3, 4])),
            (text, pa.array([1, None, 3, 4], pa.int32())),
            (text, pa.array([1, 3, None, 4])),
            (pa.array([True, None]),),
            (pa.array([False, None]),),
            (pa.array([None, None]),),
            (pa.array([Decimal("1.5")]),),
            (pa.array([Decimal("1.50")]),),
        ]
    ]
    assert len(set(different)) == len(different)
