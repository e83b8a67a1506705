"""The parts that the model is made of: codecs both ways, made-up text, combinations against counting, quantiles."""

from __future__ import annotations

from collections import Counter
from itertools import combinations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefect_gatehouse.errors import InputError
from prefect_gatehouse.synthetic.combinations import Combinations
from prefect_gatehouse.synthetic.copula import factor, fit, score_correlation
from prefect_gatehouse.synthetic.marginals import Levels, Quantiles, Steps
from prefect_gatehouse.synthetic.numbers import NumberCodec
from prefect_gatehouse.synthetic.text import MadeUp, shapes_of

INT64 = st.integers(-(2**63), 2**63 - 1)


@given(values=st.lists(st.none() | INT64, min_size=1))
def test_whole_numbers_both_ways(values: list[int | None]) -> None:
    """Every 64-bit number and null comes back, also where their span does not fit into 64 bits."""
    array = pa.chunked_array([pa.array(values, pa.int64())])
    codec = NumberCodec.of("x", array)
    assert codec.decode(*codec.encode(array)).to_pylist() == values


@given(values=st.lists(st.none() | st.floats()))
def test_doubles_both_ways(values: list[float | None]) -> None:
    """Every double, NaN, infinity and null, apart from the sign of zero."""
    array = pa.chunked_array([pa.array(values, pa.float64(), from_pandas=False)])
    codec = NumberCodec.of("x", array)
    assert str(codec.decode(*codec.encode(array)).to_pylist()) == str([0.0 if value == 0.0 else value for value in values])


@given(values=st.lists(st.none() | st.decimals(-(10**12), 10**12, places=3)))
def test_decimals_both_ways(values: list[object]) -> None:
    """Decimals of three places, by way of their 128-bit words."""
    array = pa.chunked_array([pa.array(values, pa.decimal128(20, 3))])
    codec = NumberCodec.of("x", array)
    assert codec.decode(*codec.encode(array)).to_pylist() == values


def test_a_decimal_beyond_64_bits_is_refused() -> None:
    """With the column's name and without the number."""
    array = pa.chunked_array([pa.array(["12345678901234567890123"]).cast(pa.decimal128(30, 2))])
    with pytest.raises(InputError, match="column 'price'") as caught:
        NumberCodec.of("price", array)
    assert "123456" not in str(caught.value)


@settings(max_examples=40)
@given(values=st.lists(st.text(min_size=1, max_size=12), min_size=30, max_size=80, unique=True), seed=st.integers(0, 2**32))
def test_made_up_text_is_new_and_unique(values: list[str], seed: int) -> None:
    """Whatever the texts are, none comes again, and where all differ all differ."""
    maker = MadeUp.of(pa.array(values), 10)
    made = maker.draw(np.random.default_rng(seed), 60).to_pylist()
    assert not set(made) & set(values)
    assert len(set(made)) == 60


def test_made_up_text_keeps_shape_and_common_characters() -> None:
    """Prefix and punctuation are everybody's; the digits are nobody's; a shape that three rows have is not used."""
    values = pa.array([f"MRN-{number:07d}" for number in range(0, 4000, 4)] + ["Q1", "Q2", "Q3"])
    made = MadeUp.of(values, 10).draw(np.random.default_rng(1), 500)
    assert set(shapes_of(made).to_pylist()) == {"AAA-9999999"}
    assert all(text.startswith("MRN-000") for text in made.to_pylist())
    assert not set(made.to_pylist()) & set(values.to_pylist())


def test_made_up_text_grows_where_its_shape_is_used_up() -> None:
    """All hundred numbers of two digits are the source's: what is made is longer."""
    values = [f"{number:02d}" for number in range(100)]
    made = MadeUp.of(pa.array(values), 10).draw(np.random.default_rng(1), 100).to_pylist()
    assert not set(made) & set(values)
    assert len(set(made)) == 100


@settings(max_examples=30)
@given(st.data())
def test_combinations_against_counting(data: st.DataObject) -> None:
    """For up to eleven columns, triples or pairs: rare is what plain counting finds rare."""
    columns = data.draw(st.integers(1, 11))
    rng = np.random.default_rng(data.draw(st.integers(0, 1000)))
    sizes = [int(size) for size in rng.integers(1, 4, columns)]
    source, other = (np.column_stack([rng.integers(0, size, rows) for size in sizes]) for rows in (150, 40))
    known = Combinations(source, sizes, 10)
    assert known.left_out == 0
    expected = np.zeros(len(other), bool)
    for chosen in combinations(range(columns), known.order):
        counts = Counter(map(tuple, source[:, chosen].tolist()))
        expected |= np.array([counts[tuple(row)] < 10 for row in other[:, chosen].tolist()])
    assert known.order == (min(3, columns) if columns <= 8 else 2)
    assert (known.rare(other) == expected).all()


@settings(max_examples=40)
@given(seed=st.integers(0, 10_000), zeros=st.integers(0, 80), rows=st.integers(60, 400))
def test_quantiles_are_monotone_and_cut(seed: int, zeros: int, rows: int) -> None:
    """Non-decreasing, between the medians of the k least and greatest values, close to the empirical distribution."""
    rng = np.random.default_rng(seed)
    values = np.concatenate([rng.standard_cauchy(rows), np.zeros(zeros)])
    quantiles = Quantiles.of(values, 10)
    drawn = quantiles.draw(np.linspace(0, 1, 5001))
    ordered = np.sort(values)
    assert (np.diff(drawn) >= 0).all()
    assert np.median(ordered[:10]) <= drawn[0]
    assert drawn[-1] <= np.median(ordered[-10:])
    places = np.searchsorted(np.sort(drawn), ordered, side="right") / len(drawn) - np.searchsorted(ordered, ordered, side="right") / len(ordered)
    assert np.abs(places).max() < 2.5 * 10 / len(values) + 0.01


def test_steps_have_the_mean_of_the_normal_score() -> None:
    """E[Z | interval] against a large sample."""
    steps = Levels(np.array([0.2, 0.5, 0.3])).steps
    z = np.random.default_rng(1).standard_normal(400_000)
    codes = Levels(np.array([0.2, 0.5, 0.3])).draw(np.searchsorted(np.sort(z), z) / len(z))
    assert steps.scores == pytest.approx([z[codes == level].mean() for level in range(3)], abs=0.01)


def test_levels_correlate_as_wanted() -> None:
    """Two levels and a number: the latent correlation is raised, so that what is seen is 0.6 again."""
    rng = np.random.default_rng(2)
    steps = [Levels(np.array([0.7, 0.3])).steps, Steps(np.array([1.0]), np.array([np.nan]))]
    z = rng.standard_normal((50_000, 2)) @ np.linalg.cholesky([[1, 0.79], [0.79, 1]]).T
    source = np.column_stack([steps[0].collapse(z[:, 0]), z[:, 1]])
    root = fit(source, steps, rng, lambda sample: np.ones(len(sample), bool))
    latent = float((root @ root.T)[0, 1])
    assert latent == pytest.approx(0.79, abs=0.03)
    assert score_correlation(source)[0, 1] < latent - 0.1


def test_correlations_leave_out_what_is_missing() -> None:
    """As pandas computes them pair by pair, up to the means taken over each column's own rows."""
    import pandas as pd

    rng = np.random.default_rng(3)
    scores = rng.standard_normal((4000, 3)) + rng.standard_normal((4000, 1))
    scores[rng.random((4000, 3)) < 0.2] = np.nan
    assert score_correlation(scores) == pytest.approx(pd.DataFrame(scores).corr().to_numpy(), abs=0.01)


def test_a_matrix_that_is_no_correlation_becomes_the_nearest() -> None:
    """Three correlations that cannot be at once."""
    root = factor(np.array([[1, 0.9, -0.9], [0.9, 1, 0.9], [-0.9, 0.9, 1.0]]))
    found = root @ root.T
    assert np.diag(found) == pytest.approx(np.ones(3))
    assert np.linalg.eigvalsh(found).min() > -1e-12
