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


@pytest.mark.parametrize("texts", [(None, "x", "token_of_27_characters_long"), ("one length", "for texts.", "which are3"), ("", "", "")])
def test_definition_by_hand(texts: tuple[str | None, ...]) -> None:
    """The digest is what the docstrings say, computed here without Arrow and numpy: an auditor can repeat it."""
    rows = list(zip(texts, (2, 1, -3), strict=True))
    rows.sort(key=hash_by_hand)
    missing = sum(1 << (7 - place) for place, (text, _) in enumerate(rows) if text is None)
    spelt = [(text or "").encode() for text, _ in rows]
    one_length = len({len(text) for text in spelt}) == 1 and spelt[0] and not missing
    lengths = (-len(spelt[0])).to_bytes(4, "little", signed=True) if one_length else b"".join(len(text).to_bytes(4, "little") for text in spelt)
    block = bytes([missing]) + lengths + b"".join(spelt)
    block += bytes([0]) + b"".join(number.to_bytes(8, "little", signed=True) for _, number in rows)
    whole = hashlib.sha256(b'{"columns":[["a","string"],["b","int64"]],"rows":3}')
    whole.update((0).to_bytes(8, "little") + (3).to_bytes(8, "little") + hashlib.sha256(block).digest())
    texts_only, numbers = zip(*rows, strict=True)
    assert table_digest(pa.table({"a": texts_only[::-1], "b": numbers[::-1]})) == whole.hexdigest()


def hash_by_hand(row: tuple[str | None, int]) -> int:
    """The hash of a row of one text and one whole number, step by step with Python's own integers."""
    mask, step = (1 << 64) - 1, 0x9E3779B97F4A7C15

    def mixed(state: int, word: int, shift: int) -> int:
        state = ((state ^ word) * step) & mask
        return state ^ (state >> shift)

    text, number = row
    columns = [0x6A09E667F3BCC909]
    if text is not None:
        data = text.encode()
        columns = [(len(data) * step) & mask]
        whole = range(0, len(data) - 7, 8)
        words = [data[at : at + 8] for at in whole] + ([data[-8:]] if len(data) % 8 else [])
        for word in words:
            columns[0] = mixed(columns[0], int.from_bytes(word, "little"), 32)
        if not data:
            columns[0] = mixed(columns[0], 0, 32)
    columns.append(mixed(0, number & mask, 32))
    state = step
    for column in columns:
        state = mixed(state, column, 29)
    for constant in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
        state = ((state ^ (state >> 33)) * constant) & mask
    return state ^ (state >> 33)


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
    monkeypatch.setattr(digest, "BLOCK_ROWS", 2)
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
