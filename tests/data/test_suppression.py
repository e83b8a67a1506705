"""Suppressed rows: which ones go, that every engine lets the same go, and that a limit is a limit."""

from __future__ import annotations

import pickle
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.data.engine.bench import RUN, Home, csv, declared, parquet, rows
from tests.data.engine.test_engines import Here, facts
from tests.data.test_diversity import ROWS, Row, table

from prefect_gatehouse.data.anonymity import Groups
from prefect_gatehouse.data.digest import table_digest
from prefect_gatehouse.data.suppress import Suppressed
from prefect_gatehouse.errors import DataRefused, GatehouseError
from prefect_gatehouse.manifest.data import Data

KEPT: dict[str, Any] = {
    "columns": {"born": {"rule": "keep"}, "ward": {"rule": "keep"}, "visits": {"rule": "keep"}},
    "quasi_identifiers": ["born", "ward"],
}


def key(row: Row) -> tuple[object, object]:
    return row[0], "nan" if row[1] is not None and row[1] != row[1] else (row[1] if row[1] is None else row[1] + 0.0)


@settings(deadline=None)
@given(ROWS, st.integers(1, 6), st.integers(1, 3))
def test_the_groups_that_miss_k_or_l_and_no_others(drawn: list[Row], k: int, least: int) -> None:
    """By a plain count: missing values, either zero and NaN are values; what is left reaches both, so that once is enough."""
    whole = table(drawn)
    groups = Groups(("p", "q"), ("s",))
    groups.add(whole)
    going = pickle.loads(pickle.dumps(Suppressed(groups.columns, groups.failing(k, least))))
    sizes = Counter(map(key, drawn))
    values = {each: {row[2] for row in drawn if key(row) == each and row[2] is not None} for each in sizes}
    expected = [sizes[key(row)] < k or len(values[key(row)]) < least for row in drawn]
    assert going.holds(whole).to_pylist() == expected
    assert groups.rows_in(going.holds) == sum(expected)
    left = Groups(("p", "q"), ("s",))
    left.add(whole.filter(pa.array([not each for each in expected])))
    if not all(expected):
        assert left.failing(k, least).num_rows == 0
        left.check(k, least)


def outliers(count: int = 400) -> pa.Table:
    """Two groups of many rows, and groups of one to three."""
    born = ["1950", "1951"] * (count // 2) + ["1901"] + ["1902"] * 2 + [None] * 3
    wards = ["north", "south"] * (count // 2) + ["north"] * 6
    return pa.table({"born": pa.array(born, pa.string()), "ward": wards, "visits": list(range(len(born)))})


@pytest.mark.parametrize("kind", [csv, parquet])
@pytest.mark.parametrize("memory", [1, 1 << 22])
@pytest.mark.parametrize("away", [False, True])
def test_every_engine_lets_the_same_rows_go(tmp_path: Path, kind: Any, memory: int, away: bool) -> None:
    """Whatever reads, spills and works: the rows that are left, their order and digest are those of a table without the others."""
    data = declared(**KEPT, k=5, suppression_limit=0.02, sensitive=[], l=None)
    home = Home(tmp_path / "home")
    result, found = home.minimise(kind(tmp_path, outliers()), data, pool=Here() if away else None, memory=memory)
    plain, expected = Home(tmp_path / "plain").minimise(parquet(tmp_path, outliers().slice(0, 400)), data)
    if kind is parquet:
        assert found.equals(expected)
        assert result.data_digest == plain.data_digest == table_digest(found)
    assert (result.suppressed_rows, result.suppressed_groups, result.source_rows, result.artifact.rows) == (6, 3, 406, 400)
    assert (plain.suppressed_rows, plain.suppressed_groups, plain.source_rows) == (0, 0, 400)
    assert result.k == 200
    assert sorted(found["visits"].to_pylist()) == list(range(400))
    assert home.store.uris(RUN) == [result.artifact.uri]


def test_engines_agree_on_a_source_with_everything_in_it(tmp_path: Path) -> None:
    """Tokens, gaps, repeated rows, numbers that a CSV spells as text, groups too small and groups too uniform."""
    table = rows(300)
    lone = table.slice(0, 4).set_column(2, "born", pa.array(["1930-01-01"] * 4)).set_column(5, "ward", pa.array(["north"] * 4))
    source = pa.concat_tables([table, lone])
    data = declared(suppression_limit=0.05, k=3)
    expected, there = Home(tmp_path / "one").minimise(parquet(tmp_path, source), data)
    assert expected.suppressed_rows == 4 and expected.l is not None and expected.l >= 2  # four rows are k, but of one ward
    for number, pool in enumerate((None, Here(1), Here(3))):
        result, found = Home(tmp_path / f"home{number}").minimise(csv(tmp_path, source), data, pool=pool, memory=1)
        assert found.equals(there)
        assert facts(result) == facts(expected)
        assert (result.suppressed_rows, result.suppressed_groups) == (4, 1)


@pytest.mark.parametrize(("limit", "fits"), [(6 / 406, True), (0.0148, True), (0.0147, False), (0.001, False), (None, False)])
def test_beyond_the_limit_and_without_one_the_data_is_refused(tmp_path: Path, limit: float | None, fits: bool) -> None:
    """Six of 406 rows are 1.48 %: just enough, or nothing is left behind; what is told are counts."""
    home, data = Home(tmp_path / "home"), declared(**KEPT, k=5, suppression_limit=limit, sensitive=[], l=None)
    if fits:
        assert home.minimise(parquet(tmp_path, outliers()), data)[0].suppressed_rows == 6
        return
    with pytest.raises(DataRefused, match="may be suppressed" if limit else "the smallest group has 1 row") as caught:
        home.minimise(parquet(tmp_path, outliers()), data)
    assert home.store.uris(RUN) == []
    if limit is None:
        assert "suppression_limit: 0.015, which leaves out 6 rows in 3 groups" in caught.value.advice
    assert "19" not in str(caught.value) and "north" not in str(caught.value)


def test_the_limit_belongs_to_groups() -> None:
    """Without k there is nothing to suppress; a share is above none and no more than half."""
    for wrong in ({"suppression_limit": 0.1, "k": None, "quasi_identifiers": [], "sensitive": [], "l": None}, {"suppression_limit": 0}):
        with pytest.raises((ValueError, GatehouseError)):
            declared(**wrong)
    with pytest.raises(ValueError, match=r"0\.5"):
        declared(suppression_limit=0.6)
    assert isinstance(declared(suppression_limit=0.5), Data)
