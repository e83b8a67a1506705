"""Lowering one operation towards Qiskit's standard gates: by its definition, or by Qiskit's own synthesis where it has none.

A library operation without a definition (a permutation, a modified or annotated operation, a Clifford) is synthesised by the pass that
``transpile`` uses, with the same unitary up to a global phase. Nothing is assumed of the state that it acts on: the pass's default, that
every qubit begins in 0, would be wrong in the middle of a circuit.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from prefect_gatehouse.errors import UnusableAnswer

if TYPE_CHECKING:
    from qiskit import QuantumCircuit

# What no gate can stand for; the reason and the advice are what differs.
_REASONS = {
    "ControlFlowOp": ("is control flow, and only gates are sent", "yield circuits without conditions or loops"),
    "Delay": ("is a delay, and gates have no durations", "leave delays out"),
    "Store": ("sets a classical variable, and only gates are sent", "compute in the workload, between two rounds"),
}


def definition_of(operation: Any, gates: tuple[str, ...]) -> QuantumCircuit:
    """A circuit that does what one operation does, of smaller operations.

    Args:
        operation: It is no standard gate, no measurement and no reset.
        gates: The names of the gates at which synthesis may stop.

    Raises:
        UnusableAnswer: Qiskit has neither a definition nor a synthesis of it. Names its kind.
    """
    from qiskit.circuit import BoxOp

    if type(operation) is BoxOp and operation.duration is None and not operation.params[0].num_vars:
        return operation.blocks[0]  # a group of operations, nothing more
    for known, (reason, advice) in _REASONS.items():
        if isinstance(operation, _class_of(known)):
            raise UnusableAnswer(f"{kind_of(operation)} {reason}", where="workload", advice=advice)
    try:
        definition = getattr(operation, "definition", None)
        return _synthesised(operation, gates) if definition is None else definition
    except Exception:  # noqa: BLE001 - a definition is code of anybody's, and Qiskit raises what it likes on a matrix that is none
        advice = "give it a definition in standard gates, or lower the whole circuit with qiskit.transpile, which may use idle qubits"
        raise UnusableAnswer(f"{kind_of(operation)} can't be expressed in standard gates", where="workload", advice=advice) from None


def kind_of(operation: object) -> str:
    """What an operation is, in Qiskit's own words; a name that the workload gave it could be data."""
    return next(_kinds()[each] for each in type(operation).__mro__ if each in _kinds())


@cache
def _kinds() -> dict[type, str]:
    """Qiskit's own classes of operations and their names, and ``object`` for the rest.

    Kept when it is first asked: before a workload gets its data, so that no name which it adds to Qiskit's modules can hold any.
    """
    import qiskit.circuit
    import qiskit.circuit.library
    from qiskit.quantum_info import Clifford

    found: dict[type, str] = {object: "an object", Clifford: "Clifford"}
    for module in (qiskit.circuit.library, qiskit.circuit):
        found.update({value: name for name, value in vars(module).items() if isinstance(value, type) and value.__module__.startswith("qiskit.")})
    return found


def remember_kinds() -> None:
    """Takes the names of Qiskit's operations as they are now."""
    _kinds()


def _class_of(name: str) -> type:
    import qiskit.circuit

    found: type = getattr(qiskit.circuit, name)
    return found


def _synthesised(operation: Any, gates: tuple[str, ...]) -> QuantumCircuit:
    from qiskit import QuantumCircuit

    whole = QuantumCircuit(operation.num_qubits, operation.num_clbits)
    whole.append(operation, whole.qubits, whole.clbits)
    found: QuantumCircuit = _synthesis(gates)(whole)
    return found


@cache
def _synthesis(gates: tuple[str, ...]) -> Any:
    from qiskit.transpiler.passes import HighLevelSynthesis

    return HighLevelSynthesis(basis_gates=list(gates), qubits_initially_zero=False)
