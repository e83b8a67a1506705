"""Lowering: whatever Qiskit can make standard gates of is sent as them, the same in every process; the rest is refused by its kind."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import qiskit.circuit.library as lib
from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister, transpile
from qiskit.circuit import AnnotatedOperation, ControlModifier, Delay, Gate, Instruction, Parameter, PowerModifier
from qiskit.circuit.classical import expr, types
from qiskit.quantum_info import Operator, Pauli, Statevector, random_unitary
from tests.support.circuit_lists import decode, encode, operations, summarise
from tests.workload.library import NOT_UNITARY, circuit_of, names, on_all

from prefect_gatehouse.errors import UnusableAnswer
from prefect_gatehouse.workload.gates import gate_shapes

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::PendingDeprecationWarning", "ignore::scipy.sparse.SparseEfficiencyWarning"
)

# Needs qubits beside its own, which only the whole circuit has.
NOT_ALONE = {"WeightedSumGate"}
SLOW = {"HRSCumulativeMultiplier"}


@pytest.mark.parametrize("name", [name for name in names() if name not in NOT_ALONE | SLOW])
def test_the_whole_library_is_lowered(name: str) -> None:
    """Every class and function of Qiskit's library becomes standard gates with the same unitary, up to a phase that nothing sees."""
    circuit = circuit_of(name)
    (again,), _ = decode(encode([circuit], 1))
    assert {operation[0] for operation in operations(again)} <= set(gate_shapes())
    assert (again.num_qubits, again.num_clbits) == (circuit.num_qubits, circuit.num_clbits)
    if name not in NOT_UNITARY:
        assert Operator(again).equiv(Operator(circuit))


def test_a_state_is_prepared() -> None:
    """What begins with a reset is no unitary: from the ground state it gives the state that it says."""
    wanted = [0.5, 0.5j, -0.5, 0.5]
    for make in (lib.Initialize, lib.StatePreparation):
        circuit = QuantumCircuit(2)
        circuit.append(make(wanted), [0, 1])
        (again,), _ = decode(encode([circuit], 1))
        assert Statevector(again).equiv(Statevector(wanted))


def test_nothing_is_assumed_of_the_state_before() -> None:
    """In the middle of a circuit no qubit is known to be in 0: what is synthesised has the same unitary, not only the same effect on 0."""
    circuit = QuantumCircuit(5)
    circuit.h(range(5))
    circuit.t(range(5))
    circuit.append(AnnotatedOperation(lib.ModularAdderGate(2), ControlModifier(1)), range(5))
    circuit.append(lib.PermutationGate([1, 2, 3, 4, 0]), range(5))
    (again,), _ = decode(encode([circuit], 1))
    assert Operator(again).equiv(Operator(circuit))


def test_a_box_is_what_is_in_it() -> None:
    """A box that groups operations is transparent; one that lasts a time is not, since gates have no durations."""
    plain, boxed, timed = QuantumCircuit(3), QuantumCircuit(3), QuantumCircuit(3)
    plain.h(2)
    plain.cx(2, 0)
    with boxed.box():
        boxed.h(2)
        boxed.barrier()
        with boxed.box():
            boxed.cx(2, 0)
    with timed.box(duration=100):
        timed.h(2)
    assert operations(boxed) == operations(plain)
    with pytest.raises(UnusableAnswer, match="operation 1 of a circuit: BoxOp is control flow"):
        operations(timed)


DIGESTS = """
import warnings
warnings.simplefilter("ignore")
from tests.support.circuit_lists import summarise
from tests.workload.library import circuit_of, names
for name in names():
    if name not in {skipped!r}:
        print(name, summarise([circuit_of(name)], 1).digest)
"""


def test_the_same_in_every_process() -> None:
    """Whatever the order of its sets: two processes, with other hashing, lower the whole library to the same gates."""
    script = DIGESTS.format(skipped=NOT_ALONE | SLOW)
    root = Path(__file__).resolve().parents[2]
    run = [
        subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, cwd=root, env={"PYTHONHASHSEED": seed}) for seed in "12"
    ]
    first, second = (each.communicate()[0].splitlines() for each in run)
    assert len(first) > 200
    assert first == second


def conditional(how: str) -> QuantumCircuit:
    """A circuit with control flow."""
    made = QuantumCircuit(QuantumRegister(1, "q"), ClassicalRegister(1, "CANARY"))
    if how == "if":
        with made.if_test((made.clbits[0], 1)):
            made.x(0)
    elif how == "while":
        with made.while_loop((made.clbits[0], 1)):
            made.x(0)
    elif how == "for":
        with made.for_loop(range(3)):
            made.x(0)
    elif how == "switch":
        with made.switch(made.cregs[0]) as case, case(1):
            made.x(0)
    else:
        made.store(made.add_var("CANARY", expr.lift(False, types.Bool())), True)
    return made


def subclass(base: type[Any], name: str, **changes: Any) -> Any:
    """A class of the workload's own, named after what it wants out."""
    return type(name, (base,), changes)


def broken(self: Any) -> Any:
    """Raises what nobody expects, under a name that holds data."""
    raise type("CANARY", (ValueError,), {})("CANARY")


def broken_gate() -> Gate:
    """A gate whose definition raises."""
    made: Gate = subclass(Gate, "CANARY", definition=property(broken, lambda self, value: None))("CANARY", 1, [])
    return made


REFUSED: dict[str, tuple[Callable[[], QuantumCircuit], str]] = {
    "if": (lambda: conditional("if"), "IfElseOp is control flow"),
    "while": (lambda: conditional("while"), "WhileLoopOp is control flow"),
    "for": (lambda: conditional("for"), "ForLoopOp is control flow"),
    "switch": (lambda: conditional("switch"), "SwitchCaseOp is control flow"),
    "store": (lambda: conditional("store"), "Store sets a classical variable"),
    "delay": (lambda: on_all(Delay(100)), "Delay is a delay"),
    "opaque": (lambda: on_all(Gate("CANARY", 1, [])), "Gate can't be expressed"),
    "opaque-instruction": (lambda: on_all(Instruction("CANARY", 1, 1, [])), "Instruction can't be expressed"),
    "opaque-annotated": (lambda: on_all(AnnotatedOperation(Gate("CANARY", 1, []), ControlModifier(1))), "AnnotatedOperation can't be expressed"),
    "false-friend-annotated": (lambda: on_all(AnnotatedOperation(Gate("h", 1, []), PowerModifier(2))), "can't be expressed|nested more"),
    "own-class": (lambda: on_all(subclass(Gate, "CANARY")("CANARY", 1, [])), "Gate can't be expressed"),
    "own-class-that-raises": (lambda: on_all(broken_gate()), "Gate can't be expressed"),
    "complex-angle": (lambda: on_all(_with_angle(1 + 2j)), "unbound parameter or no number"),
    "text-angle": (lambda: on_all(_with_angle("CANARY")), "not a finite number"),
    "huge-angle": (lambda: on_all(_with_angle(10**400)), "not a finite number"),
    "unbound-inside": (lambda: on_all(lib.PauliEvolutionGate(Pauli("Z"), Parameter("CANARY"))), "unbound parameter"),
    "needs-more-qubits": (lambda: circuit_of("WeightedSumGate"), "WeightedSumGate can't be expressed"),
}


def _with_angle(value: Any) -> Gate:
    gate = lib.RXGate(0.1)
    gate.params = [0.1]
    gate._params = [value]
    return gate


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_gate_is_refused_by_its_kind(name: str) -> None:
    """The refusal says which operation it is, what Qiskit calls it and what to do; a name that the workload gave it is not repeated."""
    make, words = REFUSED[name]
    inner = make()
    circuit = QuantumCircuit(*inner.qregs, *inner.cregs)
    circuit.h(0)
    circuit.compose(inner, inplace=True, copy=False)
    for act in (operations, lambda each: summarise([each], 1)):
        with pytest.raises(UnusableAnswer, match=words) as caught:
            act(circuit)
        assert "operation 2 of a circuit" in str(caught.value) and caught.value.where == "workload" and caught.value.advice
        assert "CANARY" not in str(caught.value)
        assert caught.value.__suppress_context__


def test_an_operation_that_can_not_be_read() -> None:
    """A class of the workload's own that raises when it is asked its name, under a name that holds data: neither is told."""
    kind = subclass(Gate, "CANARY")
    circuit = QuantumCircuit(1)
    circuit.h(0)
    circuit.append(kind("x", 1, []), [0])
    kind.name = property(broken)
    with pytest.raises(UnusableAnswer, match="operation 2 of a circuit: Gate can't be read") as caught:
        operations(circuit)
    assert "CANARY" not in str(caught.value) and caught.value.__suppress_context__


def test_an_idle_qubit_helps_where_a_gate_needs_one() -> None:
    """The advice for a gate that needs more qubits than its own works."""
    circuit = QuantumCircuit(10)
    circuit.append(lib.WeightedSumGate(2, [1, 2]), range(4))
    assert operations(transpile(circuit, basis_gates=["u", "cx", "ccx"], optimization_level=0))


def test_a_matrix_of_five_qubits() -> None:
    """It is decomposed to the gates that Qiskit has for it."""
    circuit = QuantumCircuit(5)
    circuit.append(lib.UnitaryGate(random_unitary(32, seed=1)), range(5))
    assert len(operations(circuit)) > 100
