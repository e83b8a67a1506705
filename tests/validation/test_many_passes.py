"""What needs more than one pass: repetitions, different values, ranks, with limits so low that a few rows reach them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from prefect_gatehouse.validation.pushdown import distinct, order_statistics, repetition
from prefect_gatehouse.validation.pushdown.arguments import Arguments
from prefect_gatehouse.validation.pushdown.fingerprints import Fingerprints
from prefect_gatehouse.validation.pushdown.interface import Check, Table, Undecided
from prefect_gatehouse.validation.pushdown.order_statistics import Selection, keys_of, number_of
from prefect_gatehouse.validation.pushdown.quantiles import median
from prefect_gatehouse.validation.pushdown.repetition import Repetition
from prefect_gatehouse.validation.pushdown.view import Batch, View

TEXTS = st.lists(st.none() | st.text(max_size=30) | st.sampled_from(["a", "ab", "abcdefgh", "abcdefghi"]), max_size=60)
NUMBERS = st.lists(st.floats(allow_nan=False, allow_infinity=False, width=32) | st.sampled_from([0.0, -0.0, 1.0]), min_size=1, max_size=60)


@pytest.fixture(autouse=True)
def low(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits that a few rows reach."""
    monkeypatch.setattr(repetition, "SLICE", 7)
    monkeypatch.setattr(repetition, "_UNEVEN", 99)  # a handful of fingerprints is never even
    monkeypatch.setattr(repetition, "_LOOKED_AT", 2)
    monkeypatch.setattr(repetition, "_ROWS_GROUPED", 3)
    monkeypatch.setattr(order_statistics, "COLLECTED", 2)
    monkeypatch.setattr(distinct, "MOST", 5)


def run(check: Check | Repetition, table: pa.Table, size: int = 5) -> int:
    """Passes until the check has seen enough; how many that were."""
    passes = 1
    while True:
        for batch in table.to_batches(max_chunksize=size):
            check.update(Batch(batch))
        if not check.again():
            return passes
        passes += 1


quick = settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))


@quick
@given(texts=TEXTS)
def test_repetitions_are_counted_exactly(texts: list[str | None]) -> None:
    """Rows considered, rows that repeat and different values, as a plain count has them, over slices and second looks."""
    search = Repetition(("x",), len(texts), "counts")
    run(search, pa.table({"x": pa.array(texts, pa.string())}))
    counted = Counter(each for each in texts if each is not None)
    assert search.considered == counted.total()
    assert search.distinct == len(counted)
    assert search.repeated_rows == sum(number for number in counted.values() if number > 1)


@quick
@given(texts=TEXTS)
def test_colliding_fingerprints_only_cost_a_second_look(texts: list[str | None]) -> None:
    """If every fingerprint were the same, or one of two, the counts would still be right."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Fingerprints, "_of_texts", lambda self, array: np.array([len(each.as_py()) % 2 for each in array], dtype=np.uint64))
        search = Repetition(("x",), 3, "counts")
        run(search, pa.table({"x": pa.array(texts, pa.string())}))
    counted = Counter(each for each in texts if each is not None)
    assert (search.distinct, search.repeated_rows) == (len(counted), sum(number for number in counted.values() if number > 1))


@quick
@given(texts=TEXTS, numbers=st.lists(st.none() | st.integers(0, 3), min_size=60, max_size=60))
def test_rows_of_several_columns(texts: list[str | None], numbers: list[int | None]) -> None:
    """Rows that pandas calls duplicated, missing values included, for each way to ignore rows."""
    table = pa.table({"x": pa.array(texts, pa.string()), "y": pa.array(numbers[: len(texts)], pa.int64())})
    frame = table.to_pandas()
    for missing, kept in (("all_values_are_missing", frame.dropna(how="all")), ("any_value_is_missing", frame.dropna()), ("never", frame)):
        search = Repetition(("x", "y"), len(texts), "counts", missing)
        run(search, table)
        assert search.considered == len(kept)
        assert search.repeated_rows == int(kept.duplicated(keep=False).sum())
        any_ = Repetition(("x", "y"), len(texts), "any", missing)
        run(any_, table)
        assert (any_.repeated_rows > 0) == (search.repeated_rows > 0)


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A source with far more values than it said is left undecided instead of filling the memory."""
    monkeypatch.setattr(repetition, "_UNEVEN", 1.5)
    with pytest.raises(Undecided):
        run(Repetition(("x",), 5, "counts"), pa.table({"x": [str(each) for each in range(30)]}))


def test_a_repetition_that_decides_ends_the_search() -> None:
    """One proven repetition is enough where all rows must be unique; without one every slice is looked at."""
    same = Repetition(("x",), 20, "any")
    assert run(same, pa.table({"x": ["a"] * 20})) <= 4, "its slice may be the last of three, and then it is looked at"
    assert same.repeated_rows == 20
    different = Repetition(("x",), 20, "any")
    assert run(different, pa.table({"x": [str(each) for each in range(20)]})) == 3
    assert (different.repeated_rows, different.distinct) == (0, 20)


@quick
@given(texts=st.lists(st.binary(max_size=40).map(lambda each: each.hex()), max_size=30))
def test_fingerprints_follow_the_value_alone(texts: list[str]) -> None:
    """Equal texts have equal fingerprints wherever they stand, in slices too; different ones differ, short or long."""
    prints = Fingerprints()
    array = pa.array(["pad", *texts, "pad"], pa.string())
    whole = prints.of(View(array))[1:-1]
    part = prints.of(View(array[1:-1]))
    assert whole.tolist() == part.tolist()
    assert len(set(whole.tolist())) == len(set(texts))


@quick
@given(numbers=NUMBERS)
def test_keys_have_the_order_of_the_numbers(numbers: list[float]) -> None:
    """A key and back is the number; keys sort as numbers do."""
    keys = keys_of(np.array(numbers))
    assert [number_of(int(key)) for key in keys] == numbers
    assert np.array(numbers)[np.argsort(keys, kind="stable")].tolist() == sorted(numbers)


@quick
@given(numbers=NUMBERS, data=st.data())
def test_selection_finds_the_number_at_a_rank(numbers: list[float], data: st.DataObject) -> None:
    """As sorting finds it, also where many numbers share their first bits."""
    rank = data.draw(st.integers(0, len(numbers) - 1))
    selection = Selection()
    selection.rank = rank
    keys = keys_of(np.array(numbers))
    passes, going = 0, True
    while going:
        selection.update(keys[:7])
        selection.update(keys[7:])
        passes, going = passes + 1, selection.again()
    assert passes <= 4
    assert selection.found == sorted(numbers)[rank]


@quick
@given(numbers=NUMBERS)
def test_the_median_is_that_of_pandas(numbers: list[float]) -> None:
    """The bounds at pandas' own median hold."""
    middle = float(pd.Series(numbers).median())
    if not math.isfinite(middle) or abs(middle) >= 2**53:
        return
    check = bound(median, {"column": "x", "min_value": middle, "max_value": middle}, len(numbers))
    run(check, pa.table({"x": numbers}))
    assert check.success()


@quick
@given(texts=TEXTS)
def test_many_different_values_are_counted_by_the_search(texts: list[str | None]) -> None:
    """Beyond what a tally holds, the number of different values is still exact."""
    number = len({each for each in texts if each is not None})
    check = bound(distinct.unique_count, {"column": "x", "min_value": number, "max_value": number}, len(texts))
    run(check, pa.table({"x": pa.array(texts, pa.string())}))
    assert check.success()


def test_nothing_shows_a_value_in_a_state() -> None:
    """The repr of what holds values or fingerprints, between two passes, holds none."""
    table = pa.table({"x": ["CANARYa"] * 3 + ["CANARYb"]})
    search = Repetition(("x",), 4, "counts")
    tally = distinct.Tally()
    for batch in table.to_batches():
        search.update(Batch(batch))
        search.again()
        search.update(Batch(batch))
        tally.update(Batch(batch), "x")
        shown = [repr(each) for each in (search, tally, Batch(batch), Batch(batch).view("x"), Fingerprints())]
        assert not any("CANARY" in each for each in shown)


def bound(parse: Callable[[Arguments], Callable[[Table], Check | None]], kwargs: dict[str, object], rows: int) -> Check:
    types = {"x": pa.string() if parse is distinct.unique_count else pa.float64()}
    check = parse(Arguments(kwargs))(Table(("x",), types, rows))  # type: ignore[arg-type]
    assert check is not None
    return check
