"""PUBs: a circuit and an array of its values are the circuits that Qiskit binds, in the array's order, and nothing of a value is told."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import qiskit.circuit.library as lib
from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister
from qiskit.circuit import AnnotatedOperation, ControlModifier, InverseModifier, Parameter, PowerModifier
from qiskit.primitives.containers import BindingsArray
from qiskit.quantum_info import Pauli, SparsePauliOp
from qiskit.synthesis import SuzukiTrotter
from tests.support.circuit_lists import batch_of, encode, summarise
from tests.workload.test_rounds import rounds_of

from prefect_gatehouse.errors import UnusableAnswer
from prefect_gatehouse.workload.batch import CircuitBatch
from prefect_gatehouse.workload.rounds import Finished

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::PendingDeprecationWarning")
X, Y = Parameter("x"), Parameter("y")


def turned(*angles: Any) -> QuantumCircuit:
    """One qubit, turned by each angle."""
    circuit = QuantumCircuit(1, 1)
    for angle in angles:
        circuit.rx(angle, 0)
    circuit.measure(0, 0)
    return circuit


def measured(circuit: QuantumCircuit) -> QuantumCircuit:
    whole = QuantumCircuit(circuit.num_qubits, circuit.num_qubits, global_phase=circuit.global_phase)
    whole.compose(circuit, range(circuit.num_qubits), inplace=True)
    whole.measure(whole.qubits, whole.clbits)
    return whole


def on_all(operation: Any) -> QuantumCircuit:
    whole = QuantumCircuit(operation.num_qubits)
    whole.append(operation, range(operation.num_qubits))
    return measured(whole)


def boxed() -> QuantumCircuit:
    circuit = QuantumCircuit(1, 1)
    with circuit.box():
        circuit.rx(X, 0)
    circuit.measure(0, 0)
    return circuit


ISING = SparsePauliOp(["XY", "ZZ", "XI"], [0.3, 0.7, 0.1])
SWEPT: dict[str, Callable[[], QuantumCircuit]] = {
    "plain": lambda: turned(Y, X, X),
    "multiple": lambda: turned(2 * X, -X),
    "pi-minus-product": lambda: turned(math.pi - X * Y),
    "functions": lambda: turned(X.sin(), X.cos() + Y.tan(), X.exp(), abs(X), X**2),
    "half-plus-one": lambda: turned(X / 2 + 1),
    "beside-numbers": lambda: turned(0.1, X, 0.2),
    "phase": lambda: measured(QuantumCircuit(1, global_phase=2 * X).compose(lib.RXGate(X), [0])),
    "phase-that-is-seen": lambda: on_all(lib.GlobalPhaseGate(X).control(1)),
    "zz-feature-map": lambda: measured(lib.zz_feature_map(3)),
    "ZZFeatureMap": lambda: measured(lib.ZZFeatureMap(3)),
    "pauli-feature-map": lambda: measured(lib.pauli_feature_map(3, paulis=["Z", "YY"])),
    "efficient-su2": lambda: measured(lib.efficient_su2(3, reps=2)),
    "EfficientSU2": lambda: measured(lib.EfficientSU2(3)),
    "overlap": lambda: measured(lib.unitary_overlap(lib.zz_feature_map(2), lib.efficient_su2(2))),
    "inverse": lambda: measured(lib.efficient_su2(2).inverse()),
    "excitation-preserving": lambda: measured(lib.excitation_preserving(3)),
    "qaoa": lambda: measured(lib.qaoa_ansatz(SparsePauliOp(["ZZI", "IZZ"]), reps=2)),
    "QAOAAnsatz": lambda: measured(lib.QAOAAnsatz(SparsePauliOp(["ZZI", "IZZ"]), reps=2)),
    "hamiltonian-variational": lambda: measured(lib.hamiltonian_variational_ansatz(SparsePauliOp(["ZZI", "XII"]))),
    "gate-of-a-circuit": lambda: on_all(lib.efficient_su2(3).to_gate()),
    "control-of-a-circuit": lambda: on_all(lib.real_amplitudes(2, reps=1).to_gate().control(1)),
    "evolution": lambda: on_all(lib.PauliEvolutionGate(ISING, X)),
    "evolution-of-a-product": lambda: on_all(lib.PauliEvolutionGate(ISING, X * Y)),
    "evolution-of-second-order": lambda: on_all(lib.PauliEvolutionGate(ISING, X, synthesis=SuzukiTrotter(order=2, reps=2))),
    "pauli-product": lambda: on_all(lib.PauliProductRotationGate(Pauli("XYZ"), X)),
    "many-controls": lambda: on_all(lib.RXGate(X).control(2)),
    "many-controls-of-a-phase": lambda: on_all(lib.MCPhaseGate(X, 5)),
    "control-of-u": lambda: on_all(lib.UGate(X, Y, 0.3).control(2)),
    "four-angles": lambda: on_all(lib.CUGate(X, Y, X + Y, X * Y)),
    "annotated-control": lambda: on_all(AnnotatedOperation(lib.RXGate(X), ControlModifier(1))),
    "annotated-inverse": lambda: on_all(AnnotatedOperation(lib.RXGate(X), InverseModifier())),
    "annotated-square": lambda: on_all(AnnotatedOperation(lib.RXGate(X), PowerModifier(2))),
    "box": boxed,
    # These have no gates before they are bound.
    "annotated-root": lambda: on_all(AnnotatedOperation(lib.RXGate(X), PowerModifier(0.5))),
    "matrix-exponential": lambda: on_all(lib.HamiltonianGate([[0.2, 0.1], [0.1, -0.3]], X)),
}


@pytest.mark.parametrize("name", SWEPT)
def test_a_pub_is_the_circuits_that_qiskit_binds(name: str) -> None:
    """The same bytes and the same digest, at any values and at those where a synthesis could find a shorter way."""
    circuit = SWEPT[name]()
    number = circuit.num_parameters
    values = np.vstack([np.random.default_rng(3).uniform(-3, 3, (3, number)), *(np.full(number, each) for each in (0.0, -0.0, math.pi, math.pi / 2))])
    bound = [circuit.assign_parameters(row) for row in values]
    assert encode([(circuit, values)], 7) == encode(bound, 7)
    assert summarise([(circuit, values)], 7) == summarise(bound, 7)


VALUES = np.arange(24, dtype=np.float64).reshape(3, 4, 2) / 8
SHAPES: dict[str, tuple[Any, Any]] = {
    "one-setting": (VALUES[0, 0], VALUES[0, :1]),
    "a-list": ([0.1, 0.2], [[0.1, 0.2]]),
    "rows": (VALUES[0], VALUES[0]),
    "rows-in-lists": (VALUES[0].tolist(), VALUES[0]),
    "two-axes": (VALUES, VALUES.reshape(12, 2)),
    "not-contiguous": (VALUES.transpose(1, 0, 2), VALUES.transpose(1, 0, 2).reshape(12, 2)),
    "single-precision": (VALUES.astype(np.float32), VALUES.reshape(12, 2)),
    "whole-numbers": (np.array([[1, 2], [3, 4]]), [[1.0, 2.0], [3.0, 4.0]]),
    "read-only": (np.broadcast_to(np.array([0.5, 0.25]), (3, 2)), [[0.5, 0.25]] * 3),
    "by-name": ({"y": [0.2, 0.4], "x": [0.1, 0.3]}, [[0.1, 0.2], [0.3, 0.4]]),
    "by-names-at-once": ({("y", "x"): [[0.2, 0.1]]}, [[0.1, 0.2]]),
    "by-parameter": ({Y: np.array([0.2]), X: np.array([0.1])}, [[0.1, 0.2]]),
    "bindings": (BindingsArray({("x", "y"): VALUES}), VALUES.reshape(12, 2)),
}


@pytest.mark.parametrize("name", SHAPES)
def test_shapes_of_values(name: str) -> None:
    """The last axis goes over the parameters in Qiskit's order, the others over the settings, the last of them fastest."""
    values, rows = SHAPES[name]
    circuit = turned(Y, X)
    batch = batch_of([(circuit, values)])
    assert len(batch.templates) == 1
    assert batch.angles[0].tolist() == [[y, x] for x, y in np.asarray(rows).tolist()]
    assert encode([(circuit, values, None)], 1) == encode([(circuit, values)], 1) == encode([circuit.assign_parameters(list(row)) for row in rows], 1)


def test_a_pub_without_parameters() -> None:
    """A circuit alone in a tuple is itself; with bindings of a shape it is so many times itself."""
    fixed = turned(0.5)
    for pub, times in (((fixed,), 1), ((fixed, None), 1), ((fixed, []), 1), ((fixed, BindingsArray({}, shape=(2, 3))), 6)):
        assert encode([pub], 1) == encode([fixed] * times, 1)


def test_pubs_and_circuits_in_one_list() -> None:
    """In the order in which they stand, whatever shares a template with what."""
    one, other = turned(X, Y), turned(0.5)
    values = np.arange(6.0).reshape(3, 2) / 8
    yielded = [(one, values), other, (one, values[1]), turned(0.1, 0.2), (turned(X), [[0.5], [0.25]]), (other,)]
    flat = [one.assign_parameters(row) for row in values]
    bound = [*flat, other, flat[1], turned(0.1, 0.2), other, turned(0.25), other]
    assert encode(yielded, 1) == encode(bound, 1)
    batch = batch_of(tuple(yielded))
    assert (len(batch), len(batch.templates), batch.order.tolist()) == (9, 2, [0, 0, 0, 1, 0, 0, 1, 1, 1])


class Raises:
    """What raises under a name that holds data, whatever is done with it."""

    def __array__(self, *_: object, **__: object) -> Any:
        raise type("CANARY", (ValueError,), {})("CANARY")

    __float__ = __array__


def raising() -> Any:
    made = np.empty((1, 2), object)
    made[0, 0], made[0, 1] = Raises(), 1.0
    return made


TWO = turned(X, Y)
BAD: dict[str, tuple[Any, str]] = {
    "too-few": ((TWO, [0.731]), "do not fit its circuit of 2 parameters"),
    "too-many": ((TWO, [[0.731, 0.1, 0.2]]), "do not fit"),
    "a-number": ((TWO, 0.731), "do not fit"),
    "ragged": ((TWO, [[0.731], [0.1, 0.2]]), "do not fit"),
    "none": ((TWO,), "do not fit"),
    "values-for-no-parameters": ((turned(0.5), [0.731]), "do not fit its circuit of 0 parameters"),
    "nan": ((TWO, [[0.731, math.nan]]), "not a finite number"),
    "infinity": ((TWO, [[0.731, -math.inf]]), "not a finite number"),
    "gap": ((TWO, np.array([[0.731, None]], object)), "not a finite number|do not fit"),
    "complex": ((TWO, [0.731, 1j]), "do not fit"),
    "complex-array": ((TWO, np.array([[0.731 + 1j, 2]])), "do not fit"),
    "text": ((TWO, ["CANARY", "CANARY"]), "do not fit"),
    "text-array": ((TWO, np.array([["CANARY", "1"]])), "do not fit"),
    "names": ((TWO, {"CANARY": [0.731], "x": [1]}), "do not fit"),
    "a-name-missing": ((TWO, {"x": [0.731]}), "do not fit"),
    "lengths": ((TWO, {"x": [0.731, 0.1], "y": [1, 2, 3]}), "do not fit"),
    "empty": ((TWO, []), "do not fit|no settings"),
    "no-rows": ((TWO, np.empty((0, 2))), "no settings"),
    "no-rows-of-a-cube": ((TWO, np.empty((3, 0, 2))), "no settings"),
    "no-columns": ((TWO, np.empty((3, 0))), "do not fit"),
    "object-that-raises": ((TWO, Raises()), "do not fit"),
    "objects-that-raise": ((TWO, raising()), "do not fit"),
    "huge": ((TWO, [10**400, 0.731]), "do not fit"),
    "shots": ((TWO, [0.731, 0.1], 100), "shots of its own"),
    "five": ((TWO, [0.731, 0.1], None, 7), "shots of its own"),
    "a-list": ([TWO, [0.731, 0.1]], "no list of circuits"),
    "no-circuit": (("CANARY", [0.731]), "no list of circuits"),
    "empty-tuple": ((), "no list of circuits"),
    "division-by-zero": ((turned(1 / X), [[0.731], [0.0]]), "not a finite number"),
    "logarithm": ((turned(X.log()), [[0.731], [0.0]]), "not a finite number|no real number"),
    "overflow": ((turned(X.exp()), [[1e6]]), "not a finite number"),
    "imaginary-root": ((turned(X**0.5), [[-0.731]]), "no real number|not a finite number"),
    "bound-beside": (turned(X), "unbound parameter"),
}


@pytest.mark.parametrize("name", BAD)
def test_values_that_are_none(name: str) -> None:
    """One clear refusal, with advice; neither a value nor a text of the workload's is in it."""
    item, words = BAD[name]
    with pytest.raises(UnusableAnswer, match=words) as caught:
        batch_of([turned(0.5), item])
    told = str(caught.value)
    assert "CANARY" not in told and "0.731" not in told
    assert caught.value.where == "workload" and caught.value.advice
    assert caught.value.__cause__ is None and (caught.value.__context__ is None or caught.value.__suppress_context__)


def test_a_circuit_that_has_no_gates_bound_or_not() -> None:
    """What can't be lowered is refused by its kind, also when each setting is bound."""
    inner = QuantumCircuit(1, 1)
    inner.rx(X, 0)
    inner.delay(100, 0)
    with pytest.raises(UnusableAnswer, match="operation 2 of a circuit: Delay is a delay"):
        batch_of([(inner, [[0.1], [0.2]])])


PUBS = """
from qiskit import ClassicalRegister, QuantumRegister
from qiskit.circuit import Parameter


def solve(features, parameters):
    free = QuantumCircuit(QuantumRegister(2), ClassicalRegister(1, "low"), ClassicalRegister(1, "high"))
    free.rx(Parameter("x"), 0)
    free.measure([0, 1], [0, 1])
    single = QuantumCircuit(1, 1)
    single.measure(0, 0)
    counts = yield [(free, np.arange(6.0).reshape(2, 3, 1)), single, (free, [0.5])]
    assert [sum(each.values()) for each in counts] == [1, 2, 3, 4, 5, 6, 7, 8]
    for number, each in enumerate(counts, 1):
        if number != 7:
            assert each.of("low") == {"1": number} and each.of("high") == {"0": number} and each.spaced() == {"0 1": number}
    assert counts[6].spaced() == {"0": 7}
    return pd.DataFrame({"a": [1]})
"""


def test_counts_come_back_in_the_array_s_order(tmp_path: Path) -> None:
    """One for each setting, the last axis of settings fastest, then what stood behind it; each knows its circuit's registers."""
    rounds = rounds_of(tmp_path, PUBS)
    batch = rounds.advance(None)
    assert isinstance(batch, CircuitBatch)
    assert [table.tolist() for table in batch.angles] == [[[0.0], [1.0], [2.0], [3.0], [4.0], [5.0], [0.5]], [[]]]
    assert batch.order.tolist() == [0, 0, 0, 0, 0, 0, 1, 0]
    counts = [{"01": number} for number in range(1, 9)]
    counts[6] = {"0": 7}
    assert isinstance(rounds.advance(counts), Finished)


def test_names_and_metadata_of_a_pub_have_no_place() -> None:
    """Neither the parameter's name nor the circuit's, its registers' or its metadata."""
    named = QuantumCircuit(QuantumRegister(1, "CANARY_q"), ClassicalRegister(1, "CANARY_c"), name="CANARY", metadata={"patient": "CANARY"})
    named.rx(2 * Parameter("CANARY"), 0)
    named.measure(0, 0)
    payload = encode([(named, [[0.25]])], 1)
    assert payload == encode([turned(0.5)], 1)
    assert b"CANARY" not in payload
