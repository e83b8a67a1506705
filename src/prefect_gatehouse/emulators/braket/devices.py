"""The devices of the emulator: machines of IQM's, Rigetti's and IonQ's kinds, and a managed simulator.

What they tell of themselves is in ``documents``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Literal

from prefect_gatehouse.emulators.braket import documents

ACCOUNT = "123456789012"
MACHINE = "arn:aws:braket:eu-north-1::device/qpu/iqm/Garnet"
ANKAA = "arn:aws:braket:us-west-1::device/qpu/rigetti/Ankaa-3"
CEPHEUS = "arn:aws:braket:us-west-1::device/qpu/rigetti/Cepheus-1-108Q"
FORTE = "arn:aws:braket:us-east-1::device/qpu/ionq/Forte-Enterprise-1"
SIMULATOR = "arn:aws:braket:::device/quantum-simulator/amazon/sv1"

Status = Literal["ONLINE", "OFFLINE", "RETIRED"]


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
        maximum_executables: Of the machines that take program sets.
        noise: Whether machines err as their calibrations say.
    """
    ankaa, cepheus = documents.ankaa(maximum_executables), documents.cepheus(maximum_executables)
    made = [
        _chip(MACHINE, "IQM", documents.garnet(maximum_executables), per_shot=0.00145, noise=noise),
        _chip(ANKAA, "Rigetti", ankaa, per_shot=0.0009, noise=noise),
        _chip(CEPHEUS, "Rigetti", cepheus, per_shot=0.000425, noise=noise),
        _ions(FORTE, documents.forte(), per_shot=0.08, noise=noise),
        Device(SIMULATOR, "SV1", "Amazon Braket", "SIMULATOR", documents.simulator(), per_minute=0.075),
    ]
    return {each.arn: each for each in made}


def _chip(arn: str, provider: str, capabilities: dict[str, Any], *, per_shot: float, noise: bool) -> Device:
    """A machine each of whose qubits and pairs has fidelities of its own."""
    told = capabilities["standardized"]
    of = [{each["fidelityType"]["name"]: each["fidelity"] for each in qubit["oneQubitFidelity"]} for qubit in told["oneQubitProperties"].values()]
    two = [each["fidelity"] for pair in told["twoQubitProperties"].values() for each in pair["twoQubitGateFidelity"]]
    means = Noise(1 - _mean([each["READOUT"] for each in of]), 1 - _mean([each["RANDOMIZED_BENCHMARKING"] for each in of]), 1 - _mean(two))
    return _machine(arn, provider, capabilities, per_shot, means if noise else None)


def _ions(arn: str, capabilities: dict[str, Any], *, per_shot: float, noise: bool) -> Device:
    """A machine that tells one number for all of its qubits."""
    told = capabilities["provider"]["fidelity"]
    means = Noise(*(1 - told[name]["mean"] for name in ("spam", "1Q", "2Q")))
    return _machine(arn, "IonQ", capabilities, per_shot, means if noise else None)


def _machine(arn: str, provider: str, capabilities: dict[str, Any], per_shot: float, noise: Noise | None) -> Device:
    return Device(arn, arn.rpartition("/")[2], provider, "QPU", capabilities, per_task=0.30, per_shot=per_shot, queue=3, noise=noise)


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)
