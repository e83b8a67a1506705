"""The tumour example's workload in both forms, which give the same circuits: every setting bound, and one template with an array (a PUB).

The example ships one of the two; here they stand side by side, so that each is compared with its like. Nothing of Gatehouse is imported: the
peers run this file as it is.
"""

from __future__ import annotations

import hashlib

import numpy as np
import pandas as pd

KEY = "medical_record_number"
FEATURES = ["worst_perimeter", "worst_concave_points", "mean_concave_points", "worst_texture"]
WIDTH = len(FEATURES)


def solve_circuits(features, parameters):
    """One round: a bound circuit for each overlap with a landmark."""
    problem = Problem(features, parameters)
    counts = yield [bound(setting) for setting in problem.settings]
    return problem.frame(counts)


def solve_pubs(features, parameters):
    """The same round as one template and one array of angles, a row a setting."""
    problem = Problem(features, parameters)
    counts = yield [(template(), problem.settings)]
    return problem.frame(counts)


class Problem:
    """The patients, the landmarks, and the angles of every circuit between the two."""

    def __init__(self, features, parameters):
        self.patients = features.sort_values(KEY, ignore_index=True)
        self.points = self.patients[FEATURES].to_numpy(float)
        self.malignant = (self.patients["diagnosis"] == "malignant").to_numpy()
        self.held_out = np.array([hashlib.sha256(repr(tuple(row)).encode()).digest()[0] < 51 for row in self.points])
        self.chosen = landmarks_of(self.points, self.held_out, int(parameters["landmarks"]))
        self.pairs = [(row, column) for column in range(len(self.chosen)) for row in range(len(self.points)) if row != self.chosen[column]]
        self.regularisation = parameters["regularisation"]
        angles = np.pi * parameters["bandwidth"] * self.points / 2
        prepared = np.hstack([angles, angles[:, :-1] * angles[:, 1:]])
        rows, columns = np.array(self.pairs).T
        self.settings = np.hstack([prepared[rows], -prepared[self.chosen[columns]]])

    def frame(self, counts):
        """Kernel, both classifiers, one row a patient."""
        kernel = np.ones((len(self.points), len(self.chosen)))
        for (row, column), result in zip(self.pairs, counts, strict=True):
            kernel[row, column] = result.get("0" * WIDTH, 0) / sum(result.values())
        distances = ((self.points[:, None, :] - self.points[None, self.chosen, :]) ** 2).sum(axis=2)
        baseline = np.exp(-distances / (2 * np.median(distances)))
        margin, kernel_accuracy = self.classify(kernel)
        _, baseline_accuracy = self.classify(baseline)
        return pd.DataFrame(
            {
                KEY: self.patients[KEY],
                "prediction": np.where(margin > 0, "malignant", "benign"),
                "margin": margin,
                "kernel_accuracy": kernel_accuracy,
                "baseline_accuracy": baseline_accuracy,
            }
        )

    def classify(self, kernel):
        """Distances to the separating plane for everybody, and the share of held-out patients that it gets right."""
        from sklearn.svm import SVC

        between = kernel[self.chosen]
        values, vectors = np.linalg.eigh((between + between.T) / 2)
        embedded = kernel @ vectors / np.sqrt(np.maximum(values, 1e-3))
        machine = SVC(kernel="linear", C=self.regularisation).fit(embedded[~self.held_out], self.malignant[~self.held_out])
        margin = machine.decision_function(embedded)
        return margin, float(((margin > 0) == self.malignant)[self.held_out].mean())


def landmarks_of(points, held_out, number):
    """Training patients that lie far from each other: start near the middle, then always the farthest from those chosen."""
    training = np.flatnonzero(~held_out)
    middle = np.median(points[training], axis=0)
    chosen = [training[np.argmin(((points[training] - middle) ** 2).sum(axis=1))]]
    nearest = np.full(len(training), np.inf)
    while len(chosen) < number:
        nearest = np.minimum(nearest, ((points[training] - points[chosen[-1]]) ** 2).sum(axis=1))
        chosen.append(training[np.argmax(nearest)])
    return np.array(chosen)


def bound(setting):
    """One overlap's circuit, as somebody writes it who binds every angle."""
    return overlap([float(angle) for angle in setting])


def template():
    """The circuit of every overlap, its 14 angles open, in the order of an array's columns."""
    from qiskit.circuit import ParameterVector

    return overlap(ParameterVector("angle", 2 * (2 * WIDTH - 1)))


def overlap(angles):
    """Preparing one patient and unpreparing another: rotations by features, and by their products between neighbours."""
    from qiskit import QuantumCircuit

    ends = 2 * WIDTH - 1
    circuit = QuantumCircuit(WIDTH, WIDTH)
    for qubit in range(WIDTH):
        circuit.ry(angles[qubit], qubit)
    for qubit in range(WIDTH - 1):
        circuit.rzz(angles[WIDTH + qubit], qubit, qubit + 1)
    for qubit in reversed(range(WIDTH - 1)):
        circuit.rzz(angles[ends + WIDTH + qubit], qubit, qubit + 1)
    for qubit in range(WIDTH):
        circuit.ry(angles[ends + qubit], qubit)
    circuit.measure(range(WIDTH), range(WIDTH))
    return circuit
