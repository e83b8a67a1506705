"""k-anonymity."""

from __future__ import annotations

from collections import Counter

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefect_gatehouse.data.anonymity import require_k, smallest_group
from prefect_gatehouse.errors import DataRefused


@given(st.lists(st.tuples(st.sampled_from(["a", "b", None]), st.sampled_from([1, 2, None])), max_size=20))
def test_counts_as_a_counter_does(rows: list[tuple[str | None, int | None]]) -> None:
    """The smallest group is that of a plain count over the rows; a missing value groups with other missing ones."""
    table = pa.table({"x": pa.array([x for x, _ in rows], pa.string()), "y": pa.array([y for _, y in rows], pa.int64())})
    assert smallest_group(table, ["x", "y"]) == min(Counter(rows).values(), default=0)


def test_refusal_counts_groups_and_shows_no_value() -> None:
    """Below k: the message has the measured k and how many groups are too small, and no value of them."""
    table = pa.table({"city": ["CANARY-a"] * 5 + ["CANARY-b"] * 2 + ["CANARY-c"]})
    assert require_k(table.slice(0, 5), ["city"], 5) == 5
    with pytest.raises(DataRefused) as caught:
        require_k(table, ["city"], 3)
    assert "the smallest group has 1 row, 3 are required; 2 of 3 groups are too small" in str(caught.value)
    assert "CANARY" not in str(caught.value)


def test_no_rows_fail_closed() -> None:
    """An empty table has no group of k."""
    with pytest.raises(DataRefused):
        require_k(pa.table({"x": pa.array([], pa.string())}), ["x"], 2)


def test_zero_of_either_sign_is_one_group() -> None:
    """0.0 and -0.0 do not split a group, and a table without quasi-identifiers is one group."""
    assert smallest_group(pa.table({"x": [0.0, -0.0]}), ["x"]) == 2
    assert smallest_group(pa.table({"x": [1, 2]}), []) == 2
