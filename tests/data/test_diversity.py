"""Groups counted batch by batch: k-anonymity and distinct l-diversity."""

from __future__ import annotations

import pickle
from collections import defaultdict

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefect_gatehouse.data import anonymity
from prefect_gatehouse.data.anonymity import Groups
from prefect_gatehouse.errors import DataRefused

Row = tuple[str | None, float | None, str | None]
ROWS = st.lists(
    st.tuples(st.sampled_from(["a", "b", None]), st.sampled_from([0.0, -0.0, 1.0, float("nan"), None]), st.sampled_from(["x", "y", None])),
    min_size=1,
    max_size=25,
)


def table(rows: list[Row]) -> pa.Table:
    columns = list(zip(*rows, strict=True)) or [(), (), ()]
    kinds = (pa.string(), pa.float64(), pa.string())
    return pa.table({name: pa.array(column, kind) for name, column, kind in zip("pqs", columns, kinds, strict=True)})


def by_hand(rows: list[Row]) -> tuple[int, int]:
    groups: dict[tuple[object, object], list[str | None]] = defaultdict(list)
    for p, q, s in rows:
        groups[p, "nan" if q is not None and q != q else (q if q is None else q + 0.0)].append(s)
    return min(map(len, groups.values())), min(len({s for s in group if s is not None}) for group in groups.values())


@settings(deadline=None)
@given(ROWS, st.integers(1, 25))
def test_batches_merged_in_any_way_measure_as_a_count_by_hand(rows: list[Row], size: int) -> None:
    """K and l are those of a plain count, over batches, a pickled half and a merge; missing values form a group and are no sensitive value."""
    whole = table(rows)
    one, other = Groups(("p", "q"), ("s",)), Groups(("p", "q"), ("s",))
    for place, first in enumerate(range(0, len(rows), size)):
        (one, other)[place % 2].add(whole.slice(first, size))
    one.merge(pickle.loads(pickle.dumps(other)))
    k, least = by_hand(rows)
    assert one.sizes()[0] == k
    assert one.check(k) == (k, None)
    assert one.check(k, 0) == (k, least)
    with pytest.raises(DataRefused, match="are required"):
        one.check(k + 1)
    with pytest.raises(DataRefused, match=r"different values? of 's'"):
        one.check(k, least + 1)


def test_refusals_count_groups_and_show_no_value() -> None:
    """Below l: the measured l, the column, and how many groups have too few; no value of any."""
    groups = Groups(("city",), ("illness",))
    groups.add(pa.table({"city": ["CANARY-a"] * 3 + ["CANARY-b"] * 3, "illness": ["CANARY-x"] * 3 + ["CANARY-x", "CANARY-y", None]}))
    with pytest.raises(DataRefused, match="a group has 1 different value of 'illness', 2 are required; 1 of 2 groups have too few") as caught:
        groups.check(3, 2)
    assert "CANARY" not in str(caught.value) and "CANARY" not in repr(groups)


def test_nothing_fails_closed() -> None:
    """No rows have no k and no l, and an l without a sensitive column is not met by saying nothing."""
    empty = Groups(("p", "q"), ("s",))
    empty.add(table([]))
    for required in ((2, None), (None, 2)):
        with pytest.raises(DataRefused):
            empty.check(*required)
    with pytest.raises(DataRefused, match="no sensitive column"):
        Groups(("p",)).check(None, 1)
    assert empty.check(None) == (None, None)


def test_without_quasi_identifiers_all_rows_are_one_group() -> None:
    """K is the number of rows, l that of different values."""
    groups = Groups((), ("s",))
    for _ in range(2):
        groups.add(table([("a", 1.0, "x"), ("b", 2.0, "y"), ("c", 3.0, None)]))
    assert groups.check(6, 2) == (6, 2)


def test_many_batches_keep_one_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits is merged on the way, so that memory follows the groups and not the batches; storage types do not matter."""
    monkeypatch.setattr(anonymity, "_WAITING", 10)
    groups = Groups(("p",), ())
    kinds = (pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string()))
    for batch in range(200):
        column = pa.array(["a", "b", None]).cast(kinds[batch % 2]) if batch % 4 < 2 else pa.array(["a", "b", None]).dictionary_encode()
        groups.add(pa.table({"p": column}))
    assert groups.sizes() == (200, 3)
    assert sum(part.num_rows for part in groups._counts._parts) <= 10 + 3
    with pytest.raises(DataRefused, match="form no groups"):
        groups.add(pa.table({"p": [["CANARY"]]}))
