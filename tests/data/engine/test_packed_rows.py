"""Dealt rows in both forms: packed row by row where every column has one width, Arrow batches elsewhere."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.data.engine.bench import Home, declared, parquet

from prefect_gatehouse.data.digest import table_digest
from prefect_gatehouse.data.engine.partition import SHARES, Partitioner, share_edges
from prefect_gatehouse.data.engine.rows import Packed, Plain, ReadBuffer, RowEncoder, Rows, joined, read
from prefect_gatehouse.data.engine.sort_and_digest import load, settle, stretches
from prefect_gatehouse.data.order import content_order, row_hashes
from prefect_gatehouse.data.spill import SpillFolder
from prefect_gatehouse.store.run_keys import RunKey

SCHEMA = pa.schema({"t": pa.string(), "n": pa.int64(), "s": pa.int16(), "x": pa.float64(), "d": pa.date32(), "at": pa.timestamp("us", "UTC")})
DAY = dt.date(2026, 1, 1)
NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


def batch(texts: list[str | None], first: int = 0) -> pa.RecordBatch:
    count = range(first, first + len(texts))
    numbers = [list(count), [each % 100 for each in count], [each / 7 for each in count]]
    return pa.RecordBatch.from_arrays(
        [
            pa.array(texts, pa.string()),
            *(pa.array(each, field.type) for each, field in zip(numbers, list(SCHEMA)[1:4], strict=True)),
            pa.array([DAY + dt.timedelta(each) for each in count], pa.date32()),
            pa.array([NOW + dt.timedelta(0, each) for each in count], pa.timestamp("us", "UTC")),
        ],
        schema=SCHEMA,
    )


def dealt(rows: pa.RecordBatch, size: int = 1 << 16) -> Rows:
    hashes = row_hashes(rows)
    order = content_order(rows, hashes)
    return RowEncoder(size).dealt(rows, hashes[order], np.arange(1, len(order) + 1, dtype=np.uint32), order)


@given(st.lists(st.text(alphabet="aé", min_size=3, max_size=3), min_size=1, max_size=40), st.integers(0, 5), st.data())
def test_either_form_gives_back_what_went_in(texts: list[str], cut: int, data: st.DataObject) -> None:
    """Columns of every type, slices, hashes, numbers and bytes: packed or not, the same rows."""
    whole = batch(texts)
    whole = whole.slice(min(cut, len(texts) - 1))
    held = dealt(whole, data.draw(st.sampled_from([0, 1 << 16])))
    assert isinstance(held, Packed) == (len({len(text.encode()) for text in whole["t"].to_pylist()}) == 1)
    hashes = row_hashes(whole)
    order = content_order(whole, hashes)
    places = pa.array(np.array(data.draw(st.lists(st.integers(0, whole.num_rows - 1), max_size=60)), np.int64))
    again = read(held.schema, bytes(held.written()), held.widths)
    for each in (held, Plain(held.arrow()), again):
        assert each.schema == SCHEMA
        assert each.take(places).equals(whole.take(pa.array(order)).take(places))
        assert np.array_equal(each.hashes, hashes[order])
        assert each.times.tolist() == list(range(1, whole.num_rows + 1))
        assert each.arrow().equals(held.arrow())


@pytest.mark.parametrize("gap", ["null", "length", "none", "empty"])
def test_what_has_no_one_width_stays_an_arrow_batch(gap: str) -> None:
    """A missing value, another length, no text at all: not packed; the rest is, and a truth value never."""
    texts: dict[str, list[str | None]] = {"null": ["abc", None], "length": ["abc", "ab"], "none": ["abc", "abd"], "empty": ["", ""]}
    assert isinstance(dealt(batch(texts[gap])), Packed) == (gap == "none")
    assert isinstance(dealt(pa.RecordBatch.from_pydict({"b": [True, False]})), Plain)


def test_forms_are_joined_to_one() -> None:
    """Packed rows stay packed among their like; beside others they become Arrow, and none is lost."""
    one, two, other = dealt(batch(["aaa", "bbb"])), dealt(batch(["ccc"], 2)), dealt(batch(["dddd"], 3))
    assert isinstance(joined([one, two]), Packed)
    assert isinstance(joined([one, other]), Plain)
    texts = joined([one, two, other]).take(pa.array(range(4)))["t"].to_pylist()
    assert sorted(texts) == ["aaa", "bbb", "ccc", "dddd"]


def test_room_is_filled_through_its_bytes() -> None:
    """Rows that are read into memory of their size are the rows that were written, also where more or fewer rows were before."""
    room = ReadBuffer()
    for texts in (["abc", "abd", "abe"], ["abcd"], [f"{row:09d}" for row in range(50)]):
        held = dealt(batch([*texts]))
        data = bytes(held.written())
        place = room.packed(held.schema, held.widths, len(data))
        place.written()[:] = data
        assert place.arrow().equals(held.arrow())


@pytest.mark.parametrize("memory", [1, 5000, 1 << 20])
@pytest.mark.parametrize("mixed", [False, True])
def test_dealer_writes_every_row_once(tmp_path: Path, memory: int, mixed: bool) -> None:
    """Batches of one form or of several, written at once or one by one: settled, they are the rows that came, in their order."""
    given_ = [batch([f"{row:05d}" for row in range(first, first + 50)], first) for first in range(0, 500, 50)]
    if mixed:
        given_[3:3] = [batch([None, "x", "yy"], 1000), batch(["123456"] * 2, 2000)]
    folder = SpillFolder(tmp_path, "run", RunKey(b"k" * 32), "one")
    with Partitioner(folder, memory=memory, keep=True) as dealer:
        for each in given_:
            dealer.add(each)
        found = dealer.end()
    assert (found.gaps == {"t"}) == mixed
    room = ReadBuffer()
    ordered = (stretch for portion in found.portions(SHARES) for stretch in stretches(portion))
    settled = [block for stretch in ordered for block, _ in settle(load(stretch, folder, room), found.rows)]
    table, expected = pa.Table.from_batches(settled), pa.Table.from_batches(given_)
    assert table.num_rows == expected.num_rows == found.rows
    assert table_digest(table) == table_digest(expected)
    hashes = np.concatenate([row_hashes(block) for block in settled])
    assert (hashes[1:] >= hashes[:-1]).all()


def test_memory_is_not_given_away_twice() -> None:
    """Rows that were dealt stay what they were while the next batches come."""
    packer, kept = RowEncoder(4000), []
    for first in range(0, 60, 10):
        rows = batch([f"{row:03d}" for row in range(first, first + 10)], first)
        hashes = row_hashes(rows)
        kept.append((packer.dealt(rows, hashes, np.ones(10, np.uint32), np.arange(10)), rows))
    for held, rows in kept:
        assert held.take(pa.array(range(10))).equals(rows)
        assert share_edges(np.sort(held.hashes))[-1] == 10


def test_one_width_and_many_give_one_result(tmp_path: Path) -> None:
    """A run of packed rows through temporary files gives what it gives in memory, with duplicates; columns without gaps are stored so."""
    table = pa.table({"mrn": [f"{row % 900:06d}" for row in range(1000)], "visits": [row % 900 for row in range(1000)]})
    data = declared(
        columns={"mrn": {"rule": "tokenise"}, "visits": {"rule": "tokenise", "scheme": "permute"}}, quasi_identifiers=[], k=None, sensitive=[], l=None
    )
    (one, first), (two, second) = (
        Home(tmp_path / str(memory)).minimise(parquet(tmp_path, table, 100), data, memory=memory) for memory in (1, 1 << 22)
    )
    assert first.equals(second)
    assert one.data_digest == two.data_digest == table_digest(first)
    assert [field.nullable for field in first.schema] == [False, False]
