"""A workload as anybody would write it on Prefect without Gatehouse; the peer of ``overhead.py``.

It minimises nothing, keeps no journal and deletes nothing. ``plain`` asks nobody; ``plain_asked`` waits for somebody's answer in Prefect's own way:
the run is suspended after the rows were read, its process ends, and another one begins the flow again. Bound circuits go to Aer's ``run``, PUBs to
Aer's sampler.
"""

from __future__ import annotations

import json
import sqlite3
import sys
from pathlib import Path
from typing import Any

import pandas as pd
from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.flow_runs import suspend_flow_run
from prefect.input import RunInput
from qiskit_aer import AerSimulator

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from workloads.table import WORKLOADS, Workload


@task(cache_policy=NO_CACHE)
def read(workload: Workload, source: str) -> pd.DataFrame:
    """The source's columns that the workload uses, scaled."""
    frame = pd.read_csv(source, usecols=list(workload.columns))
    for name, (low, high) in workload.scales.items():
        frame[name] = ((frame[name] - low) / (high - low)).clip(0, 1)
    return frame


@task(cache_policy=NO_CACHE)
def estimate(circuits: list[Any], shots: int) -> list[dict[str, int]]:
    """Counts of one round of bound circuits."""
    result = AerSimulator().run(circuits, shots=shots).result()
    return [result.get_counts(number) for number in range(len(circuits))]


@task(cache_policy=NO_CACHE)
def sample(pubs: list[Any], shots: int) -> list[dict[str, int]]:
    """Counts of one round of PUBs, in the order of their arrays."""
    from qiskit_aer.primitives import SamplerV2

    results = SamplerV2().run(pubs, shots=shots).result()
    registers = [next(iter(result.data.values())) for result in results]
    return [bits.get_counts(place) for bits in registers for place in range(bits.size)]


@task(cache_policy=NO_CACHE)
def write(frame: pd.DataFrame, target: str, table: str) -> None:
    """Replaces the table."""
    with sqlite3.connect(target) as connection:
        frame.to_sql(table, connection, if_exists="replace", index=False)


@flow(name="plain")
def plain(name: str, source: str, target: str, parameters: dict[str, Any]) -> None:
    """Read, estimate as often as the workload asks, write."""
    workload = WORKLOADS[name]
    solve(workload, read(workload, source), target, {**workload.parameters, **parameters})


class Answer(RunInput):
    """Whoever can call Prefect's API gives it."""

    go_on: bool


@flow(name="plain-asked")
def plain_asked(name: str, source: str, target: str, parameters: dict[str, Any]) -> None:
    """The same, with an answer before the first circuit."""
    workload = WORKLOADS[name]
    frame = read(workload, source)
    if not suspend_flow_run(wait_for_input=Answer, key="answer", timeout=3600).go_on:
        raise PermissionError("somebody said no")
    solve(workload, frame, target, {**workload.parameters, **parameters})


def solve(workload: Workload, frame: pd.DataFrame, target: str, parameters: dict[str, Any]) -> None:
    """Estimates as often as the workload asks, and writes."""
    solving = workload.solve()(frame, parameters)
    try:
        step = next(solving)
        while True:
            counts = sample if isinstance(step[0], tuple) else estimate
            step = solving.send(counts(step, workload.shots))
    except StopIteration as finished:
        write(finished.value, target, workload.table)


if __name__ == "__main__":
    plain(sys.argv[1], sys.argv[2], sys.argv[3], json.loads(sys.argv[4]))
