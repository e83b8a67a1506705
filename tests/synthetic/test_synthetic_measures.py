"""The measures can fail: each is shown what it is there to find, and says so."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from tests.synthetic.sources import correlated, mixed

from prefect_gatehouse.synthetic.attacks import disclosure, nearest_rows
from prefect_gatehouse.synthetic.fidelity import measure_column, measure_correlations
from prefect_gatehouse.synthetic.model import Model
from prefect_gatehouse.synthetic.report import Combined, Limits, Report

LIMITS = Limits()
K = 10


def reported(source: pa.Table, made: pa.Table) -> Report:
    """The report on a table that anybody may have made."""
    rng = np.random.default_rng(1)
    model = Model(source, K, rng)
    return Report(
        generator="test",
        seeded=True,
        k=K,
        source_rows=source.num_rows,
        rows=made.num_rows,
        source_sha256="0" * 64,
        sha256="1" * 64,
        columns=tuple(measure_column(column, source[column.name], made[column.name], K, LIMITS) for column in model.columns),
        correlations=measure_correlations(model, source, made, rng, LIMITS),
        rows_copied=int(model.copied(made).sum()),
        combinations=Combined(
            columns=len(model.combinations.columns), order=model.combinations.order, left_out=0, rare_copied=int(model.rare_combination(made).sum())
        ),
        nearest=nearest_rows(model.columns, source, made, rng, LIMITS),
        disclosure=disclosure(model.columns, source, made, rng, LIMITS),
        limits=LIMITS,
    )


def drawn(source: pa.Table) -> pa.Table:
    """What the model makes of a source."""
    rng = np.random.default_rng(2)
    return Model(source, K, rng).draw(rng, source.num_rows)


def test_the_models_own_result_passes() -> None:
    """The other tests change one thing of this."""
    source = mixed()
    assert reported(source, drawn(source)).failures() == []


def test_a_copy_of_the_source_is_found_by_every_measure_of_privacy() -> None:
    """Rows, values, nearest distances and guesses: each alone would refuse it."""
    source = correlated()
    report = reported(source, source)
    assert report.rows_copied == source.num_rows
    assert all(column.values_copied == source.num_rows for column in report.columns if column.column in "abd")
    assert report.nearest is not None
    assert report.nearest.ratio_5th == 0.0
    assert report.nearest.share_below > report.nearest.share_limit
    assert all(item.with_synthetic == 1.0 for item in report.disclosure)
    words = " ".join(report.failures())
    assert all(part in words for part in ("rows copied", "values copied in 'a'", "nearest rows", "share of near rows", "disclosure of"))


def test_a_copy_with_a_little_noise_is_found_by_its_distances() -> None:
    """No value and no row is equal, and it is still the source."""
    source, rng = correlated(), np.random.default_rng(9)
    noisy = pa.table({name: source[name].to_numpy() * (1 + 1e-4 * rng.standard_normal(source.num_rows)) for name in source.column_names})
    report = reported(source, noisy)
    assert report.rows_copied == 0
    assert all(not column.values_copied for column in report.columns if column.column != "c")
    assert report.nearest is not None and report.nearest.ratio_5th is not None
    assert report.nearest.ratio_5th < 0.2
    assert min(item.with_synthetic for item in report.disclosure) > 0.9
    words = " ".join(report.failures())
    assert "nearest rows" in words and "disclosure of" in words


def test_a_shifted_column_is_found() -> None:
    """A quarter of a standard deviation is beyond the limit of the marginal, and only that."""
    source = correlated()
    made = drawn(source)
    shifted = made.set_column(0, "a", pa.array(made["a"].to_numpy() + 0.4))
    assert [text.split(" (")[0] for text in reported(source, shifted).failures()] == ["marginal of 'a'"]


def test_columns_shuffled_apart_are_found() -> None:
    """Every marginal is right and nothing goes together."""
    source, rng = correlated(), np.random.default_rng(3)
    made = drawn(source)
    loose = pa.table({name: made[name].take(pa.array(rng.permutation(made.num_rows))) for name in made.column_names})
    report = reported(source, loose)
    assert report.correlations.max_difference == pytest.approx(0.8, abs=0.1)
    assert any("correlations" in text for text in report.failures())
    assert not any("marginal" in text for text in report.failures())


def test_lost_nulls_are_found() -> None:
    """A column without its nulls."""
    source = mixed()
    made = drawn(source)
    place = made.column_names.index("income")
    report = reported(source, made.set_column(place, "income", made["income"].fill_null(5000.0)))
    assert any("nulls of 'income'" in text for text in report.failures())


def test_a_rare_category_is_a_rare_combination() -> None:
    """One row with a combination that a single person has."""
    rows = 1000
    rng = np.random.default_rng(4)
    columns = {"a": rng.choice(["x", "y"], rows), "b": rng.choice(["u", "v"], rows), "n": rng.standard_normal(rows)}
    columns["b"] = np.where(columns["a"] == "x", "u", columns["b"])
    columns["a"][0], columns["b"][0] = "x", "v"
    source = pa.table(columns)
    made = drawn(source)
    assert reported(source, made).combinations.rare_copied == 0
    again = pa.table({"a": ["x", *made["a"].to_pylist()[1:]], "b": ["v", *made["b"].to_pylist()[1:]], "n": made["n"]})
    report = reported(source, again)
    assert report.combinations.rare_copied == 1
    assert "rows with a rare combination (1)" in report.failures()


def test_not_a_number_is_beyond_every_limit() -> None:
    """A measure that could not be computed fails."""
    source = correlated(500)
    report = reported(source, drawn(source))
    bad = report.correlations.model_copy(update={"max_difference": float("nan"), "mean_difference": float("nan")})
    assert len(report.model_copy(update={"correlations": bad}).failures()) == 2


def test_the_report_holds_no_value() -> None:
    """Planted texts and numbers of the source are nowhere in its JSON."""
    source = mixed()
    text = reported(source, drawn(source)).model_dump_json()
    for name in source.column_names:
        values = [str(value) for value in source[name].to_pylist()[:200] if len(str(value)) > 5]
        assert not [value for value in values if value in text]
