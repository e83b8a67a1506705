"""What a raw calibration says of a device's errors, whichever vendor wrote it: the means that a model needs, and how far two of them are apart.

Two forms are read: ``standardized`` of Amazon Braket's device schemas, and the backend properties of IBM Quantum. Means over the whole device,
because which of its qubits ran a circuit is the provider's compiler's choice and not told.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Errors:
    """Mean errors of a device, each between 0 and 1.

    Attributes:
        readout: Of reading a qubit.
        one: Of a gate on one qubit (1 - average fidelity).
        two: Of a gate on two.
    """

    readout: float
    one: float
    two: float

    def change_to(self, other: Errors) -> dict[str, tuple[float, float]]:
        """Then and now, by name, of those that differ by a tenth or more: less is how the same device measures itself twice."""
        after = asdict(other)
        return {name: (value, after[name]) for name, value in asdict(self).items() if abs(after[name] - value) > 0.1 * max(value, after[name])}


def read_errors(calibration: bytes) -> Errors | None:
    """The mean errors that a raw calibration tells; None where it is empty or of no form that is known."""
    try:
        document = json.loads(calibration)
        found = _braket(document) if "standardized" in document else _ibm(document)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError):
        return None
    readout, one, two = (_mean(values) for values in found)
    if readout is None or one is None or two is None:
        return None
    return Errors(readout, one, two)


def _braket(document: dict[str, Any]) -> tuple[list[float], list[float], list[float]]:
    """Fidelities of one qubit and of pairs; IonQ's machines tell one number of each kind, that of a gate on one ion in a part of their own."""
    told = document["standardized"]
    if not told.get("twoQubitProperties"):
        read, two = ([1.0 - float(item["fidelity"]) for item in told[name]] for name in ("readoutFidelity", "twoQubitGateFidelity"))
        return read, [1.0 - float(document["provider"]["fidelity"]["1Q"]["mean"])], two
    readout, one = [], []
    for qubit in told["oneQubitProperties"].values():
        kinds = {item["fidelityType"]["name"]: 1.0 - float(item["fidelity"]) for item in qubit["oneQubitFidelity"]}
        readout += [error for name, error in kinds.items() if name.startswith("READOUT")][:1]
        one += [error for name, error in kinds.items() if "RANDOMIZED_BENCHMARKING" in name][:1]
    pairs = told["twoQubitProperties"].values()
    return readout, one, [1.0 - float(item["fidelity"]) for pair in pairs for item in pair["twoQubitGateFidelity"]]


def _ibm(document: dict[str, Any]) -> tuple[list[float], list[float], list[float]]:
    """Lists of named parameters: of each qubit, and of each gate on its qubits."""
    readout = [float(item["value"]) for qubit in document["qubits"] for item in qubit if item["name"] == "readout_error"]
    gates: dict[int, list[float]] = {1: [], 2: []}
    for gate in document["gates"]:
        values = [float(item["value"]) for item in gate["parameters"] if item["name"] == "gate_error"]
        # A virtual gate has no error, and would halve the mean of those that are done.
        if len(gate["qubits"]) in gates and gate["gate"] not in {"rz", "id", "reset", "delay"}:
            gates[len(gate["qubits"])] += values
    return readout, gates[1], gates[2]


def _mean(errors: list[float]) -> float | None:
    """Without what is out of order: an error of one half or more is a device's way to say that a part is not used."""
    good = [each for each in errors if 0.0 <= each < 0.5]
    return sum(good) / len(good) if good else None
