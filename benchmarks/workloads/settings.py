"""Many settings of one template of 16 gates as one PUB; notes the moment at which it yields it."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pandas as pd

WIDTH, GATES = 4, 16


def solve(features, parameters):
    """One round; what the process holds is noted before there are settings, the moment when they are yielded."""
    open_circuit = template()
    os.environ["BENCHMARK_BEFORE"] = Path("/proc/self/statm").read_text().split()[1]
    values = np.random.default_rng(12).uniform(-np.pi, np.pi, (int(parameters["settings"]), GATES))
    os.environ["BENCHMARK_YIELDED"] = repr(time.perf_counter())
    counts = yield [(open_circuit, values)]
    return pd.DataFrame({"circuit": features["circuit"], "strings": len(counts), "mean_weight": 0.0})


def template():
    """16 gates with an angle each, and the measurements."""
    from qiskit import QuantumCircuit
    from qiskit.circuit import ParameterVector

    angles = iter(ParameterVector("angle", GATES))
    circuit = QuantumCircuit(WIDTH, WIDTH)
    for _ in range(2):
        for qubit in range(WIDTH):
            circuit.ry(next(angles), qubit)
        for qubit in range(WIDTH):
            circuit.rzz(next(angles), qubit, (qubit + 1) % WIDTH)
    circuit.measure(range(WIDTH), range(WIDTH))
    return circuit
