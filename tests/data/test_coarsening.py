"""Which column splits the groups, and which coarser settings would be enough: told without a value, and true."""

from __future__ import annotations

import random
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from pydantic import TypeAdapter
from tests.data.engine.bench import Home, csv, declared, parquet

from prefect_gatehouse.data.coarsen import Step, ladder
from prefect_gatehouse.data.rules import rule_for
from prefect_gatehouse.errors import DataRefused
from prefect_gatehouse.manifest.columns import Column, Drop
from prefect_gatehouse.profile.profile import Profile, data_section, profile

COLUMNS: dict[str, Any] = {
    "born": {"rule": "generalise", "to": "year"},
    "zip": {"rule": "generalise", "prefix": 3},
    "age": {"rule": "generalise", "bins": [0, 20, 40, 60, 80, 120]},
    "sex": {"rule": "keep"},
    "weight": {"rule": "generalise", "round_to": 10},
}
RULE: TypeAdapter[Column] = TypeAdapter(Column)


def people(rows: int = 3000) -> pa.Table:
    draw = random.Random(7)
    return pa.table(
        {
            "pid": [f"P{row:07d}" for row in range(rows)],
            "born": [f"{1940 + int(draw.triangular(0, 59, 20))}-0{1 + draw.randrange(9)}-11" for _ in range(rows)],
            "zip": [f"{draw.randrange(3)}{draw.randrange(3)}{draw.randrange(1000):03d}" for _ in range(rows)],
            "age": [draw.randrange(100) for _ in range(rows)],
            "sex": [draw.choice("mf") for _ in range(rows)],
            "weight": [draw.randrange(40, 120) for _ in range(rows)],
            "diagnosis": [draw.choice("abcdef") for _ in range(rows)],
        }
    )


@pytest.mark.parametrize(
    ("name", "declared_as"),
    [*COLUMNS.items(), ("born", {"rule": "generalise", "to": "day"}), ("born", {"rule": "generalise", "to": "month"})],
)
def test_a_step_groups_as_its_rule_does(name: str, declared_as: dict[str, Any]) -> None:
    """What is tried on treated values is what the coarser rule makes of the source's, but for numbers half-way between two."""
    source = people(500)[name].combine_chunks()
    now = RULE.validate_python(declared_as)
    treated, _ = rule_for(name, now, typed=True, root_key=None, tenant="t").apply(source)
    steps = ladder(name, now)
    assert isinstance(steps[-1].declared, Drop) and steps[-1].way is None
    for step in steps[:-1]:
        assert step.way is not None
        expected, _ = rule_for(name, step.declared, typed=True, root_key=None, tenant="t").apply(source)
        pairs = pa.table({"a": step.way(treated), "b": expected}).group_by(["a", "b"]).aggregate([])
        if "round_to" not in step.words:
            assert pairs.num_rows == len(expected.unique()) == pc.count_distinct(pairs["a"]).as_py(), step.words


def refused(tmp_path: Path, **more: Any) -> DataRefused:
    data = declared(**({"columns": COLUMNS, "sensitive": [], "l": None} | more))
    with pytest.raises(DataRefused) as caught:
        Home(tmp_path / "home").minimise(parquet(tmp_path, people()), data)
    return caught.value


def test_a_refusal_names_the_column_and_what_would_be_enough(tmp_path: Path) -> None:
    """Each of the single changes that it offers, made in the manifest, is enough; no value is told."""
    error = refused(tmp_path, quasi_identifiers=["born", "sex"], k=25)
    assert "'born' splits them most: without it the smallest has" in error.message
    assert "change one: 'born' to: year -> decade; 'sex' drop" not in error.message
    assert "'born' to: year -> decade" in error.advice
    better = COLUMNS | {"born": {"rule": "generalise", "to": "decade"}}
    result, _ = Home(tmp_path / "again").minimise(
        parquet(tmp_path, people()), declared(columns=better, sensitive=[], l=None, quasi_identifiers=["born", "sex"], k=25)
    )
    assert result.k is not None and result.k >= 25
    assert not re.search(r"\b(19\d\d|P\d{7})\b", error.message + error.advice)


def test_where_no_single_change_is_enough_several_are_named(tmp_path: Path) -> None:
    """And they are enough together."""
    names = ["born", "zip", "sex", "age"]
    error = refused(tmp_path, quasi_identifiers=names, k=5)
    assert "change these: " in error.advice
    changed, left = dict(COLUMNS), list(names)
    for name, words in re.findall(r"'(\w+)' ([^';]+?)(?= and '|;|$)", error.advice):
        step: Step = next(each for each in ladder(name, RULE.validate_python(COLUMNS[name])) if each.words == words)
        changed[name] = step.declared.model_dump(exclude_defaults=True)
        if isinstance(step.declared, Drop):
            left.remove(name)
    result, _ = Home(tmp_path / "again").minimise(
        parquet(tmp_path, people()), declared(columns=changed, sensitive=[], l=None, quasi_identifiers=left, k=5)
    )
    assert result.k is not None and result.k >= 5


def test_too_few_rows_are_said_to_be_too_few(tmp_path: Path) -> None:
    """No setting makes ten rows of three."""
    data = declared(columns=COLUMNS, sensitive=[], l=None, quasi_identifiers=["sex"], k=10)
    with pytest.raises(DataRefused) as caught:
        Home(tmp_path / "home").minimise(parquet(tmp_path, people(3)), data)
    assert "nothing reaches k = 10 with 3 rows" in caught.value.advice


def one_file(folder: Path, table: pa.Table) -> Path:
    pq.write_table(table, folder / "source.parquet")
    return folder / "source.parquet"


@pytest.fixture(params=["csv", "parquet"])
def found(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Profile, Path]:
    source = (csv if request.param == "csv" else one_file)(tmp_path, people())
    return profile(source), source


def test_a_profile_proposes_what_reaches_k_on_the_data(found: tuple[Profile, Path], tmp_path: Path) -> None:
    """The proposal, as pasted, passes the gate; the settings that were made coarser say so."""
    proposed, source = found
    assert proposed.reached is not None and proposed.reached.first < 5
    assert proposed.reached.steps and not proposed.shortfall()
    data = proposed.data()
    assert data.k == 5 and proposed.k is not None and proposed.k >= 5
    assert f"k: 5  # measured now: {proposed.k}" in data_section(proposed)
    result, _ = Home(tmp_path / "home").minimise(source, data)
    assert (result.k, result.l, result.suppressed_rows) == (proposed.k, proposed.reached.l, proposed.reached.failing)
    assert any("coarser (" in each.reason for each in proposed.proposals)


def test_the_last_small_groups_are_proposed_for_suppression(tmp_path: Path) -> None:
    """Two rows of a category that two have: no coarser value saves them, and they are not a reason to drop the column."""
    table = pa.table({"sex": ["m", "f"] * 500 + ["x"] * 2, "height": [1.5 + row / 1000 for row in range(1002)]})
    proposed = profile(one_file(tmp_path, table))
    assert proposed.quasi_identifiers == ("sex",)
    assert (proposed.suppression_limit, proposed.k) == (0.01, 500)
    assert "suppression_limit: 0.01  # 2 of 1002 rows now" in data_section(proposed)
    result, _ = Home(tmp_path / "home").minimise(parquet(tmp_path, table), proposed.data())
    assert (result.k, result.suppressed_rows, result.suppressed_groups) == (500, 2, 1)


def test_a_profile_that_can_not_reach_k_says_so(tmp_path: Path) -> None:
    """Three rows: the k that was measured stands beside the one that is proposed, and why."""
    proposed = profile(one_file(tmp_path, people(3)))
    assert proposed.k == 1
    assert proposed.shortfall() == "not reached: 3 rows are fewer than 5"
    assert "k: 5  # measured now: 1; not reached" in data_section(proposed)
