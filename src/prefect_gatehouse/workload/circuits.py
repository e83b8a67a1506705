"""Between Qiskit's circuits and templates: a circuit's gates on their places and its angles, and back.

Anything that Qiskit can lower to its standard gates is lowered. Names, registers, labels and metadata have no place in a template, so
nothing of the data can leave in them; a global phase, which no measurement sees, is left out as well.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from prefect_gatehouse.errors import UnusableAnswer
from prefect_gatehouse.workload.batch import Gate, Template
from prefect_gatehouse.workload.gates import PHASE, gate_shapes, other_operations, standard_gates
from prefect_gatehouse.workload.lower import definition_of, kind_of
from prefect_gatehouse.workload.refusals import error_of, refusal_of, unusable

if TYPE_CHECKING:
    from qiskit import QuantumCircuit
    from qiskit.circuit import ParameterExpression

    Angle: TypeAlias = float | ParameterExpression

_NESTING = 20  # definitions of definitions; Qiskit's own library needs about five


def read_circuit(circuit: QuantumCircuit, *, free: bool = False) -> tuple[Template, list[Angle]]:
    """A circuit's template and its angles in order.

    Args:
        circuit: Read once, gate by gate.
        free: Whether angles may be expressions of free parameters.

    Raises:
        UnusableAnswer: A parameter is not a finite number, or an operation can't be expressed in standard gates; says which one it is.
    """
    reader = _Reader(free)
    try:
        data = list(circuit.data)
        qubits = {bit: index for index, bit in enumerate(circuit.qubits)}
        clbits = {bit: index for index, bit in enumerate(circuit.clbits)}
    except Exception:  # noqa: BLE001 - the class of a circuit may be the workload's own, and so what its attributes do
        raise unusable("circuit-unreadable") from None
    for place, item in enumerate(data, 1):
        try:
            reader.read(item, tuple([qubits[bit] for bit in item.qubits]), tuple([clbits[bit] for bit in item.clbits]))
        except UnusableAnswer as refusal:
            raise error_of(refusal_of(refusal).at(place)) from None
        except Exception:  # noqa: BLE001 - as above, of an operation
            kind = kind_of(getattr(item, "operation", None))
            raise unusable("operation-unreadable", kind=kind, operation=place) from None
    return Template(len(qubits), len(clbits), tuple(reader.gates)), reader.angles


class _Reader:
    """Collects gates and angles."""

    def __init__(self, free: bool) -> None:
        from qiskit.circuit import CircuitInstruction

        self.gates: list[Gate] = []
        self.angles: list[Angle] = []
        self._free = free
        self._item = CircuitInstruction

    def read(self, item: Any, qubits: tuple[int, ...], clbits: tuple[int, ...]) -> None:
        # Asked of the item, Qiskit answers from its own memory: making the operation a Python object takes longer than all the rest.
        # It calls more gates standard than its mapping of names holds: C3X, which is named like every X with many controls.
        if type(item) is self._item and item.is_standard_gate() and item.name in standard_gates():
            if item.name != PHASE:
                self.gates.append((item.name, qubits, clbits))
                self.angles += self._angles(item.params)
            return
        self._expand(item.operation, qubits, clbits, _NESTING)

    def _expand(self, operation: Any, qubits: tuple[int, ...], clbits: tuple[int, ...], depth: int) -> None:
        name, kind = operation.name, getattr(operation, "base_class", None)
        other = other_operations().get(name)
        if other is not None:
            if kind is not other:
                raise unusable("own-gate", gate=name)
            if name != "barrier":
                self.gates.append((name, qubits, clbits))
            return
        known = standard_gates().get(name)
        if known is not None and known.base_class is kind:
            if name != PHASE:
                self.gates.append((name, qubits, clbits))
                self.angles += self._angles(operation.params)
            return
        if depth == 0:
            raise unusable("nested", kind=kind_of(operation), count=_NESTING)
        definition = definition_of(operation, tuple(standard_gates()))
        inner_qubits = {bit: qubits[index] for index, bit in enumerate(definition.qubits)}
        inner_clbits = {bit: clbits[index] for index, bit in enumerate(definition.clbits)}
        for item in definition.data:
            self._expand(item.operation, tuple(inner_qubits[bit] for bit in item.qubits), tuple(inner_clbits[bit] for bit in item.clbits), depth - 1)

    def _angles(self, params: Sequence[Any]) -> list[Angle]:
        if not params:
            return []
        if self._free:
            from qiskit.circuit import ParameterExpression

            return [value if isinstance(value, ParameterExpression) and value.parameters else _number(value) for value in params]
        return [_number(value) for value in params]


def _number(value: Any) -> float:
    """An angle as a finite number."""
    try:
        angle = float(value)
    except TypeError:  # what Qiskit raises for an expression that is not bound; a complex number is no angle either
        raise unusable("unbound") from None
    except (ValueError, OverflowError):
        angle = math.nan
    if not math.isfinite(angle):
        raise unusable("not-finite")
    return angle


def build_circuit(template: Template, angles: Sequence[Angle]) -> QuantumCircuit:
    """A Qiskit circuit of a template.

    Args:
        template: Its gates.
        angles: As many as the template has, in order: numbers, or parameters for a circuit that is bound later.
    """
    from qiskit import QuantumCircuit

    circuit = QuantumCircuit(template.qubits, template.clbits)
    shapes, taken = gate_shapes(), 0
    for name, qubits, clbits in template.gates:
        end = taken + shapes[name][2]
        method = getattr(QuantumCircuit, name, None)
        if method is not None:  # of most gates; it looks less at what it is given
            method(circuit, *angles[taken:end], *qubits, *clbits)
        else:
            circuit.append(standard_gates()[name].base_class(*angles[taken:end]), qubits)
        taken = end
    return circuit
