"""Runs what a task holds, with the local simulator of the Braket SDK, and errs as a calibration says.

The noise is not a model of the machine's qubits, which the compiler would choose: every gate of a circuit survives with the mean fidelity of its
kind, a shot in which one did not is uniformly random, and every bit is read wrongly with the mean read-out error.
"""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from prefect_gatehouse.emulators.braket.devices import Noise
from prefect_gatehouse.emulators.faults import Fault

SET = "braket.ir.openqasm.program_set"
PROGRAM = "braket.ir.openqasm.program"
_GATE = re.compile(r"^\s*([a-z]\w*)\s*(?:\([^;]*\))?\s+([\w$]+(?:\[\d+\])?(?:\s*,\s*[\w$]+(?:\[\d+\])?)*)\s*;", re.MULTILINE)
_NO_GATE = {"qubit", "bit", "input", "float", "measure", "include", "barrier", "reset", "return", "output"}
_NO_PULSE = {"rz"}  # a turn about z is a change of the frame, and nothing that could err


@dataclass(frozen=True)
class Action:
    """What a task is asked to do.

    Attributes:
        kind: Of the action's schema.
        document: As it was sent.
        programs: How many.
        executables: Circuits, each setting counted.
    """

    kind: str
    document: dict[str, Any]
    programs: int
    executables: int


def read_action(text: str) -> Action:
    """A task's action.

    Raises:
        Fault: It is none that a gate-based device runs.
    """
    from braket.ir.openqasm import Program, ProgramSet

    try:
        document = json.loads(text)
        kind = document["braketSchemaHeader"]["name"]
        if kind == PROGRAM:
            Program.parse_obj(document)
            return Action(kind, document, 1, 1)
        if kind == SET:
            found = ProgramSet.parse_obj(document)
            return Action(kind, document, found.num_programs, found.num_executables)
    except (ValueError, KeyError, TypeError):
        raise Fault("ValidationException", "the action does not read as its schema") from None
    raise Fault("ValidationException", "the device does not support this action")


def run(action: Action, shots: int, noise: Noise | None, failing: int = 0) -> dict[str, Any]:
    """The task's result document, without what names the task.

    Args:
        action: What to run.
        shots: In all.
        noise: What to err with.
        failing: So many of a set's executables fail.

    Raises:
        ValueError: The simulator can't run it; of other types as well.
    """
    from braket.default_simulator import StateVectorSimulator
    from braket.ir.openqasm import Program, ProgramSet

    started = time.monotonic()
    simulator = StateVectorSimulator()
    if action.kind == PROGRAM:
        result = json.loads(simulator.run(Program.parse_obj(action.document), shots=shots).json())
        _err(result, action.document["source"], noise)
        took = max(1, int(1000 * (time.monotonic() - started)))
        result["additionalMetadata"]["simulatorMetadata"] = {
            "braketSchemaHeader": {"name": "braket.task_result.simulator_metadata", "version": "1"},
            "executionDuration": took,
        }
        return dict(result)
    result = json.loads(simulator.run(ProgramSet.parse_obj(action.document), shots=shots).json())
    for program in result["programResults"]:
        for executable in program["executableResults"]:
            _err(executable, program["source"]["source"], noise)
    _fail(result, failing)
    return dict(result)


def has_gates(source: str) -> bool:
    """Whether a part of a program does anything to a qubit."""
    return any(name not in _NO_GATE for name, _ in _GATE.findall(source))


def _err(executable: dict[str, Any], source: str, noise: Noise | None) -> None:
    if noise is None or not executable.get("measurements"):
        return
    random = np.random.default_rng()
    bits = np.array(executable["measurements"], dtype=np.uint8)
    kinds = [operands.count(",") for name, operands in _GATE.findall(source) if name not in _NO_GATE | _NO_PULSE]
    lost = 1.0 - (1.0 - noise.one) ** sum(kind == 0 for kind in kinds) * (1.0 - noise.two) ** sum(kind > 0 for kind in kinds)
    struck = random.random(len(bits)) < lost
    bits[struck] = random.integers(0, 2, (int(struck.sum()), bits.shape[1]), dtype=np.uint8)
    bits ^= (random.random(bits.shape) < noise.readout).astype(np.uint8)
    executable["measurements"] = bits.tolist()


def _fail(result: dict[str, Any], failing: int) -> None:
    """Makes the last executables of a set fail, as a device that broke off."""
    metadata = result["taskMetadata"]
    each = metadata["requestedShots"] // max(1, sum(len(program["executableResults"]) for program in result["programResults"]))
    places = [(program, place) for program, found in enumerate(result["programResults"]) for place in range(len(found["executableResults"]))]
    for program, place in places[len(places) - failing :] if failing else []:
        reason = {"failureReason": "the device broke off", "retryable": True, "category": "DEVICE"}
        result["programResults"][program]["executableResults"][place] = {
            "braketSchemaHeader": {"name": "braket.task_result.program_set_executable_failure", "version": "1"},
            "inputsIndex": place,
            "failureMetadata": reason,
        }
        metadata["programMetadata"][program]["executables"][place] = reason
        metadata["successfulShots"] -= each
        metadata["totalFailedExecutables"] += 1
