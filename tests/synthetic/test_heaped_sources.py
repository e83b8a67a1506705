"""Sources as they are: heaps, zeros, tails, codes and rare categories. Like the source within the usual limits, and nobody's row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from tests.synthetic.installation import Desk
from tests.synthetic.shapes import adult, credit

from prefect_gatehouse.errors import DataRefused
from prefect_gatehouse.synthetic.balance import IDENTITY, balance
from prefect_gatehouse.synthetic.marginals import Levels, Quantiles, keep_apart
from prefect_gatehouse.synthetic.report import Limits
from prefect_gatehouse.synthetic.synthesise import Synthesised

K = 10
# Columns with so many values at most are combined value by value.
OWN = 16


def two(rows: int = 32_561) -> pa.Table:
    """The two columns of which a row is a pair of heaped numbers."""
    return adult(rows).select(["age", "hours_per_week"])


Case = tuple[pa.Table, Synthesised, pa.Table]


@pytest.fixture(scope="module", params=[(adult, 5000, 1), (adult, 8000, 2), (credit, 5000, 3), (credit, 8000, 4), (two, 32_561, 5), (two, 5000, 6)])
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    """Sources of several sizes, each under another seed, with the result and what is in the file."""
    make, rows, seed = request.param
    source = make(rows)
    made, table = Desk(tmp_path_factory.mktemp(make.__name__)).run(source, seed=seed)
    return source, made, table


def test_the_limits_are_the_usual_ones_and_are_kept(case: Case) -> None:
    """No limit is another one for these sources."""
    _, made, _ = case
    assert made.report.limits == Limits()
    assert made.report.failures() == []


def test_shares_of_heaps_and_zeros_stay(case: Case) -> None:
    """Every value that a fiftieth of the rows has, has as large a share in the file, but for the limit of the whole column."""
    source, made, table = case
    # A number that fewer than k rows have becomes the nearest common one, which the report tells.
    pooled = {column.column: column.pooled for column in made.report.columns}
    for name in source.column_names:
        counts = Counter(source[name].to_pylist())
        found = Counter(table[name].to_pylist())
        for value, count in counts.items():
            if count >= source.num_rows / 50:
                assert abs(count / source.num_rows - found[value] / table.num_rows) < 0.05 + pooled[name], name


def test_nobodys_row_and_nobodys_value(case: Case) -> None:
    """No row that fewer than k rows are alike, and no value that fewer than k rows have, of a column with many values or with few."""
    source, made, table = case
    rows = Counter(zip(*(source[name].to_pylist() for name in source.column_names), strict=True))
    drawn = set(zip(*(table[name].to_pylist() for name in table.column_names), strict=True))
    assert not {row for row, count in rows.items() if count < K} & drawn
    for column in made.report.columns:
        counts = Counter(source[column.column].to_pylist())
        assert column.kind in ("levels", "wide"), column.column
        alone = {value for value, count in counts.items() if count < K}
        assert alone.isdisjoint(table[column.column].to_pylist()), column.column


def test_no_rare_combination_of_categories(case: Case) -> None:
    """Counted here: of every two columns with few values, a combination in the file is one that k source rows have."""
    source, made, table = case
    few = [name for name in source.column_names if len(set(source[name].to_pylist())) <= OWN or pa.types.is_string(source[name].type)]
    for one, other in combinations(few, 2):
        # A text that fewer than k rows have is another one in the file.
        known = Counter(zip(source[one].to_pylist(), source[other].to_pylist(), strict=True))
        found = Counter(zip(table[one].to_pylist(), table[other].to_pylist(), strict=True))
        written = {pair: count for pair, count in found.items() if not any(str(value).startswith("other-") for value in pair)}
        assert all(known[pair] >= K for pair in written), (one, other)
    assert made.report.combinations.rare_copied == made.report.rows_copied == 0
    assert made.report.combinations.left_out == 0


def test_what_goes_together_still_does(tmp_path: Path) -> None:
    """Rank correlations over months of bills, delays and payments are those of the source, but for a tenth."""
    from scipy.stats import spearmanr

    source = credit(8000)
    _, table = Desk(tmp_path).run(source, seed=9)
    for one, other in (("BILL_AMT1", "BILL_AMT2"), ("BILL_AMT1", "BILL_AMT6"), ("PAY_0", "PAY_1"), ("BILL_AMT1", "PAY_AMT1")):
        wanted, got = (spearmanr(each[one], each[other]).statistic for each in (source, table))
        assert abs(wanted - got) < 0.1, (one, other)


def test_what_can_not_be_made_names_the_columns(tmp_path: Path) -> None:
    """Forty columns of a dozen values each: almost every row would hold a rare pair, and the refusal says of which columns."""
    rng = np.random.default_rng(3)
    columns = {f"c{number}": rng.choice([f"v{value}" for value in range(12)], 700) for number in range(40)}
    with pytest.raises(DataRefused, match="most often with 'c") as caught:
        Desk(tmp_path).run(pa.table(columns))
    assert caught.value.advice.startswith("leave 'c")
    assert list(tmp_path.glob("*made*")) == []


def test_a_number_moves_to_the_nearest_that_is_free() -> None:
    """Where a stretch is full, to its nearer end the more often: no number moves far, none is taken, and the mean stays."""
    rng = np.random.default_rng(4)
    taken = np.concatenate([np.arange(100, 200), [300, 302]])
    values = rng.integers(90, 310, 20_000)
    quantiles = Quantiles.of(np.arange(50, 400), 5)
    whole: Callable[[np.ndarray], np.ndarray] = lambda floats: np.rint(floats).astype(np.int64)  # noqa: E731
    moved = keep_apart(rng, values, taken, quantiles, whole, unique=False)
    assert not np.isin(moved, taken).any()
    assert np.array_equal(moved[~np.isin(values, taken)], values[~np.isin(values, taken)])
    assert set(moved[np.isin(values, np.arange(100, 200))]) == {99, 200}
    assert abs(moved.mean() - values.mean()) < 1.0
    assert np.array_equal(keep_apart(rng, values, np.array([], np.int64), quantiles, whole, unique=False), values)


def test_what_is_drawn_again_is_given_back() -> None:
    """Half of the rows with the last level are refused: without balance it has half of its share, with it the whole."""
    rng = np.random.default_rng(5)
    uniform = rng.random((20_000, 2))
    marginal = Levels(np.array([0.5, 0.3, 0.2]))

    def rare(numbers: np.ndarray, maps: object) -> np.ndarray:
        first = maps[0](numbers[:, 0])  # type: ignore[index]
        return (marginal.draw(first) == 2) & (numbers[:, 1] < 0.5)

    maps = balance(uniform, [marginal, None], rare)
    kept = ~rare(uniform, maps)
    shares = np.bincount(marginal.draw(maps[0](uniform[kept, 0])), minlength=3) / kept.sum()
    assert np.abs(shares - marginal.shares).max() < 0.01
    second = maps[1](uniform[kept, 1])
    assert abs(second.mean() - 0.5) < 0.01 and abs((second < 0.25).mean() - 0.25) < 0.01
    assert balance(uniform, [marginal, None], lambda numbers, maps: np.zeros(len(numbers), bool)) == [IDENTITY, IDENTITY]
