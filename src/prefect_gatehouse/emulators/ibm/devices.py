"""The machine of the emulator: configuration and calibration are a snapshot of a real one that the SDK carries for tests."""

from __future__ import annotations

import copy
import json
import time
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib.resources import files
from typing import Any, Literal

MACHINE = "ibm_torino"
Status = Literal["online", "offline", "retired"]


@dataclass
class Device:
    """A machine.

    Attributes:
        name: As the service has it.
        configuration: What it is.
        calibrations: When each began to hold, and what it says; the newest last.
        noise: Whether it errs as its calibration says.
        queue: Jobs of other people that wait.
    """

    name: str
    configuration: dict[str, Any]
    calibrations: list[tuple[float, dict[str, Any]]]
    noise: bool = True
    status: Status = "online"
    queue: int = 0

    @property
    def qubits(self) -> int:
        """How many it has."""
        return int(self.configuration["n_qubits"])

    def properties(self, before: str | None = None) -> dict[str, Any]:
        """The newest calibration, or the newest that held at a time."""
        at = datetime.fromisoformat(before).timestamp() if before else time.time()
        held = [document for since, document in self.calibrations if since <= at]
        return held[-1] if held else self.calibrations[0][1]

    def recalibrate(self, change: dict[str, Any]) -> None:
        """Another calibration from now on: what changes of the last one, lists of qubits and gates as a whole."""
        self.calibrations.append((time.time(), {**self.calibrations[-1][1], **change}))

    def summary(self) -> dict[str, Any]:
        """As the list of machines tells it."""
        reason = {"online": "available", "offline": "maintenance", "retired": "retired"}[self.status]
        processor = self.configuration["processor_type"]
        return {
            "name": self.name,
            "status": {"name": "online" if self.status == "online" else "offline", "reason": reason},
            "is_simulator": False,
            "qubits": self.qubits,
            "queue_length": self.queue,
            "processor_type": processor,
            "physical_qubits": self.qubits,
        }

    def state(self) -> dict[str, Any]:
        """As its status tells it."""
        online = self.status == "online"
        return {
            "state": online,
            "status": "active" if online else "maintenance",
            "message": "",
            "length_queue": self.queue,
            "backend_version": self.configuration["backend_version"],
        }

    def target(self) -> Any:
        """What circuits must be written for, as the SDK makes it of both documents."""
        documents = (self.configuration, self.properties())
        found = _TARGETS.get(id(documents[0]), {}).get(id(documents[1]))
        if found is None:
            found = (documents, _target(*documents))
            _TARGETS.setdefault(id(documents[0]), {})[id(documents[1])] = found
        return found[1]


_TARGETS: dict[int, dict[int, tuple[Any, Any]]] = {}
"""Made once for the same two documents, which are kept with it: no other ones can have their places in memory."""


def _target(configuration: dict[str, Any], properties: dict[str, Any]) -> Any:
    from qiskit_ibm_runtime.utils.backend_converter import convert_to_target
    from qiskit_ibm_runtime.utils.backend_decoder import configuration_from_server_data, properties_from_server_data

    return convert_to_target(
        configuration_from_server_data(copy.deepcopy(configuration), use_fractional_gates=None),
        properties_from_server_data(copy.deepcopy(properties), use_fractional_gates=None),
    )


@cache
def _snapshot() -> tuple[dict[str, Any], dict[str, Any]]:
    """Configuration and calibration, which nobody changes: a change makes another document."""
    folder = files("qiskit_ibm_runtime") / "fake_provider" / "backends" / "torino"
    conf, props = (json.loads((folder / f"{name}_torino.json").read_text()) for name in ("conf", "props"))
    return conf | {"backend_name": MACHINE}, props | {"backend_name": MACHINE}


def devices(*, noise: bool = True) -> dict[str, Device]:
    """The machines by name.

    Args:
        noise: Whether they err as their calibrations say.
    """
    configuration, properties = _snapshot()
    return {MACHINE: Device(MACHINE, configuration, [(0.0, properties)], noise=noise)}
