"""The source table as a hospital would hold it: 569 real patients' measurements beside generated identifiers.

The measurements are the Wisconsin diagnostic breast cancer data that scikit-learn carries. Every identifier is made up by
pattern; none belongs to anybody.
"""

from __future__ import annotations

import sys
from pathlib import Path

SEED = 569


def write_source(path: Path) -> int:
    """Writes the table as CSV and returns its number of rows."""
    import numpy as np
    from sklearn.datasets import load_breast_cancer

    data = load_breast_cancer(as_frame=True)
    frame = data.frame.drop(columns="target").rename(columns=lambda name: name.replace(" ", "_"))
    rng = np.random.default_rng(SEED)
    rows = len(frame)
    number = rng.permutation(rows)
    # Balanced over 20 years and 2 districts, so that the smallest group has more than ten people.
    cell = rng.permutation(np.arange(rows) % 40)
    frame.insert(0, "medical_record_number", [f"MRN-{700_000 + 13 * int(item):07d}" for item in number])
    frame.insert(1, "family_name", [f"family-{int(item):04d}" for item in number])
    frame.insert(2, "given_name", [f"given-{int(item) * 7 % 1000:04d}" for item in number])
    frame.insert(3, "email", [f"patient{int(item):04d}@example.org" for item in number])
    days = rng.integers(0, 360, rows)
    frame.insert(
        4, "birth_date", [f"{1940 + int(c) // 2}-{1 + int(d) // 30:02d}-{1 + int(d) % 30 % 28:02d}" for c, d in zip(cell, days, strict=True)]
    )
    frame.insert(5, "postcode", [f"{1 + int(c) % 2}{int(p):04d}" for c, p in zip(cell, rng.integers(0, 10_000, rows), strict=True)])
    frame.insert(6, "diagnosis", data.target.map({0: "malignant", 1: "benign"}))
    frame.to_csv(path, index=False)
    return rows


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("source.csv")
    sys.stdout.write(f"{write_source(target)} rows in {target.name}\n")
