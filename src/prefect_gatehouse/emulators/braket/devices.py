"""The devices of the emulator: a machine of 20 qubits with connectivity, native gates and a calibration, and a managed simulator.

Their capabilities are documents in the schemas of the Braket SDK, which the SDK reads as it reads a real device's. The machine is one of
the kind that IQM has on Braket; its calibration is made up, of the size that such machines publish.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Literal

ACCOUNT = "123456789012"
MACHINE = "arn:aws:braket:eu-north-1::device/qpu/iqm/Garnet"
SIMULATOR = "arn:aws:braket:::device/quantum-simulator/amazon/sv1"

Status = Literal["ONLINE", "OFFLINE", "RETIRED"]
_SIDE = 5  # the machine's qubits lie in a lattice of 4 rows of 5
_GATES = [
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


@dataclass
class Device:
    """A device.

    Attributes:
        capabilities: The document that GetDevice tells.
        per_task: USD.
        per_shot: USD.
        per_minute: USD.
    """

    arn: str
    name: str
    provider: str
    kind: Literal["QPU", "SIMULATOR"]
    capabilities: dict[str, Any]
    per_task: float = 0.0
    per_shot: float = 0.0
    per_minute: float = 0.0
    status: Status = "ONLINE"
    queue: int = 0
    noise: Noise | None = field(default=None)

    def described(self, *, with_openqasm: bool) -> dict[str, Any]:
        """As GetDevice tells it: to a client that does not name its schemas' version without OpenQASM."""
        actions = self.capabilities["action"] if with_openqasm else {}
        return {
            **self.summary(),
            "deviceCapabilities": json.dumps({**self.capabilities, "action": actions}),
            "deviceQueueInfo": [
                {"queue": "QUANTUM_TASKS_QUEUE", "queueSize": str(self.queue), "queuePriority": "Normal"},
                {"queue": "QUANTUM_TASKS_QUEUE", "queueSize": "0", "queuePriority": "Priority"},
                {"queue": "JOBS_QUEUE", "queueSize": "0"},
            ],
        }

    def summary(self) -> dict[str, Any]:
        """As SearchDevices tells it."""
        return {
            "deviceArn": self.arn,
            "deviceName": self.name,
            "providerName": self.provider,
            "deviceType": self.kind,
            "deviceStatus": self.status,
        }

    def executables(self) -> int:
        """Circuits that one task may hold; 1 where the device takes no program sets."""
        return int(self.capabilities["action"].get("braket.ir.openqasm.program_set", {}).get("maximumExecutables", 1))


@dataclass(frozen=True)
class Noise:
    """Mean errors: of a read-out, and of a gate on one and on two qubits."""

    readout: float
    one: float
    two: float


def devices(maximum_executables: int = 100, *, noise: bool = True) -> dict[str, Device]:
    """The devices by ARN.

    Args:
        maximum_executables: Of the machine.
        noise: Whether the machine errs as its calibration says.
    """
    return {each.arn: each for each in (_machine(maximum_executables, noise=noise), _simulator())}


def _machine(maximum_executables: int, *, noise: bool) -> Device:
    pairs = [(qubit, other) for qubit in range(20) for other in _neighbours(qubit) if qubit < other]
    readout = {qubit: 0.970 + 0.001 * (qubit % 7) for qubit in range(20)}
    one = {qubit: 0.9988 + 0.0001 * (qubit % 5) for qubit in range(20)}
    two = {pair: 0.990 + 0.0005 * (sum(pair) % 9) for pair in pairs}
    capabilities = {
        "braketSchemaHeader": {"name": "braket.device_schema.iqm.iqm_device_capabilities", "version": "1"},
        "service": _service([1, 20_000], {"price": 0.00145, "unit": "shot"}, "Espoo, Finland"),
        "action": {
            "braket.ir.openqasm.program": _program(_GATES) | {"supportedPragmas": ["verbatim"], "supportPhysicalQubits": True},
            "braket.ir.openqasm.program_set": {
                "actionType": "braket.ir.openqasm.program_set",
                "version": ["1"],
                "maximumExecutables": maximum_executables,
                "maximumTotalShots": 200_000,
            },
        },
        "deviceParameters": {},
        "paradigm": {
            "braketSchemaHeader": {"name": "braket.device_schema.gate_model_qpu_paradigm_properties", "version": "1"},
            "qubitCount": 20,
            "nativeGateSet": ["cz", "prx"],
            "connectivity": {
                "fullyConnected": False,
                "connectivityGraph": {str(qubit): [str(other) for other in _neighbours(qubit)] for qubit in range(20)},
            },
        },
        "standardized": {
            "braketSchemaHeader": {"name": "braket.device_schema.standardized_gate_model_qpu_device_properties", "version": "1"},
            "oneQubitProperties": {str(qubit): _calibrated(readout[qubit], one[qubit]) for qubit in range(20)},
            "twoQubitProperties": {
                f"{left}-{right}": {
                    "twoQubitGateFidelity": [{"gateName": "CZ", "fidelity": fidelity, "fidelityType": {"name": "RANDOMIZED_BENCHMARKING"}}]
                }
                for (left, right), fidelity in two.items()
            },
        },
    }
    means = Noise(1 - _mean(readout), 1 - _mean(one), 1 - _mean(two)) if noise else None
    return Device(MACHINE, "Garnet", "IQM", "QPU", capabilities, per_task=0.30, per_shot=0.00145, queue=3, noise=means)


def _simulator() -> Device:
    capabilities = {
        "braketSchemaHeader": {"name": "braket.device_schema.simulators.gate_model_simulator_device_capabilities", "version": "1"},
        "service": _service([0, 100_000], {"price": 0.075, "unit": "minute"}, "us-east-1"),
        "action": {"braket.ir.openqasm.program": _program(_GATES)},
        "deviceParameters": {},
        "paradigm": {
            "braketSchemaHeader": {"name": "braket.device_schema.simulators.gate_model_simulator_paradigm_properties", "version": "1"},
            "qubitCount": 34,
        },
    }
    return Device(SIMULATOR, "SV1", "Amazon Braket", "SIMULATOR", capabilities, per_minute=0.075)


def _service(shots: list[int], cost: dict[str, Any], location: str) -> dict[str, Any]:
    return {
        "braketSchemaHeader": {"name": "braket.device_schema.device_service_properties", "version": "1"},
        "executionWindows": [{"executionDay": "Everyday", "windowStartHour": "00:00:00", "windowEndHour": "23:59:59.999999"}],
        "shotsRange": shots,
        "deviceCost": cost,
        "deviceLocation": location,
        "updatedAt": "2026-11-01T00:00:00+00:00",
        "getTaskPollIntervalMillis": 200,
    }


def _program(gates: list[str]) -> dict[str, Any]:
    return {
        "actionType": "braket.ir.openqasm.program",
        "version": ["1"],
        "supportedOperations": gates,
        "supportedResultTypes": [{"name": "Probability", "observables": None, "minShots": 1, "maxShots": 100_000}],
        "requiresAllQubitsMeasurement": False,
        "requiresContiguousQubitIndices": False,
    }


def _neighbours(qubit: int) -> list[int]:
    row, column = divmod(qubit, _SIDE)
    places = [(row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)]
    return [each_row * _SIDE + each for each_row, each in places if 0 <= each_row < 20 // _SIDE and 0 <= each < _SIDE]


def _calibrated(readout: float, gate: float) -> dict[str, Any]:
    return {
        "T1": {"value": 4.2e-05, "standardError": None, "unit": "s"},
        "T2": {"value": 1.1e-05, "standardError": None, "unit": "s"},
        "oneQubitFidelity": [
            {"fidelityType": {"name": "RANDOMIZED_BENCHMARKING"}, "fidelity": gate, "standardError": None},
            {"fidelityType": {"name": "READOUT"}, "fidelity": readout, "standardError": None},
        ],
    }


def _mean(values: dict[Any, float]) -> float:
    return sum(values.values()) / len(values)
