"""From templates to what Braket runs: OpenQASM 3 in few gates, sweeps as one program with a list for each angle.

Every gate is written in a small set that all gate-based devices of Braket take, up to a global phase, which no measurement sees. Qiskit's own
definitions lower the others. What an angle becomes on the way is linear in the gate's angles, so it is computed here, for all settings at once,
and the program holds plain inputs instead of expressions. Qubits that nothing touches are left out; the rest are numbered without gaps.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from prefect_gatehouse.providers.braket.native import is_native
from prefect_gatehouse.workload.batch import Template
from prefect_gatehouse.workload.gates import standard_gates

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Qiskit's name: Braket's.
_PLAIN = {"id": "i", "x": "x", "y": "y", "z": "z", "h": "h", "s": "s", "sdg": "si", "t": "t", "tdg": "ti", "sx": "v", "sxdg": "vi"}
_TURNS = {"rx": "rx", "ry": "ry", "rz": "rz", "p": "rz", "u1": "rz"}
_PAIRS = {"cx": "cnot", "cz": "cz", "swap": "swap"}
OUTPUT_GATES = frozenset({*_PLAIN.values(), *_TURNS.values(), *_PAIRS.values()})
_HALF = np.pi / 2


@dataclass(frozen=True)
class Step:
    """A gate of Braket's.

    Attributes:
        gate: Its name.
        qubits: Of the gate or template that it is lowered from.
        turn: Its angle as a row of factors for that gate's or template's angles and, last, a constant; None if it has no angle.
    """

    gate: str
    qubits: tuple[int, ...]
    turn: tuple[float, ...] | None


@dataclass(frozen=True)
class Lowered:
    """A template for Braket.

    Attributes:
        steps: In order, on qubits without gaps.
        measured: For each measured qubit, in the order of the program's bits, the classical bits that take its value.
        qubits: How many there are.
        native: Whether the template is in a machine's own gates on qubits of other numbers than these, and may have been sent as it stands.
    """

    steps: tuple[Step, ...]
    measured: tuple[tuple[int, tuple[int, ...]], ...]
    qubits: int
    native: bool = False

    def source(self, angles: Mapping[int, str]) -> str:
        """The program's text.

        Args:
            angles: What stands for the angle of each step that has one: a number, or the name of an input.
        """
        names = sorted({name for name in angles.values() if name.startswith("a")}, key=lambda name: int(name[1:]))
        lines = ["OPENQASM 3.0;", *(f"input float {name};" for name in names), f"bit[{len(self.measured)}] b;", f"qubit[{self.qubits}] q;"]
        for place, step in enumerate(self.steps):
            turn = f"({angles[place]})" if step.turn is not None else ""
            lines.append(f"{step.gate}{turn} {', '.join(f'q[{qubit}]' for qubit in step.qubits)};")
        lines += [f"b[{bit}] = measure q[{qubit}];" for bit, (qubit, _) in enumerate(self.measured)]
        return "\n".join(lines)

    def turns(self, table: NDArray[np.float64]) -> dict[int, NDArray[np.float64]]:
        """The angle of each step that has one, for each row of the template's angles."""
        full = np.hstack([table, np.ones((len(table), 1))])
        return {place: full @ np.array(step.turn) for place, step in enumerate(self.steps) if step.turn is not None}


def lowered(template: Template) -> Lowered:
    """A template for Braket; it has to end with its measurements."""
    width, taken = template.angles, 0
    steps: list[Step] = []
    value_of: dict[int, int] = {}
    for name, qubits, clbits in template.gates:
        if name == "measure":
            value_of[clbits[0]] = qubits[0]  # a later measurement into the same bit overwrites the earlier one
            continue
        own = standard_gates()[name]
        count = len(own.params)
        for step in _steps(name):
            turn = None if step.turn is None else _placed(step.turn, taken, count, width)
            steps.append(Step(step.gate, tuple(qubits[place] for place in step.qubits), turn))
        taken += count
    measured = sorted(set(value_of.values()))
    touched = {qubit for step in steps for qubit in step.qubits}
    # A device counts a qubit as used where a gate touches it.
    steps += [Step("i", (qubit,), None) for qubit in measured if qubit not in touched]
    number = {qubit: place for place, qubit in enumerate(sorted(touched | set(measured)))}
    return Lowered(
        tuple(Step(step.gate, tuple(number[qubit] for qubit in step.qubits), step.turn) for step in steps),
        tuple((number[qubit], tuple(sorted(bit for bit, value in value_of.items() if value == qubit))) for qubit in measured),
        len(number),
        is_native(template) and list(number) != list(number.values()),
    )


def _placed(turn: tuple[float, ...], start: int, count: int, width: int) -> tuple[float, ...]:
    """A gate's factors among those of its template."""
    row = [0.0] * (width + 1)
    row[start : start + count] = turn[:-1]
    row[-1] = turn[-1]
    return tuple(row)


@cache
def _steps(name: str) -> tuple[Step, ...]:
    """A standard gate in Braket's gates."""
    if name in _PLAIN:
        return (Step(_PLAIN[name], (0,), None),)
    if name in _PAIRS:
        return (Step(_PAIRS[name], (0, 1), None),)
    if name in _TURNS:
        return (Step(_TURNS[name], (0,), (1.0, 0.0)),)
    if name in _EULER:
        return tuple(Step(gate, (0,), turn) for gate, turn in _EULER[name])
    return tuple(_defined(name))


# Turns about z, y and z make every gate on one qubit; in the order in which they are done.
_EULER: dict[str, tuple[tuple[str, tuple[float, ...]], ...]] = {
    "u": (("rz", (0, 0, 1, 0)), ("ry", (1, 0, 0, 0)), ("rz", (0, 1, 0, 0))),
    "u3": (("rz", (0, 0, 1, 0)), ("ry", (1, 0, 0, 0)), ("rz", (0, 1, 0, 0))),
    "u2": (("rz", (0, 1, 0)), ("ry", (0, 0, _HALF)), ("rz", (1, 0, 0))),
    "r": (("rz", (0, -1, 0)), ("rx", (1, 0, 0)), ("rz", (0, 1, 0))),
}


def _defined(name: str) -> Iterator[Step]:
    """A gate by Qiskit's definition, whose gates are lowered in turn."""
    from qiskit.circuit import ParameterVector

    gate = standard_gates()[name]
    free = list(ParameterVector("t", len(gate.params)))
    definition = gate.base_class(*free).definition
    places = {bit: place for place, bit in enumerate(definition.qubits)}
    for item in definition.data:
        if not item.qubits:
            continue  # a global phase
        rows = [_factors(value, free) for value in item.operation.params]
        for step in _steps(item.operation.name):
            turn = None if step.turn is None else _composed(step.turn, rows, len(free))
            yield Step(step.gate, tuple(places[item.qubits[place]] for place in step.qubits), turn)


def _factors(value: Any, free: list[Any]) -> NDArray[np.float64]:
    """An angle of a definition as factors and a constant, read off at points; in Qiskit's library every one is linear."""

    def at(point: NDArray[np.float64]) -> float:
        bound = {name: point[place] for place, name in enumerate(free) if name in getattr(value, "parameters", ())}
        return float(value.bind(bound)) if bound else float(value)

    origin = np.zeros(len(free))
    constant = at(origin)
    factors = np.array([at(unit) - constant for unit in np.eye(len(free))])
    probe = np.linspace(0.3, 1.7, len(free))
    if abs(at(probe) - factors @ probe - constant) > 1e-9:
        raise AssertionError("a definition of Qiskit's has an angle that is not linear")
    return np.append(factors, constant)


def _composed(turn: tuple[float, ...], rows: list[NDArray[np.float64]], count: int) -> tuple[float, ...]:
    total = np.zeros(count + 1)
    total[-1] = turn[-1]
    for factor, row in zip(turn, rows, strict=False):
        total += factor * row
    return tuple(total.tolist())
