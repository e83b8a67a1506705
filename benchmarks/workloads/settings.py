"""Many settings of one template of 16 gates as one PUB."""

from __future__ import annotations

import numpy as np
import pandas as pd

WIDTH, GATES = 4, 16


def solve(features, parameters):
    """One round."""
    values = np.random.default_rng(12).uniform(-np.pi, np.pi, (int(parameters["settings"]), GATES))
    counts = yield [(template(), values)]
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
