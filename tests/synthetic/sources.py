"""Sources of known shape for the tests of synthetic data."""

from __future__ import annotations

import numpy as np
import pyarrow as pa


def correlated(rows: int = 2000) -> pa.Table:
    """Four normal columns, strongly and weakly correlated, of full precision and of two decimals."""
    rng = np.random.default_rng(11)
    wanted = np.array([[1, 0.8, -0.5, 0.0], [0.8, 1, -0.3, 0.1], [-0.5, -0.3, 1, 0.2], [0.0, 0.1, 0.2, 1]])
    z = rng.standard_normal((rows, 4)) @ np.linalg.cholesky(wanted).T
    return pa.table({"a": z[:, 0], "b": 100 + 15 * z[:, 1], "c": np.round(1000 * z[:, 2], 2), "d": z[:, 3]})


def mixture(rows: int = 2000) -> pa.Table:
    """Two populations far apart, and a column that is zero for half of the rows."""
    rng = np.random.default_rng(12)
    first = rng.random(rows) < 0.4
    left = np.where(first, rng.normal(-5, 1, rows), rng.normal(5, 0.5, rows))
    paid = np.where(rng.random(rows) < 0.5, 0.0, np.round(rng.lognormal(4, 1, rows), 2))
    return pa.table({"left": left, "right": left / 2 + rng.normal(0, 1, rows), "paid": paid})


def heavy(rows: int = 2000) -> pa.Table:
    """Tails without a mean, and amounts over eight orders of magnitude, correlated; no value twice but by rounding."""
    rng = np.random.default_rng(13)
    z = rng.standard_normal((rows, 2)) @ np.linalg.cholesky([[1, 0.7], [0.7, 1]]).T
    return pa.table({"amount": np.exp(3 * z[:, 0]), "other": np.exp(2 * z[:, 1]), "cauchy": rng.standard_cauchy(rows)})


def mixed(rows: int = 3000) -> pa.Table:
    """Categories that go with numbers, rare categories, nulls that go with a category, whole numbers, dates, names."""
    rng = np.random.default_rng(14)
    z = rng.standard_normal(rows)
    city = np.where(z > 0.7, "north", np.where(z > -0.6, "south", "west")).astype(object)
    city[:7] = [f"hamlet-{number}" for number in range(7)]
    sex = rng.choice(["f", "m"], rows)
    income = np.round(np.exp(8 + 0.5 * z + 0.2 * rng.standard_normal(rows)), 2)
    missing = (sex == "f") & (rng.random(rows) < 0.3)
    return pa.table(
        {
            "city": city.astype(str),
            "sex": sex,
            "income": pa.array(income, mask=missing),
            "visits": rng.poisson(3, rows),
            "account": rng.choice(10**9, rows, replace=False),
            "born": pa.array(rng.integers(-10_000, 12_000, rows).astype(np.int32), pa.date32()),
            "name": [f"Person {number:06d}" for number in rng.permutation(rows)],
        }
    )


SOURCES = {"correlated": correlated, "mixture": mixture, "heavy": heavy, "mixed": mixed}
