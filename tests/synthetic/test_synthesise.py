"""Synthetic data: like the source within the stated limits, nothing copied, and every number of the report computed again here."""

from __future__ import annotations

import hashlib
from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import combinations
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy import stats
from tests.synthetic.installation import Desk
from tests.synthetic.sources import SOURCES, correlated, mixed

from prefect_gatehouse.errors import DataRefused, GatehouseError, InputError
from prefect_gatehouse.synthetic.report import Limits
from prefect_gatehouse.synthetic.synthesise import Synthesised

K = 10


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """An installation."""
    return Desk(tmp_path)


@pytest.fixture(scope="module", params=sorted(SOURCES))
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[pa.Table, Synthesised, pa.Table]:
    """Each source with its result and what is in the file."""
    source = SOURCES[request.param]()
    made, table = Desk(tmp_path_factory.mktemp(request.param)).run(source)
    return source, made, table


Case = tuple[pa.Table, Synthesised, pa.Table]


def test_schema_and_rows(case: Case) -> None:
    """Same names, types and number of rows; the recorded digest is that of the file."""
    source, made, table = case
    assert table.schema.equals(source.schema)
    assert table.num_rows == source.num_rows == made.report.rows
    assert made.record.sha256 == made.report.sha256 == hashlib.sha256(made.path.read_bytes()).hexdigest()


def test_no_value_of_a_wide_column_comes_again(case: Case) -> None:
    """Set intersection, apart from values that many rows share; the report counts the same."""
    source, made, table = case
    wide = [column for column in made.report.columns if column.kind in ("wide", "made-up")]
    assert len(wide) >= 2
    for column in wide:
        counts = Counter(source[column.column].to_pylist())
        alone = {value for value, count in counts.items() if count < K and value is not None}
        assert alone, column.column
        assert not alone & set(table[column.column].to_pylist())
        assert column.values_copied == 0


def test_no_row_and_no_outlier_comes_again(case: Case) -> None:
    """No row is a source row; no number is beyond the source's k-th least and greatest value."""
    source, made, table = case
    rows = set(zip(*(source[name].to_pylist() for name in source.column_names), strict=True))
    assert not rows & set(zip(*(table[name].to_pylist() for name in table.column_names), strict=True))
    assert made.report.rows_copied == 0
    for column in made.report.columns:
        if column.kind in ("wide", "dense"):
            values = np.sort(np.array(source[column.column].drop_null().to_pylist()))
            drawn = np.array(table[column.column].drop_null().to_pylist())
            # A value that many rows share may be the least.
            assert values[0] < drawn.min() or values[K - 1] == drawn.min()
            assert drawn.max() < values[-1]


def numbers_of(column: pa.ChunkedArray) -> np.ndarray:
    """Numbers, or days of dates, without nulls."""
    column = column.drop_null()
    return (column.cast(pa.int32()) if pa.types.is_date(column.type) else column).to_numpy()


def test_marginals(case: Case) -> None:
    """The report's distances are SciPy's two-sample statistics, and within 0.05 and the sampling error."""
    source, made, table = case
    for column in made.report.columns:
        if column.kind in ("wide", "dense"):
            first, second = (numbers_of(each[column.column]) for each in (source, table))
            assert column.distance == pytest.approx(stats.ks_2samp(first, second).statistic, abs=1e-9)
            assert column.distance < 0.05 + 1.95 * np.sqrt(1 / len(first) + 1 / len(second)) + K / len(first)
        assert column.null_difference == pytest.approx(abs(source[column.column].null_count - table[column.column].null_count) / source.num_rows)


def test_correlations(case: Case) -> None:
    """Spearman's rank correlations, which the copula does not compute, differ by less than the stated tolerance."""
    source, _, table = case
    numbers = [field.name for field in source.schema if pa.types.is_floating(field.type) or pa.types.is_integer(field.type)]
    first, second = (each.select(numbers).to_pandas().corr("spearman").to_numpy() for each in (source, table))
    allowed = Limits().correlation_max + 4.5 * np.sqrt(2 / source.num_rows)
    assert np.abs(first - second).max() < allowed
    assert np.abs(first - second).mean() < 0.05


def test_nearest_distances_are_no_smaller_than_among_the_source(case: Case) -> None:
    """The two distributions of distances to the same rows are alike, and the copy would be told (see the attacks)."""
    near = case[1].report.nearest
    assert near is not None
    assert near.ratio_5th is not None and near.ratio_5th >= near.ratio_limit > 0.2
    assert near.share_below <= near.share_limit


def test_categories_go_with_numbers_and_rare_ones_are_gone(desk: Desk) -> None:
    """The city's mean incomes keep their order and size, the seven hamlets are in no cell, and nulls keep to one sex."""
    source = mixed()
    made, table = desk.run(source)
    assert not any("hamlet" in text for text in table["city"].to_pylist())
    first, second = (each.to_pandas().groupby("city")["income"].median() for each in (source, table))
    for city in ("north", "south", "west"):
        assert second[city] == pytest.approx(first[city], rel=0.15)
    nulls = table.to_pandas().groupby("sex")["income"].apply(lambda column: column.isna().mean())
    assert nulls["f"] == pytest.approx(0.3, abs=0.06)
    assert nulls["m"] < 0.06
    assert next(column for column in made.report.columns if column.column == "city").pooled == pytest.approx(7 / source.num_rows)


def test_no_rare_combination(desk: Desk) -> None:
    """Every combination of three few-valued columns in the file is one that at least k source rows have."""
    rng = np.random.default_rng(3)
    columns = {f"c{number}": rng.choice(list("abc"), 4000, p=[0.6, 0.3, 0.1]) for number in range(4)}
    columns["c0"] = np.where(columns["c1"] == "c", "a", columns["c0"])  # so that some combinations do not exist at all
    source = pa.table({**columns, "x": rng.standard_normal(4000)})
    made, table = desk.run(source)
    rare = 0
    for chosen in combinations(sorted(columns), 3):
        known, found = (Counter(zip(*(each[name].to_pylist() for name in chosen), strict=True)) for each in (source, table))
        rare += sum(count < K for count in known.values())
        assert all(known[combination] >= K for combination in found)
    assert rare > 0, "the source has none, nothing is proved"
    assert (made.report.combinations.order, made.report.combinations.rare_copied) == (3, 0)


def test_hostile_columns(desk: Desk) -> None:
    """Constants, nulls, NaN, infinities, booleans, decimals, moments with zones, empty text, Unicode, dictionaries, 64-bit numbers."""
    rng = np.random.default_rng(4)
    rows = 600
    numbers = rng.standard_normal(rows)
    start = datetime(2024, 1, 1, tzinfo=UTC)
    source = pa.table(
        {
            "constant": pa.array([7] * rows, pa.uint8()),
            "null": pa.nulls(rows),
            "nothing": pa.nulls(rows, pa.decimal128(9, 2)),
            "special": pa.array(np.where(rng.random(rows) < 0.1, np.nan, np.where(rng.random(rows) < 0.1, np.inf, numbers)), from_pandas=False),
            "flag": rng.random(rows) < 0.3,
            "price": pa.array([Decimal(int(each)).scaleb(-2) for each in rng.integers(-(10**7), 10**7, rows)], pa.decimal128(12, 2)),
            "moment": pa.array([start + timedelta(seconds=int(each)) for each in rng.integers(0, 10**8, rows)], pa.timestamp("us", "Europe/Paris")),
            "empty": [""] * rows,
            "word": [f"ñandú-{number}-✓" for number in range(rows)],
            "kind": pa.array(rng.choice(["ä", "b"], rows)).dictionary_encode(),
            "key": rng.integers(-(2**63), 2**63 - 1, rows),
            "single": pa.array(numbers, pa.float32()),
            "clock": pa.array(rng.integers(0, 86_399_999, rows).astype(np.int32), pa.time32("ms")),
        }
    )
    made, table = desk.run(source)
    assert table.schema.equals(source.schema)
    assert table["null"].null_count == table["nothing"].null_count == rows
    assert set(table["constant"].to_pylist()) == {7}
    assert set(table["empty"].to_pylist()) == {""}
    for name in ("special", "price", "moment", "word", "key", "single", "clock"):
        known = {value for value in source[name].to_pylist() if value == value and value != np.inf}
        assert not known & set(table[name].to_pylist()), name
    special = table["special"].to_numpy()
    assert np.isnan(special).mean() == pytest.approx(0.1, abs=0.05)
    assert np.isposinf(special).mean() == pytest.approx(0.09, abs=0.05)
    assert made.report.failures() == []


def test_many_columns(desk: Desk) -> None:
    """More columns than rows: the correlation matrix is singular and the copula stands."""
    rng = np.random.default_rng(5)
    numbers = rng.standard_normal((120, 160)) + rng.standard_normal((120, 1))
    made, table = desk.run(pa.table({f"x{place}": numbers[:, place] for place in range(160)}))
    assert table.num_columns == 160
    assert made.report.correlations.pairs == 160 * 159 // 2


@pytest.mark.parametrize(
    ("table", "error", "words"),
    [
        (pa.table({"a": [1]}), DataRefused, "fewer than 50 rows"),
        (pa.table({"a": [[1]] * 100}), InputError, "can't be made up"),
        (pa.table({"a": pa.array([b"x"] * 100)}), InputError, "can't be made up"),
        (pa.table({"a": pa.array([2**64 - 1 - i for i in range(100)], pa.uint64())}), InputError, "64 bits"),
        (pa.table({"17.5": [1.0] * 100}), InputError, "names of columns"),
        (pa.table({"someone@example.org": [1.0] * 100}), InputError, "names of columns"),
    ],
)
def test_what_is_refused(desk: Desk, table: pa.Table, error: type[GatehouseError], words: str) -> None:
    """One clear error, no file, no record."""
    with pytest.raises(error, match=words):
        desk.run(table)
    assert [path.name for path in desk.folder.iterdir() if path.is_file()] == ["source.parquet"]
    assert desk.ledger.events() == []


def test_beyond_a_limit_nothing_is_written(desk: Desk) -> None:
    """A limit that no result can meet: the measure is named with its figures, and neither file, report nor record is left."""
    report = desk.folder / "report.json"
    with pytest.raises(DataRefused, match=r"nearest rows \(\d\.\d+ < [3-9]\.\d+\)"):
        desk.run(correlated(500), report_file=report, limits=Limits(nearest_ratio=9.0))
    assert [path.name for path in desk.folder.iterdir() if path.is_file()] == ["source.parquet"]
    assert desk.ledger.events() == []


def test_files_that_are_there_are_never_replaced(desk: Desk) -> None:
    """Neither the result's name nor the report's may be taken."""
    desk.run(correlated(500))
    with pytest.raises(InputError, match="a file of this name"):
        desk.run(correlated(500))
    (desk.folder / "report.json").write_text("mine")
    with pytest.raises(InputError, match="a file of this name"):
        desk.run(correlated(500), name="again", report_file=desk.folder / "report.json")
    assert (desk.folder / "report.json").read_text() == "mine"


def test_randomness(desk: Desk, tmp_path: Path) -> None:
    """The operating system's gives another file each time and is said; a seed gives the same file and is said."""
    source = correlated(500)
    pq.write_table(source, tmp_path / "source.parquet")
    results = []
    for number, seed in enumerate((None, None, 7, 7)):
        folder = tmp_path / str(number)
        folder.mkdir()
        results.append(Desk(folder).run(source, seed=seed)[0])
    digests = [result.record.sha256 for result in results]
    assert len(set(digests)) == 3
    assert digests[2] == digests[3]
    assert [result.report.seeded for result in results] == [False, False, True, True]


def test_rows_may_be_more_and_fewer(desk: Desk) -> None:
    """``rows`` is what is written."""
    assert desk.run(correlated(500), rows=1200)[1].num_rows == 1200
    assert desk.run(correlated(500), name="few", rows=80)[1].num_rows == 80


def test_identifiers_that_many_rows_share_are_not_written(desk: Desk) -> None:
    """An address or a telephone number as a category keeps its share, not its text."""
    rng = np.random.default_rng(6)
    source = pa.table({"doctor": rng.choice(["a.b@example.org", "+41 44 123 45 67", "ward two"], 900), "x": rng.standard_normal(900)})
    _, table = desk.run(source)
    assert set(table["doctor"].to_pylist()) & {"a.b@example.org", "+41 44 123 45 67"} == set()
    assert "ward two" in table["doctor"].to_pylist()
    assert len(set(table["doctor"].to_pylist())) == 3
