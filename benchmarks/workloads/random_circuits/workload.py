"""Circuits that share nothing: each row's seed draws gates, places and angles, so no two circuits are settings of one template."""

from __future__ import annotations

import random

import pandas as pd

ONE, TWO = ("h", "rx", "ry", "rz"), ("cx", "cz", "rzz")


def solve(features, parameters):
    """One round; returns for each circuit how many strings were seen and their mean weight."""
    rows = features.sort_values("circuit", ignore_index=True)
    width, gates = int(parameters["qubits"]), int(parameters["gates"])
    counts = yield [circuit_of(int(seed), width, gates) for seed in rows["seed"]]
    weights = [sum(bits.count("1") * number for bits, number in result.items()) / sum(result.values()) for result in counts]
    return pd.DataFrame({"circuit": rows["circuit"], "strings": [len(result) for result in counts], "mean_weight": weights})


def circuit_of(seed, width, gates):
    """As many gates on as many qubits, half of them between two."""
    from qiskit import QuantumCircuit

    draw = random.Random(seed)
    circuit = QuantumCircuit(width, width)
    for _ in range(gates):
        name = draw.choice(draw.choice((ONE, TWO)))
        angles = [draw.uniform(-3.1, 3.1)] if name.startswith("r") else []
        getattr(circuit, name)(*angles, *draw.sample(range(width), 1 if name in ONE else 2))
    circuit.measure(range(width), range(width))
    return circuit
