"""What a machine takes in a verbatim box: its own gates, on its own qubits, along its own pairs, by the angles that it has; nothing is compiled."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from prefect_gatehouse.emulators.braket.devices import Device
from prefect_gatehouse.emulators.braket.execute import PROGRAM, SET, Action, has_gates
from prefect_gatehouse.emulators.faults import Fault

_BOX = re.compile(r"#pragma braket verbatim\s*box\s*\{(.*?)\}", re.DOTALL)
_GATE = re.compile(r"^\s*(\w+)\s*(?:\(([^;]*)\))?\s+(\$\d+(?:\s*,\s*\$\d+)*)\s*;\s*$", re.MULTILINE)
_NEAR = 1e-9
_QUARTER = math.pi / 2


def require_native(action: Action, device: Device) -> None:
    """Refuses what the machine can't do as it stands.

    Raises:
        Fault: A gate is none of its own, turns by an angle that it has not or joins qubits that are not joined; or one stands beside a box.
    """
    native = {name.lower() for name in device.capabilities["paradigm"].get("nativeGateSet", ())}
    for source, inputs in _sources(action.document, action.kind):
        boxes = _BOX.findall(source)
        if boxes and not native:
            raise Fault("ValidationException", "the device takes no verbatim boxes")
        if boxes and not device.capabilities["action"][PROGRAM].get("supportsPartialVerbatimBox") and has_gates(_BOX.sub("", source)):
            raise Fault("ValidationException", "the device takes no gates beside a verbatim box")
        for line in (each for box in boxes for each in box.splitlines() if each.strip()):
            _require_line(line, native, inputs, device)


def _require_line(line: str, native: set[str], inputs: Mapping[str, list[float]], device: Device) -> None:
    gate = _GATE.match(line)
    if gate is None or gate[1] not in native:
        raise Fault("ValidationException", "a gate in a verbatim box is no native gate")
    graph = device.capabilities["paradigm"].get("connectivity", {}).get("connectivityGraph", {})
    qubits = re.findall(r"\d+", gate[3])
    if any(qubit not in graph for qubit in qubits) or (len(qubits) == 2 and qubits[1] not in graph[qubits[0]]):
        raise Fault("ValidationException", "a gate in a verbatim box joins qubits that are not connected")
    for angle in _values((gate[2] or "").strip(), inputs):
        if not _has(device.provider, gate[1], angle):
            raise Fault("ValidationException", "a gate in a verbatim box turns by an angle that the machine does not have")


def _has(provider: str, gate: str, angle: float) -> bool:
    """Whether a machine's gate has an angle.

    Rigetti's: as ``native_angle_restrictions`` of qiskit-braket-provider has it. IonQ's: up to the maximally entangling one, as it has for ``ms``.
    """
    if (provider, gate) == ("Rigetti", "rx"):
        return any(abs(abs(angle) - each) < _NEAR for each in (_QUARTER, 2 * _QUARTER))
    if (provider, gate) == ("IonQ", "zz"):
        return -_NEAR < angle < _QUARTER + _NEAR
    return True


def _values(text: str, inputs: Mapping[str, list[float]]) -> Iterator[float]:
    """What the angles of a gate may be: a number, or each value of an input."""
    for part in (each.strip() for each in text.split(",") if each.strip()):
        if part in inputs:
            yield from inputs[part]
            continue
        try:
            yield float(part)
        except ValueError:
            raise Fault("ValidationException", "an angle in a verbatim box is neither a number nor an input") from None


def _sources(document: dict[str, Any], kind: str) -> Iterator[tuple[str, dict[str, list[float]]]]:
    """Each program's text, and the values of its inputs."""
    programs = document["programs"] if kind == SET else [document]
    for program in programs:
        inputs = program.get("inputs") or {}
        yield program["source"], {name: value if isinstance(value, list) else [value] for name, value in inputs.items()}
