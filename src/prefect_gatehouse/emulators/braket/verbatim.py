"""What a machine takes in a verbatim box: its own gates, on its own qubits, along its own pairs; nothing is compiled."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from prefect_gatehouse.emulators.braket.devices import Device
from prefect_gatehouse.emulators.braket.execute import SET, Action
from prefect_gatehouse.emulators.faults import Fault

_BOX = re.compile(r"#pragma braket verbatim\s*box\s*\{(.*?)\}", re.DOTALL)
_GATE = re.compile(r"^\s*(\w+)\s*(?:\([^;]*\))?\s+(\$\d+(?:\s*,\s*\$\d+)*)\s*;\s*$", re.MULTILINE)


def require_native(action: Action, device: Device) -> None:
    """Refuses what the machine can't do as it stands.

    Raises:
        Fault: A gate is none of its own, or joins qubits that are not joined.
    """
    paradigm = device.capabilities["paradigm"]
    native = set(paradigm.get("nativeGateSet", ()))
    graph = paradigm.get("connectivity", {}).get("connectivityGraph", {})
    for source in _sources(action.document, action.kind):
        for box in _BOX.findall(source):
            if not native:
                raise Fault("ValidationException", "the device takes no verbatim boxes")
            for line in (each for each in box.splitlines() if each.strip()):
                gate = _GATE.match(line)
                if gate is None or gate[1] not in native:
                    raise Fault("ValidationException", "a gate in a verbatim box is no native gate")
                qubits = re.findall(r"\d+", gate[2])
                if any(qubit not in graph for qubit in qubits) or (len(qubits) == 2 and qubits[1] not in graph[qubits[0]]):
                    raise Fault("ValidationException", "a gate in a verbatim box joins qubits that are not connected")


def _sources(document: dict[str, Any], kind: str) -> Iterator[str]:
    programs = document["programs"] if kind == SET else [document]
    return (program["source"] for program in programs)
