"""What a device's calibration lets expect of prepared circuits, before anybody approves them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from math import prod
from typing import Any

from prefect_gatehouse.workload.batch import Gate, Template


def estimate(templates: Iterable[Template], calibration: bytes) -> float | None:
    """The chance that a shot of the worst template is free of error: the product of the fidelities of its gates and read-outs.

    Errors count as independent, and idling and turns about z, which no pulse does, as free of error: an upper estimate.

    Returns:
        None where the calibration does not tell one of them.
    """
    try:
        document = json.loads(calibration)
        told = document["standardized"]
        of = _of_qubits if told.get("twoQubitProperties") else _of_device
        return min(prod(1.0 if gate[0] == "rz" else of(gate, told, document) for gate in template.gates) for template in templates)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _of_qubits(gate: Gate, told: dict[str, Any], _: dict[str, Any]) -> float:
    """Each qubit and each pair has its own, as on chips."""
    name, qubits, _bits = gate
    if len(qubits) == 2:
        low, high = sorted(qubits)
        pairs = told["twoQubitProperties"]
        entry = pairs.get(f"{low}-{high}") or pairs[f"{high}-{low}"]
        return min(float(each["fidelity"]) for each in entry["twoQubitGateFidelity"] if each["gateName"].lower() == name)
    of = told["oneQubitProperties"][str(qubits[0])]["oneQubitFidelity"]
    if name == "measure":
        return min(float(each["fidelity"]) for each in of if each["fidelityType"]["name"] == "READOUT")
    return min(float(each["fidelity"]) for each in of if not each["fidelityType"]["name"].startswith("READOUT"))


def _of_device(gate: Gate, told: dict[str, Any], document: dict[str, Any]) -> float:
    """One number for all ions; that of a gate on one of them is in the vendor's own part."""
    name, qubits, _bits = gate
    if len(qubits) == 2:
        return min(float(each["fidelity"]) for each in told["twoQubitGateFidelity"])
    if name == "measure":
        return min(float(each["fidelity"]) for each in told["readoutFidelity"])
    return float(document["provider"]["fidelity"]["1Q"]["mean"])
