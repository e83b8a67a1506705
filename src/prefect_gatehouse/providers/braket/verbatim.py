"""Circuits in a machine's own gates, on its own qubits: written into a verbatim box, which no compiler of the service touches.

Which qubit a value was read from stands in the template's measurements, so that counts come back over the workload's own classical bits.

IonQ's machines have no turn about z: it moves to the measurement, where nothing sees it, and turns the axes of the pulses behind it on its way. A
``cz`` is their ``zz`` by a quarter turn and, up to a phase, such a turn about z on both qubits.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from prefect_gatehouse.providers.braket.native import IQM, Native
from prefect_gatehouse.workload.batch import Template

_QUARTER = np.pi / 2
_TURN = 2 * np.pi


@dataclass(frozen=True)
class Written:
    """A gate of a verbatim box.

    Attributes:
        gate: Braket's name.
        qubits: The machine's numbers.
        angles: Each as a row of factors for the template's angles and, last, a constant.
    """

    gate: str
    qubits: tuple[int, ...]
    angles: tuple[NDArray[np.float64], ...] = ()


@dataclass(frozen=True)
class Verbatim:
    """A template of native gates, as a program.

    Attributes:
        template: It.
        kind: Of the machine.
    """

    template: Template
    kind: Native

    @property
    def measured(self) -> list[tuple[int, int]]:
        """Qubits that are read, with the program's bits in their order."""
        return [(qubits[0], place) for place, (_, qubits, _) in enumerate(gate for gate in self.template.gates if gate[0] == "measure")]

    @cached_property
    def written(self) -> tuple[Written, ...]:
        """The gates of the box, in order."""
        if self.kind.turns_axes:
            return tuple(self._turned())
        return tuple(self._as_they_are())

    def source(self, angles: Mapping[int, str]) -> str:
        """The program's text.

        Args:
            angles: What stands for each angle of the box, in order: a number, or the name of an input.
        """
        names = sorted({name for name in angles.values() if name.startswith("a")}, key=lambda name: int(name[1:]))
        lines = ["OPENQASM 3.0;", *(f"input float {name};" for name in names), f"bit[{len(self.measured)}] b;", "#pragma braket verbatim", "box{"]
        taken = 0
        for each in self.written:
            end = taken + len(each.angles)
            turn = f"({', '.join(angles[place] for place in range(taken, end))})" if each.angles else ""
            lines.append(f"{each.gate}{turn} {', '.join(f'${qubit}' for qubit in each.qubits)};")
            taken = end
        return "\n".join([*lines, "}", *(f"b[{bit}] = measure ${qubit};" for qubit, bit in self.measured)])

    def turns(self, table: NDArray[np.float64]) -> dict[int, NDArray[np.float64]]:
        """The angles that differ from row to row of a table of the template's, each as a column."""
        return {place: column for place, column in enumerate(self._columns(table)) if (column != column[0]).any()}

    def fixed(self, table: NDArray[np.float64]) -> dict[int, str]:
        """The others, as numbers: most of a machine's angles are the transpiler's, the same in every setting."""
        return {place: repr(float(column[0])) for place, column in enumerate(self._columns(table)) if not (column != column[0]).any()}

    def _columns(self, table: NDArray[np.float64]) -> Iterator[NDArray[np.float64]]:
        full = np.hstack([table, np.ones((len(table), 1))])
        for row in (row for each in self.written for row in each.angles):
            column = full @ row
            # An axis is the same after a whole turn; sums of many turns about z are brought back to one.
            yield (column - _TURN * np.rint(column / _TURN) if self.kind.turns_axes else column) + 0.0

    def _as_they_are(self) -> Iterator[Written]:
        """One gate for each of the template's."""
        fixed: dict[str, tuple[str, tuple[NDArray[np.float64], ...]]] = {
            "sx": ("rx", (self._constant(_QUARTER),)),
            "x": ("rx", (self._constant(2 * _QUARTER),)),
        }
        free = {"r": ("prx", 2), "rz": ("rz", 1)} if self.kind is IQM else {"rz": ("rz", 1)}
        taken = 0
        for name, qubits, _ in self.template.gates:
            if name == "measure":
                continue
            gate, angles = fixed.get(name, (name, ()))
            if name in free:
                gate, count = free[name]
                angles = tuple(self._own(place) for place in range(taken, taken + count))
                taken += count
            yield Written(gate, qubits, angles)

    def _turned(self) -> Iterator[Written]:
        """Pulses about the axes that the turns about z before them leave: after a turn by a about z, a pulse about x is one about the axis -a."""
        turned: dict[int, NDArray[np.float64]] = {}
        taken = 0
        for name, qubits, _ in self.template.gates:
            before = [turned.get(qubit, self._constant(0.0)) for qubit in qubits]
            if name == "rz":
                turned[qubits[0]] = before[0] + self._own(taken)
                taken += 1
            elif name == "cz":
                yield Written("zz", qubits, (self._constant(_QUARTER),))
                turned |= {qubit: each - self._constant(_QUARTER) for qubit, each in zip(qubits, before, strict=True)}
            elif name != "measure":
                yield Written({"sx": "gpi2", "x": "gpi"}[name], qubits, (-before[0],))

    def _own(self, place: int) -> NDArray[np.float64]:
        """An angle of the template's."""
        row = np.zeros(self.template.angles + 1)
        row[place] = 1.0
        return row

    def _constant(self, value: float) -> NDArray[np.float64]:
        row = np.zeros(self.template.angles + 1)
        row[-1] = value
        return row
