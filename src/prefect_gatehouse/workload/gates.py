"""The operations that may leave: Qiskit's standard gates, measurements and resets."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qiskit.circuit import Instruction

PHASE = "global_phase"
"""A gate that no measurement sees; it has no place in what is sent."""


@cache
def standard_gates() -> dict[str, Instruction]:
    """Qiskit's standard gates by name, one instance each."""
    from qiskit.circuit.library import get_standard_gate_name_mapping

    mapping = get_standard_gate_name_mapping()
    return {name: gate for name, gate in mapping.items() if name not in ("delay", "measure", "reset")}


@cache
def other_operations() -> dict[str, type[Instruction]]:
    """What is no gate and known all the same."""
    from qiskit.circuit import Barrier, Measure, Reset

    return {"measure": Measure, "reset": Reset, "barrier": Barrier}


@cache
def gate_shapes() -> Mapping[str, tuple[int, int, int]]:
    """Every operation that may leave, with its number of qubits, classical bits and angles."""
    shapes = {name: (gate.num_qubits, 0, len(gate.params)) for name, gate in standard_gates().items() if name != PHASE}
    return {**shapes, "measure": (1, 1, 0), "reset": (1, 0, 0)}
