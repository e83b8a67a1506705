"""A workload on prefect-qiskit: the same flow, whose circuits go through a ``QuantumRuntime`` as PUBs.

Runs in an environment of its own (``prefect_qiskit.in``). Its simulated device has the workload's own gates and every pair of qubits coupled,
so that the circuits run as they are: with the default device a user would transpile each of them first, which this leaves out in the
peer's favour. Everything else is the default, the job's metrics as an artifact included.
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
from prefect_qiskit import QuantumRuntime
from prefect_qiskit.vendors import QiskitAerCredentials

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
def write(frame: pd.DataFrame, target: str, table: str) -> None:
    """Replaces the table."""
    with sqlite3.connect(target) as connection:
        frame.to_sql(table, connection, if_exists="replace", index=False)


def counts_of(results: Any) -> list[dict[str, int]]:
    """Counts of every PUB, in the order of its array."""
    registers = [next(iter(result.data.values())) for result in results]
    return [bits.get_counts(place) for bits in registers for place in (range(bits.size) if bits.shape else (None,))]


@flow(name="prefect-qiskit")
def runtime_flow(name: str, source: str, target: str, parameters: dict[str, Any]) -> None:
    """Read, sample as often as the workload asks, write."""
    workload = WORKLOADS[name]
    device = QiskitAerCredentials(num_qubits=workload.qubits, basis_gates=list(workload.gates), coupling_map_type="full")
    runtime = QuantumRuntime(resource_name="aer_simulator", credentials=device)
    solving = workload.solve()(read(workload, source), {**workload.parameters, **parameters})
    try:
        step = next(solving)
        while True:
            step = solving.send(counts_of(runtime.sampler(step, options={"default_shots": workload.shots})))
    except StopIteration as finished:
        write(finished.value, target, workload.table)


if __name__ == "__main__":
    runtime_flow(sys.argv[1], sys.argv[2], sys.argv[3], json.loads(sys.argv[4]))
