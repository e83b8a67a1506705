"""Sources with the marginal shapes of two public data sets that can't be shipped, made up from what is published about their columns.

UCI Adult (32,561 rows): numbers heaped on few values. Credit-card default (30,000 rows): amounts with zeros, tails and debts that go on
for months. The shares below are those data sets' own, rounded; no row of them is here.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa


def adult(rows: int = 32_561, seed: int = 21) -> pa.Table:
    """Hours on 40 for 47 % of the rows, gains that are zero for 92 % with a spike at 99,999, ages that end in a heap, rare categories."""
    rng = np.random.default_rng(seed)
    z = rng.standard_normal((rows, 3)) @ np.linalg.cholesky([[1, 0.25, 0.2], [0.25, 1, 0.35], [0.2, 0.35, 1]]).T
    age = np.clip(np.round(17 + 22 * rng.gamma(2.2, 0.46, rows) + 3 * z[:, 0]), 17, 90).astype(int)
    heaps = [40, 50, 45, 60, 35, 20, 30, 55, 25, 48, 38, 15, 10, 32, 24, 70, 65, 36, 16, 42, 44, 80, 43, 12, 37, 18, 8, 28, 99]
    shares = [0.467, 0.087, 0.056, 0.045, 0.040, 0.0376, 0.0353, 0.0213, 0.0207, 0.0159, 0.0146, 0.0124, 0.0085, 0.0082, 0.0077]
    shares += [0.0089, 0.0075, 0.0068, 0.0063, 0.0067, 0.0065, 0.0041, 0.0046, 0.0053, 0.0046, 0.0023, 0.0045, 0.0026, 0.0026]
    rest = rng.integers(1, 100, rows)
    hours = np.where(rng.random(rows) < sum(shares), rng.choice(heaps, rows, p=np.array(shares) / sum(shares)), rest)
    order = np.argsort(np.argsort(hours + rng.normal(0, 14, rows) + 6 * z[:, 1]))
    hours = np.sort(hours)[order]
    gains = np.array([7688, 15024, 3103, 4386, 5178, 5013, 2174, 3325, 8614, 10520, 14084, 20051, 27828, 594, 4064, 34095, 914, 2407])
    gain = np.where(rng.random(rows) + 0.05 * z[:, 2] > 0.922, rng.choice(np.concatenate([gains, rng.integers(114, 41310, 100)]), rows), 0)
    gain = np.where(rng.random(rows) < 0.0049, 99_999, gain)
    losses = np.concatenate([[1902, 1977, 1887, 1485, 1848, 1590, 1602, 1740, 1876], rng.integers(155, 4357, 80)])
    loss = np.where((gain == 0) & (rng.random(rows) < 0.047), rng.choice(losses, rows), 0)
    years = chosen(
        rng, z[:, 2], [0.0016, 0.005, 0.01, 0.02, 0.016, 0.0287, 0.036, 0.0133, 0.3225, 0.2239, 0.0424, 0.0328, 0.1645, 0.0529, 0.0177, 0.0127]
    )
    return pa.table(
        {
            "age": age,
            "workclass": named(
                rng,
                rows,
                ["Private", "Self-emp", "Local-gov", "State-gov", "Inc", "Federal", "Without-pay", "Never-worked"],
                [0.7531, 0.0780, 0.0643, 0.0399, 0.0343, 0.0295, 0.0005, 0.0004],
            ),
            "fnlwgt": rng.choice(np.round(np.exp(rng.normal(12.0, 0.55, 21_648))).astype(int) + 12_285, rows),
            "education_num": years + 1,
            "sex": named(rng, rows, ["Male", "Female"], [0.67, 0.33]),
            "capital_gain": gain,
            "capital_loss": loss,
            "hours_per_week": hours,
            "native_country": named(
                rng,
                rows,
                ["US", "Mexico", *(f"Country-{number}" for number in range(40))],
                [0.91, 0.02, *(0.08 * 0.88**number * 0.12 for number in range(40))],
            ),
            "income": np.where(0.8 * z[:, 2] + 0.5 * z[:, 1] + 0.3 * (gain > 5000) + rng.standard_normal(rows) > 0.95, ">50K", "<=50K"),
        }
    )


def credit(rows: int = 30_000, seed: int = 22) -> pa.Table:
    """Limits in tens of thousands, codes, months of delay from -2 to 8, bills and payments that are often zero and go together over months."""
    rng = np.random.default_rng(seed)
    wealth, debt = rng.standard_normal(rows), rng.standard_normal(rows)
    limit = np.clip(np.round(np.exp(11.7 + 0.85 * wealth) / 10_000), 1, 80).astype(int) * 10_000
    columns = {
        "LIMIT_BAL": limit,
        "SEX": rng.choice([1, 2], rows, p=[0.396, 0.604]),
        "EDUCATION": rng.choice(7, rows, p=[0.0005, 0.3528, 0.4677, 0.1639, 0.0041, 0.0093, 0.0017]),
        "MARRIAGE": rng.choice(4, rows, p=[0.0018, 0.4553, 0.5321, 0.0108]),
        "AGE": np.clip(np.round(21 + rng.gamma(2.2, 6.6, rows)), 21, 79).astype(int),
    }
    late = debt + 0.5 * rng.standard_normal(rows)
    bill = np.zeros(rows)
    idle = rng.random(rows) < 0.065
    for month in range(6):
        late = 0.85 * late + 0.5 * rng.standard_normal(rows)
        columns[f"PAY_{month}"] = chosen(rng, late, [0.092, 0.19, 0.491, 0.123, 0.089, 0.0107, 0.0025, 0.0009, 0.0004, 0.0003, 0.0006]) - 2
    for month in range(6):
        used = 1 / (1 + np.exp(-(debt + 0.4 * rng.standard_normal(rows) - 1)))
        bill = np.round(0.8 * bill + (0.2 if month else 1.0) * limit * used)
        idle = np.where(rng.random(rows) < 0.15, rng.random(rows) < 0.07 + 0.01 * month, idle)
        heaped = rng.random(rows)
        shown = np.where(heaped < 0.01, 390, np.where(heaped < 0.015, 780, np.where(heaped < 0.03, -np.round(rng.exponential(2000, rows)), bill)))
        columns[f"BILL_AMT{month + 1}"] = np.where(idle, 0, shown).astype(int)
    for month in range(6):
        owed = np.abs(columns[f"BILL_AMT{month + 1}"]) + 1000.0
        paid = owed * rng.beta(0.5, 8, rows)
        paid = np.where(rng.random(rows) < 0.25, np.maximum(1000, np.round(paid, -3)), np.round(paid))
        columns[f"PAY_AMT{month + 1}"] = np.where(rng.random(rows) < 0.18 + 0.01 * month, 0, paid).astype(int)
    columns["default"] = (rng.random(rows) < 1 / (1 + np.exp(1.4 - 0.6 * columns["PAY_0"]))).astype(int)
    return pa.table(columns)


def chosen(rng: np.random.Generator, z: np.ndarray, shares: list[float]) -> np.ndarray:
    """Places of shares, in the order of a score with some noise."""
    noisy = z + 0.3 * rng.standard_normal(len(z))
    places = np.argsort(np.argsort(noisy)) / len(z)
    cuts = np.cumsum(np.array(shares) / sum(shares))
    return np.minimum(np.searchsorted(cuts, places, side="right"), len(shares) - 1)


def named(rng: np.random.Generator, rows: int, names: list[str], shares: list[float]) -> np.ndarray:
    """Categories by their shares."""
    return rng.choice(names, rows, p=np.array(shares) / sum(shares))
