"""A fidelity quantum kernel between patients and a few landmark patients, and a support vector classifier on top of it.

The kernel of two patients is the probability that preparing one and unpreparing the other gives all zeros (Havlicek et al., 2019).
Only the columns of the landmarks are estimated; the rest of the kernel matrix follows by Nystroem's method (Williams and Seeger, 2001).
"""

from __future__ import annotations

import hashlib

import numpy as np
import pandas as pd

KEY = "medical_record_number"
FEATURES = ["worst_perimeter", "worst_concave_points", "mean_concave_points", "worst_texture"]


def solve(features, parameters):
    """One round: all overlaps with the landmarks; then both classifiers, trained on 80 % and judged on the other 20 %."""
    # Row order is shuffled on every run; ordering by token makes everything below the same for the same data.
    patients = features.sort_values(KEY, ignore_index=True)
    points = patients[FEATURES].to_numpy(float)
    malignant = (patients["diagnosis"] == "malignant").to_numpy()
    held_out = np.array([hashlib.sha256(repr(tuple(row)).encode()).digest()[0] < 51 for row in points])  # 51/256: one fifth
    chosen = landmarks_of(points, held_out, int(parameters["landmarks"]))
    pairs = [(row, column) for column in range(len(chosen)) for row in range(len(points)) if row != chosen[column]]
    angles = np.pi * parameters["bandwidth"] * points / 2
    rows, columns = np.array(pairs).T

    # One circuit with free angles, and a row of values for each pair: counts come back in the order of the rows.
    counts = yield [(overlap_template(), np.hstack([angles[rows], angles[chosen[columns]]]))]

    kernel = np.ones((len(points), len(chosen)))
    for (row, column), result in zip(pairs, counts, strict=True):
        kernel[row, column] = result.get("0" * len(FEATURES), 0) / sum(result.values())
    distances = ((points[:, None, :] - points[None, chosen, :]) ** 2).sum(axis=2)
    baseline = np.exp(-distances / (2 * np.median(distances)))

    margin, kernel_accuracy = classify(kernel, chosen, malignant, held_out, parameters["regularisation"])
    _, baseline_accuracy = classify(baseline, chosen, malignant, held_out, parameters["regularisation"])
    return pd.DataFrame(
        {
            KEY: patients[KEY],
            "prediction": np.where(margin > 0, "malignant", "benign"),
            "margin": margin,
            "kernel_accuracy": kernel_accuracy,
            "baseline_accuracy": baseline_accuracy,
        }
    )


def landmarks_of(points, held_out, number):
    """Training patients that lie far from each other: start at the first, then always the farthest from those chosen."""
    training = np.flatnonzero(~held_out)
    middle = np.median(points[training], axis=0)
    chosen = [training[np.argmin(((points[training] - middle) ** 2).sum(axis=1))]]
    nearest = np.full(len(training), np.inf)
    while len(chosen) < number:
        nearest = np.minimum(nearest, ((points[training] - points[chosen[-1]]) ** 2).sum(axis=1))
        chosen.append(training[np.argmax(nearest)])
    return np.array(chosen)


def overlap_template():
    """The circuit of any two patients: the angles of the one, then those of the other, are its parameters."""
    from qiskit.circuit import ParameterVector

    return overlap(ParameterVector("left", len(FEATURES)), ParameterVector("right", len(FEATURES)))


def overlap(left, right):
    """The circuit whose all-zero probability is the fidelity of two patients' states: one qubit a feature."""
    from qiskit import QuantumCircuit

    width = len(left)
    circuit = QuantumCircuit(width, width)
    prepare(circuit, left)
    unprepare(circuit, right)
    circuit.measure(range(width), range(width))
    return circuit


def prepare(circuit, angles):
    """Rotations by the features, and by products of neighbouring features between neighbouring qubits."""
    for qubit, angle in enumerate(angles):
        circuit.ry(angle, qubit)
    for qubit in range(len(angles) - 1):
        circuit.rzz(angles[qubit] * angles[qubit + 1], qubit, qubit + 1)


def unprepare(circuit, angles):
    """The inverse of ``prepare``."""
    for qubit in reversed(range(len(angles) - 1)):
        circuit.rzz(-angles[qubit] * angles[qubit + 1], qubit, qubit + 1)
    for qubit, angle in enumerate(angles):
        circuit.ry(-angle, qubit)


def classify(kernel, chosen, malignant, held_out, regularisation):
    """Distances to the separating plane for everybody, and the share of held-out patients that it gets right."""
    from sklearn.svm import SVC

    between = kernel[chosen]
    values, vectors = np.linalg.eigh((between + between.T) / 2)
    values = np.maximum(values, 1e-3)  # shot noise makes small eigenvalues meaningless
    embedded = kernel @ vectors / np.sqrt(values)
    machine = SVC(kernel="linear", C=regularisation).fit(embedded[~held_out], malignant[~held_out])
    margin = machine.decision_function(embedded)
    return margin, float(((margin > 0) == malignant)[held_out].mean())
