"""A workload with time between its rounds, in which somebody may do something to its run."""

from __future__ import annotations

SLOW = """
import time

import pandas as pd


def solve(features, parameters):
    from qiskit import QuantumCircuit

    for turn in range(parameters["rounds"]):
        circuit = QuantumCircuit(1, 1)
        circuit.measure(0, 0)
        counts = yield [circuit]
        time.sleep(3)
    return pd.DataFrame({"subject": features["subject"], "score": 1.0})
"""
