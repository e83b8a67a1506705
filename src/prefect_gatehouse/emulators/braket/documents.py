"""What the emulated devices tell of themselves: documents in the schemas of the Braket SDK, which the SDK reads as it reads a real device's.

Gates, qubits, couplings and limits are those of the machines they are named after, as amazon-braket-examples keeps their documents: Rigetti's
Ankaa-3 of 2025-12-22 and Cepheus-1-108Q of 2026-05-05, IonQ's Forte Enterprise of 2026-05-03. IQM's is of the kind that Garnet is. Calibrations are
made up, of the size that such machines publish.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

_SCHEMAS = "braket.device_schema"
_EVERY = [
    "ccnot",
    "cnot",
    "cphaseshift",
    "cphaseshift00",
    "cphaseshift01",
    "cphaseshift10",
    "cswap",
    "swap",
    "iswap",
    "pswap",
    "ecr",
    "cy",
    "cz",
    "xy",
    "xx",
    "yy",
    "zz",
    "h",
    "i",
    "phaseshift",
    "rx",
    "ry",
    "rz",
    "s",
    "si",
    "t",
    "ti",
    "v",
    "vi",
    "x",
    "y",
    "z",
    "prx",
]
_RIGETTI = [
    "cz",
    "xy",
    "ccnot",
    "cnot",
    "cphaseshift",
    "cphaseshift00",
    "cphaseshift01",
    "cphaseshift10",
    "cswap",
    "h",
    "i",
    "iswap",
    "phaseshift",
    "pswap",
    "rx",
    "ry",
    "rz",
    "s",
    "si",
    "swap",
    "t",
    "ti",
    "x",
    "y",
    "z",
]
_IONQ = ["x", "y", "z", "h", "s", "si", "t", "ti", "v", "vi", "rx", "ry", "rz", "cnot", "swap", "xx", "yy", "zz"]
Pair = tuple[int, int]


def garnet(maximum_executables: int) -> dict[str, Any]:
    """20 qubits in 4 rows of 5."""
    pairs = _lattice(4, 5)
    one = {qubit: (0.970 + 0.001 * (qubit % 7), 0.9988 + 0.0001 * (qubit % 5)) for qubit in range(20)}
    two = {pair: 0.990 + 0.0005 * (sum(pair) % 9) for pair in pairs}
    return {
        "braketSchemaHeader": _header("iqm.iqm_device_capabilities"),
        "service": _service([1, 20_000], {"price": 0.00145, "unit": "shot"}, "Espoo, Finland"),
        "action": _program(_EVERY, verbatim=True, partial=True) | _sets(maximum_executables),
        "deviceParameters": {},
        "paradigm": _paradigm(20, ["cz", "prx"], pairs),
        "standardized": _calibrated("CZ", one, two, (4.2e-05, 1.1e-05)),
    }


def ankaa(maximum_executables: int) -> dict[str, Any]:
    """12 rows of 7 qubits of which two and some couplers are out of use; ``iswap``."""
    pairs = _lattice(12, 7, without={42, 48}) - {(27, 34), (43, 44), (66, 67)}
    return _rigetti(pairs, "iswap", 0.0009, 0.985, maximum_executables)


def cepheus(maximum_executables: int) -> dict[str, Any]:
    """12 rows of 9 qubits of which one is out of use; ``cz``."""
    return _rigetti(_lattice(12, 9, without={8}), "cz", 0.000425, 0.988, maximum_executables)


def _rigetti(pairs: set[Pair], gate: str, price: float, least: float, maximum_executables: int) -> dict[str, Any]:
    qubits = sorted({qubit for pair in pairs for qubit in pair})
    one = {qubit: (0.960 + 0.002 * (qubit % 6), 0.9982 + 0.0002 * (qubit % 5)) for qubit in qubits}
    two = {pair: least + 0.0008 * (sum(pair) % 9) for pair in pairs}
    return {
        "braketSchemaHeader": _header("rigetti.rigetti_device_capabilities", "2"),
        "service": _service([10, 50_000], {"price": price, "unit": "shot"}, "California, USA"),
        "action": _program(_RIGETTI, verbatim=True, partial=True) | _sets(maximum_executables),
        "deviceParameters": {},
        "paradigm": _paradigm(len(qubits), ["rx", "rz", gate], pairs),
        "standardized": _calibrated(gate.upper(), one, two, (2.9e-05, 1.7e-05)),
    }


def forte() -> dict[str, Any]:
    """36 ions, every two of them joined; no program sets, at least 100 shots, and nothing beside a verbatim box."""
    pairs = {(one, other) for other in range(36) for one in range(other)}
    one, two, readout = 0.9998, 0.9925, 0.9955
    return {
        "braketSchemaHeader": _header("ionq.ionq_device_capabilities"),
        "service": _service([100, 5_000], {"price": 0.08, "unit": "shot"}, "Basel, Switzerland"),
        "action": _program(_IONQ, verbatim=True, partial=False),
        "deviceParameters": {},
        "paradigm": _paradigm(36, ["GPI", "GPI2", "ZZ"], pairs, everywhere=True),
        "provider": {
            "braketSchemaHeader": _header("ionq.ionq_provider_properties"),
            "fidelity": {"1Q": {"mean": one}, "2Q": {"mean": two}, "spam": {"mean": readout}},
            "timing": {"T1": 188.0, "T2": 0.95, "1Q": 6.3e-05, "2Q": 0.00065, "readout": 0.00025, "reset": 0.00015},
        },
        "standardized": {
            "braketSchemaHeader": _header("standardized_gate_model_qpu_device_properties", "3"),
            "T1": {"value": 188.0, "unit": "s"},
            "T2": {"value": 0.95, "unit": "s"},
            "readoutFidelity": [_fidelity("RANDOMIZED_BENCHMARKING", readout, unit="fraction")],
            "twoQubitGateFidelity": [_fidelity("RANDOMIZED_BENCHMARKING", two, unit="fraction")],
            "updatedAt": "2026-11-01T00:00:00+00:00",
        },
    }


def simulator() -> dict[str, Any]:
    """A managed one of 34 qubits."""
    return {
        "braketSchemaHeader": _header("simulators.gate_model_simulator_device_capabilities"),
        "service": _service([0, 100_000], {"price": 0.075, "unit": "minute"}, "us-east-1"),
        "action": _program(_EVERY),
        "deviceParameters": {},
        "paradigm": {"braketSchemaHeader": _header("simulators.gate_model_simulator_paradigm_properties"), "qubitCount": 34},
    }


def _header(name: str, version: str = "1") -> dict[str, str]:
    return {"name": f"{_SCHEMAS}.{name}", "version": version}


def _service(shots: list[int], cost: dict[str, Any], location: str) -> dict[str, Any]:
    return {
        "braketSchemaHeader": _header("device_service_properties"),
        "executionWindows": [{"executionDay": "Everyday", "windowStartHour": "00:00:00", "windowEndHour": "23:59:59.999999"}],
        "shotsRange": shots,
        "deviceCost": cost,
        "deviceLocation": location,
        "updatedAt": "2026-11-01T00:00:00+00:00",
        "getTaskPollIntervalMillis": 200,
    }


def _program(gates: list[str], *, verbatim: bool = False, partial: bool = False) -> dict[str, Any]:
    """That a device runs programs; ``partial`` is whether gates may stand beside a verbatim box."""
    found: dict[str, Any] = {
        "actionType": "braket.ir.openqasm.program",
        "version": ["1"],
        "supportedOperations": gates,
        "supportedResultTypes": [{"name": "Probability", "observables": None, "minShots": 1, "maxShots": 100_000}],
        "requiresAllQubitsMeasurement": False,
        "requiresContiguousQubitIndices": False,
    }
    if verbatim:
        found |= {"supportedPragmas": ["verbatim"], "supportPhysicalQubits": True, "supportsPartialVerbatimBox": partial}
    return {"braket.ir.openqasm.program": found}


def _sets(maximum_executables: int) -> dict[str, Any]:
    kind = "braket.ir.openqasm.program_set"
    return {kind: {"actionType": kind, "version": ["1"], "maximumExecutables": maximum_executables, "maximumTotalShots": 200_000}}


def _paradigm(qubits: int, native: list[str], pairs: Iterable[Pair], *, everywhere: bool = False) -> dict[str, Any]:
    graph: dict[int, list[str]] = {}
    for one, other in sorted(pairs):
        graph.setdefault(one, []).append(str(other))
        graph.setdefault(other, []).append(str(one))
    return {
        "braketSchemaHeader": _header("gate_model_qpu_paradigm_properties"),
        "qubitCount": qubits,
        "nativeGateSet": native,
        "connectivity": {"fullyConnected": everywhere, "connectivityGraph": {str(qubit): graph[qubit] for qubit in sorted(graph)}},
    }


def _lattice(rows: int, columns: int, without: Iterable[int] = ()) -> set[Pair]:
    """Neighbours in rows and columns."""
    places = set(range(rows * columns)) - set(without)
    right = {(each, each + 1) for each in places if (each + 1) % columns and each + 1 in places}
    return right | {(each, each + columns) for each in places if each + columns in places}


def _calibrated(gate: str, one: dict[int, tuple[float, float]], two: dict[Pair, float], times: tuple[float, float]) -> dict[str, Any]:
    """Fidelities of reading and turning each qubit, and of the gate on each pair; T1 and T2 in seconds."""
    each_time = {name: {"value": value, "standardError": None, "unit": "s"} for name, value in zip(("T1", "T2"), times, strict=True)}
    return {
        "braketSchemaHeader": _header("standardized_gate_model_qpu_device_properties"),
        "oneQubitProperties": {
            str(qubit): {**each_time, "oneQubitFidelity": [_fidelity("RANDOMIZED_BENCHMARKING", turned), _fidelity("READOUT", read)]}
            for qubit, (read, turned) in one.items()
        },
        "twoQubitProperties": {
            f"{left}-{right}": {"twoQubitGateFidelity": [{"gateName": gate, **_fidelity("RANDOMIZED_BENCHMARKING", fidelity)}]}
            for (left, right), fidelity in sorted(two.items())
        },
    }


def _fidelity(kind: str, value: float, **more: str) -> dict[str, Any]:
    return {"fidelityType": {"name": kind}, "fidelity": value, "standardError": None, **more}
