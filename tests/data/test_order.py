"""The order of rows by a hash of their content."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefect_gatehouse.data import order
from prefect_gatehouse.data.digest import as_batch, bucket_bits, cuts, table_digest
from prefect_gatehouse.data.engine.partition import share_edges
from prefect_gatehouse.data.order import content_order, repeated, repeats, rough_order, row_hashes, taken

TEXTS = st.lists(st.none() | st.text(max_size=40), min_size=1, max_size=30)


@given(TEXTS, st.integers(0, 29))
def test_hash_is_of_the_value_whatever_holds_it(texts: list[str | None], cut: int) -> None:
    """Slices, chunks, dictionaries and 64-bit offsets do not change a row's hash."""
    whole = row_hashes(as_batch(pa.table({"a": pa.array(texts, pa.string())})))
    for kind in (pa.large_string(), pa.dictionary(pa.int32(), pa.string())):
        assert (row_hashes(as_batch(pa.table({"a": pa.array(texts, pa.string()).cast(kind)}))) == whole).all()
    at = min(cut, len(texts))
    batch = as_batch(pa.table({"a": pa.array(texts, pa.string())}))
    assert np.array_equal(np.concatenate([row_hashes(batch.slice(0, at)), row_hashes(batch.slice(at))]), whole)


@given(st.integers(0, 40), st.integers(1, 20))
def test_both_ways_to_hash_text_agree(length: int, count: int) -> None:
    """Texts of one length are hashed by strides, others by gathering; a text's hash does not depend on its neighbours."""
    texts = [f"{row:02d}" * 20 for row in range(count)]
    same = row_hashes(as_batch(pa.table({"a": [text[:length] for text in texts]})))
    mixed = row_hashes(as_batch(pa.table({"a": [*(text[:length] for text in texts), "another length" * 4, ""]})))
    assert np.array_equal(same, mixed[:count])


@given(st.lists(st.tuples(st.sampled_from(["a", "b", None]), st.sampled_from([0.0, -0.0, 1.0, float("nan"), None])), max_size=20), st.randoms())
def test_rows_of_one_hash_are_ordered_by_content(rows: list[tuple[str | None, float | None]], rng: object) -> None:
    """With a hash that tells nothing, the order is still a function of the rows alone: any shuffle gives the same rows in the same order."""

    def ordered(given_: list[tuple[str | None, float | None]]) -> pa.RecordBatch:
        texts, numbers = zip(*given_, strict=True) if given_ else ((), ())
        batch = as_batch(pa.table({"a": pa.array(texts, pa.string()), "b": pa.array(numbers, pa.float64())}))
        return taken(batch, content_order(batch, np.zeros(len(given_), np.uint64)))

    one, other = ordered(rows), ordered(rows[::-1])
    assert repr(one.to_pylist()) == repr(other.to_pylist())


def test_order_is_by_the_whole_hash() -> None:
    """Hashes that differ in their lower half only are ordered too."""
    hashes = np.array([5, 3, 1 << 40, 4, (1 << 63) + 1, 1 << 63], np.uint64)
    batch = as_batch(pa.table({"a": list(range(6))}))
    assert content_order(batch, hashes).tolist() == [1, 3, 0, 2, 5, 4]


def test_rough_order_is_by_the_upper_bits_and_edges_are_found_in_it() -> None:
    """The shares of the hashes lie one behind the other, none is lost, and hashes that repeat are told."""
    hashes = np.random.default_rng(1).integers(0, 2**64, 70_000, dtype=np.uint64)
    rough = hashes[rough_order(hashes)]
    assert (np.diff((rough >> np.uint64(48)).astype(np.int64)) >= 0).all()
    assert np.array_equal(np.sort(rough), np.sort(hashes))
    edges = share_edges(rough)
    assert [set((rough[first:last] >> np.uint64(56)).tolist()) for first, last in pairwise(edges)] == [{share} for share in range(256)]
    assert not repeats(rough)
    assert repeats(np.append(rough, rough[-1]))


def test_digest_of_rows_with_one_hash_depends_on_them_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Colliding rows, in any order, have one digest, and other rows another."""
    monkeypatch.setattr(order, "_STEP", np.uint64(0))  # every mixing step forgets what it saw
    one = pa.table({"a": ["x", "y", "z", "x"], "b": [1, 2, 3, 1]})
    assert len(set(row_hashes(as_batch(one)))) == 1
    assert table_digest(one) == table_digest(one.take([2, 0, 3, 1]))
    assert table_digest(one) != table_digest(one.take([0, 1, 2, 2]))


def test_repeats_are_found_and_neighbours_of_one_hash_are_not() -> None:
    """Equal rows count as repeats; unequal rows under one hash do not, nor does a missing value beside an empty text."""
    batch = as_batch(pa.table({"a": ["x", "x", "y", "", None, None], "b": [1, 1, 1, 1, 1, 1]}))
    assert repeated(batch, np.zeros(6, np.uint64)).tolist() == [False, True, False, False, False, True]


@given(st.lists(st.none() | st.text(alphabet="abc", min_size=3, max_size=3) | st.text(max_size=5), min_size=1, max_size=20), st.data())
def test_taken_is_take(texts: list[str | None], data: st.DataObject) -> None:
    """The fast way for texts of one length gives what Arrow's own way gives, for slices too."""
    batch = pa.RecordBatch.from_pydict({"a": pa.array(texts, pa.string()), "n": pa.array(range(len(texts)))})
    batch = batch.slice(data.draw(st.integers(0, len(texts) - 1)))
    places = np.array(data.draw(st.lists(st.integers(0, batch.num_rows - 1), max_size=30)), np.int64)
    assert taken(batch, places).equals(batch.take(pa.array(places, pa.int64())))


def test_hashes_spread_over_the_buckets() -> None:
    """100,000 rows that differ in their last digits only fill 64 buckets evenly: within seven standard deviations."""
    batch = as_batch(pa.table({"a": [f"a long common beginning {row:08d}" for row in range(100_000)]}))
    hashes = np.sort(row_hashes(batch))
    sizes = [last - first for _, first, last in cuts(hashes, 6)]
    mean = 100_000 / 64
    assert len(sizes) == 64 and max(abs(size - mean) for size in sizes) < 7 * mean**0.5
    assert len(np.unique(hashes)) == 100_000


@pytest.mark.parametrize(("rows", "bits"), [(0, 0), (49_152, 0), (49_153, 1), (98_304, 1), (98_305, 2), (10_000_000, 8)])
def test_buckets_hold_at_most_so_many_rows_on_average(rows: int, bits: int) -> None:
    """The fewest bits for which there are at most 49,152 rows a bucket."""
    assert bucket_bits(rows) == bits
