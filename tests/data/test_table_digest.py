"""The digest of a table's content."""

from __future__ import annotations

import datetime as dt
import hashlib
import random
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefect_gatehouse.data import digest
from prefect_gatehouse.data.digest import table_digest
from prefect_gatehouse.errors import DataRefused

ROWS = st.lists(
    st.tuples(
        st.none() | st.text(max_size=4),
        st.none() | st.integers(0, 3),
        st.none() | st.sampled_from([0.0, -0.0, 1.5, float("nan")]),
    ),
    max_size=12,
)


def table(rows: list[tuple[str | None, int | None, float | None]]) -> pa.Table:
    columns = list(zip(*rows, strict=True)) or [(), (), ()]
    kinds = (pa.string(), pa.int64(), pa.float64())
    return pa.table({name: pa.array(column, kind) for name, column, kind in zip("abc", columns, kinds, strict=True)})


@given(ROWS, st.randoms(use_true_random=False))
def test_order_chunks_and_storage_do_not_matter(rows: list[tuple[str | None, int | None, float | None]], rng: random.Random) -> None:
    """Shuffled, cut into chunks and dictionary-encoded, the same rows have the same digest."""
    shuffled = rng.sample(rows, len(rows))
    cut = len(rows) // 2
    other = pa.concat_tables([table(shuffled[:cut]), table(shuffled[cut:])])
    other = other.set_column(0, "a", other["a"].cast(pa.large_string()).dictionary_encode())
    assert table_digest(other) == table_digest(table(rows))


@given(ROWS, ROWS)
def test_other_rows_have_another_digest(
    one: list[tuple[str | None, int | None, float | None]], other: list[tuple[str | None, int | None, float | None]]
) -> None:
    """Digests are equal only for the same bag of rows."""

    def bag(rows: list[tuple[str | None, int | None, float | None]]) -> list[str]:
        return sorted(repr((a, b, c if c is None else c + 0.0)) for a, b, c in rows)

    assert (table_digest(table(one)) == table_digest(table(other))) == (bag(one) == bag(other))


def test_definition_by_hand() -> None:
    """The digest is what the docstring says, computed here without Arrow: an auditor can repeat it."""
    sha256 = hashlib.sha256(b'[["a","string"],["b","int64"]]')
    one, two, zero = ((number).to_bytes(8, "little") for number in (1, 2, 0))
    sha256.update(bytes([0b01000000]) + one + zero + b"x")
    sha256.update(bytes([0]) + one + two)
    assert table_digest(pa.table({"a": [None, "x"], "b": [2, 1]})) == sha256.hexdigest()


def test_names_types_and_column_borders_count() -> None:
    """Renamed columns, other types, swapped columns and text moved across a border change the digest."""
    tables = [
        pa.table({"a": ["x"], "b": ["y"]}),
        pa.table({"a": ["x"], "c": ["y"]}),
        pa.table({"b": ["y"], "a": ["x"]}),
        pa.table({"a": ["xy"], "b": [""]}),
        pa.table({"a": [""], "b": ["xy"]}),
        pa.table({"a": ["x"], "b": pa.array([None], pa.string())}),
        pa.table({"a": ["x"], "b": pa.nulls(1)}),
        pa.table({"a": pa.array([1], pa.int64()), "b": ["y"]}),
        pa.table({"a": pa.array([1], pa.int32()), "b": ["y"]}),
    ]
    assert len({table_digest(each) for each in tables}) == len(tables)


def test_every_type_that_a_rule_lets_through_has_a_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Booleans, dates, times, decimals and nulls, over more than one block."""
    monkeypatch.setattr(digest, "_BLOCK", 2)
    now = dt.datetime(2026, 1, 2, 3, 4, 5)
    columns = {
        "bool": pa.array([True, False, None]),
        "date": pa.array([now.date(), None, now.date()]),
        "time": pa.array([now.time(), None, now.time()]),
        "stamp": pa.array([now, now, None]),
        "span": pa.array([dt.timedelta(1), dt.timedelta(2), None]),
        "decimal": pa.array([Decimal("1.50"), None, Decimal("0.10")]),
        "null": pa.nulls(3),
        "small": pa.array([1, 2, None], pa.uint8()),
    }
    whole = pa.table(columns)
    assert table_digest(whole.take([2, 0, 1])) == table_digest(whole)
    for name in columns:
        if name != "null":
            assert table_digest(whole.set_column(whole.column_names.index(name), name, whole[name].take([0, 0, 0]))) != table_digest(whole)


@pytest.mark.parametrize("bad", [pa.table({"a": [["x"]]}), pa.table([pa.array([1]), pa.array([2])], names=["a", "a"])])
def test_nested_and_double_columns_are_refused(bad: pa.Table) -> None:
    """What has no defined digest gets none."""
    with pytest.raises(DataRefused):
        table_digest(bad)
