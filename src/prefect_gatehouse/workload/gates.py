"""The operations that may leave: Qiskit's standard gates, measurements and resets.

Their shapes are a table of our own: reading circuits needs no Qiskit, and what may leave does not grow with a new release of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qiskit.circuit import Instruction

PHASE = "global_phase"
"""A gate that no measurement sees; it has no place in what is sent."""

# By numbers of qubits and angles.
_NAMES = {
    (1, 0): "id h s sdg sx sxdg t tdg x y z",
    (1, 1): "p rx ry rz u1",
    (1, 2): "r u2",
    (1, 3): "u u3",
    (2, 0): "ch cs csdg csx cx cy cz dcx ecr iswap swap",
    (2, 1): "cp crx cry crz cu1 rxx ryy rzx rzz",
    (2, 2): "xx_minus_yy xx_plus_yy",
    (2, 3): "cu3",
    (2, 4): "cu",
    (3, 0): "ccx ccz cswap rccx",
    (4, 0): "c3sx rcccx",
}
_SHAPES: Mapping[str, tuple[int, int, int]] = {
    **{name: (qubits, 0, angles) for (qubits, angles), names in _NAMES.items() for name in names.split()},
    "measure": (1, 1, 0),
    "reset": (1, 0, 0),
}


@cache
def standard_gates() -> dict[str, Instruction]:
    """Qiskit's standard gates by name, one instance each: those of the table, and the global phase."""
    from qiskit.circuit.library import get_standard_gate_name_mapping

    mapping = get_standard_gate_name_mapping()
    return {name: gate for name, gate in mapping.items() if (name in _SHAPES or name == PHASE) and name not in ("measure", "reset")}


@cache
def other_operations() -> dict[str, type[Instruction]]:
    """What is no gate and known all the same."""
    from qiskit.circuit import Barrier, Measure, Reset

    return {"measure": Measure, "reset": Reset, "barrier": Barrier}


def gate_shapes() -> Mapping[str, tuple[int, int, int]]:
    """Every operation that may leave, with its number of qubits, classical bits and angles."""
    return _SHAPES
