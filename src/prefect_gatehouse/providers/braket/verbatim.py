"""Circuits in a machine's own gates, on its own qubits: written into a verbatim box, which no compiler of the service touches.

Known are machines whose native gates are ``prx`` and ``cz``, as IQM's: ``prx`` is Qiskit's ``r``. Which qubit a value was read from stands in the
template's measurements, so that counts come back over the workload's own classical bits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from prefect_gatehouse.workload.batch import Gate, Template

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

NATIVE = frozenset({"prx", "cz"})
_NAMES = {"r": "prx", "cz": "cz"}


def is_native(template: Template) -> bool:
    """Whether a template holds the machine's own gates and measurements only, and reads no bit twice."""
    read = [clbits[0] for name, _, clbits in template.gates if name == "measure"]
    return all(name in _NAMES or name == "measure" for name, _, _ in template.gates) and len(set(read)) == len(read)


def pairs_of(template: Template) -> set[tuple[int, int]]:
    """Qubits that its gates join."""
    return {(min(qubits), max(qubits)) for _, qubits, _ in template.gates if len(qubits) == 2}


@dataclass(frozen=True)
class Verbatim:
    """A template of native gates, as a program.

    Attributes:
        template: It.
    """

    template: Template

    @property
    def measured(self) -> list[tuple[int, int]]:
        """Qubits that are read, with the program's bits in their order."""
        return [(qubits[0], place) for place, (_, qubits, _) in enumerate(gate for gate in self.template.gates if gate[0] == "measure")]

    def source(self, angles: Mapping[int, str]) -> str:
        """The program's text.

        Args:
            angles: What stands for each angle: a number, or the name of an input.
        """
        names = sorted({name for name in angles.values() if name.startswith("a")}, key=lambda name: int(name[1:]))
        lines = ["OPENQASM 3.0;", *(f"input float {name};" for name in names), f"bit[{len(self.measured)}] b;", "#pragma braket verbatim", "box{"]
        taken = 0
        for gate in self.template.gates:
            if gate[0] == "measure":
                continue
            turn = ""
            if gate[0] == "r":
                turn, taken = f"({angles[taken]}, {angles[taken + 1]})", taken + 2
            lines.append(f"{_NAMES[gate[0]]}{turn} {_operands(gate)};")
        return "\n".join([*lines, "}", *(f"b[{bit}] = measure ${qubit};" for qubit, bit in self.measured)])

    def turns(self, table: NDArray[np.float64]) -> dict[int, NDArray[np.float64]]:
        """The columns of a table of angles that differ from row to row."""
        return {place: table[:, place] for place in range(table.shape[1]) if (table[:, place] != table[0, place]).any()}

    def fixed(self, table: NDArray[np.float64]) -> dict[int, str]:
        """The others, as numbers: most of a machine's angles are the transpiler's, the same in every setting."""
        return {place: repr(float(table[0, place])) for place in range(table.shape[1]) if not (table[:, place] != table[0, place]).any()}


def _operands(gate: Gate) -> str:
    return ", ".join(f"${qubit}" for qubit in gate[1])
