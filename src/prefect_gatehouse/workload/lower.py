"""Lowering one operation towards Qiskit's standard gates: by its definition, or by Qiskit's own synthesis where it has none.

A library operation without a definition (a permutation, a modified or annotated operation, a Clifford) is synthesised by the pass that
``transpile`` uses, with the same unitary up to a global phase. Nothing is assumed of the state that it acts on: the pass's default, that
every qubit begins in 0, would be wrong in the middle of a circuit.
"""

from __future__ import annotations

import importlib.util
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prefect_gatehouse.workload.refusals import unusable

if TYPE_CHECKING:
    from qiskit import QuantumCircuit

NO_KIND = "an object"
_NAME = re.compile("[A-Z][A-Za-z0-9]*")
_QISKIT = Path(next(iter(importlib.util.find_spec("qiskit").submodule_search_locations)))  # type: ignore[union-attr, arg-type]
# What no gate can stand for, and what is said of it.
_REASONS = {"ControlFlowOp": "control-flow", "Delay": "delay", "Store": "store"}


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
    for known, sentence in _REASONS.items():
        if isinstance(operation, _class_of(known)):
            raise unusable(sentence, kind=kind_of(operation))
    try:
        definition = getattr(operation, "definition", None)
        return _synthesised(operation, gates) if definition is None else definition
    except Exception:  # noqa: BLE001 - a definition is code of anybody's, and Qiskit raises what it likes on a matrix that is none
        raise unusable("no-gates", kind=kind_of(operation)) from None


def kind_of(operation: object) -> str:
    """What an operation is, in Qiskit's own words; a name that the workload gave it could be data."""
    return next((each.__name__ for each in type(operation).__mro__ if _is_qiskits(each)), NO_KIND)


def is_kind(name: str) -> bool:
    """Whether ``kind_of`` can have said this: Qiskit's source, as it is installed, defines a public class of the name somewhere."""
    if name == NO_KIND:
        return True
    if not _NAME.fullmatch(name):
        return False
    defined = re.compile(rf"^class {name}\b", re.MULTILINE)
    return any(defined.search(file.read_text(encoding="utf-8")) for file in _QISKIT.rglob("*.py"))


def _is_qiskits(kind: type) -> bool:
    """Whether Qiskit's source, as it is installed, defines a public class of this name where the class says.

    What a class says of itself is not believed: a workload may put a class of its own, named after data, into a module of Qiskit's. The
    source is read only when something is refused, since importing Qiskit's whole library to know its names takes a second.
    """
    module, name = kind.__module__, kind.__name__
    if not module.startswith("qiskit.") or not _NAME.fullmatch(name):
        return False
    place = _QISKIT.joinpath(*module.split(".")[1:])
    for file in (place.with_suffix(".py"), place / "__init__.py"):
        if file.is_file():
            return re.search(rf"^class {name}\b", file.read_text(encoding="utf-8"), re.MULTILINE) is not None
    return False


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
