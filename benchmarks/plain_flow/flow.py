"""The tumour example as anybody would write it on Prefect without Gatehouse; the peer of ``overhead.py``."""

from __future__ import annotations

import sqlite3
import sys

import pandas as pd
from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from qiskit_aer import AerSimulator

from prefect_gatehouse.examples.tumour_kernel import workload

SHOTS = 512
SCALES = {"worst_perimeter": (50, 255), "worst_concave_points": (0, 0.3), "mean_concave_points": (0, 0.21), "worst_texture": (12, 50)}
PARAMETERS = {"landmarks": 8, "bandwidth": 1.8, "regularisation": 10.0}


@task(cache_policy=NO_CACHE)
def read(source: str) -> pd.DataFrame:
    """The source's columns that the workload uses, scaled."""
    frame = pd.read_csv(source, usecols=["medical_record_number", "diagnosis", *SCALES])
    for name, (low, high) in SCALES.items():
        frame[name] = ((frame[name] - low) / (high - low)).clip(0, 1)
    return frame


@task(cache_policy=NO_CACHE)
def estimate(circuits: list) -> list[dict[str, int]]:
    """Counts of one round."""
    result = AerSimulator().run(circuits, shots=SHOTS).result()
    return [result.get_counts(number) for number in range(len(circuits))]


@task(cache_policy=NO_CACHE)
def write(frame: pd.DataFrame, target: str) -> None:
    """Replaces the table."""
    with sqlite3.connect(target) as connection:
        frame.to_sql("tumour_predictions", connection, if_exists="replace", index=False)


@flow(name="plain")
def plain(source: str, target: str) -> None:
    """Read, estimate, write."""
    solving = workload.solve(read(source), PARAMETERS)
    counts = estimate(next(solving))
    try:
        solving.send(counts)
    except StopIteration as finished:
        write(finished.value, target)


if __name__ == "__main__":
    plain(sys.argv[1], sys.argv[2])
