"""Circuits as numbers and gates: nothing else is in the form, nothing else comes back from it."""

from __future__ import annotations

import json
import math
import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister
from qiskit.circuit import Gate, Instruction, Parameter
from qiskit.circuit.library import CXGate, QFTGate, UnitaryGate, XGate, efficient_su2, get_standard_gate_name_mapping
from qiskit.quantum_info import Operator, random_unitary
from tests.support.circuit_lists import batch_of, decode, encode, operations, summarise

from prefect_gatehouse.errors import InputError, Tampered, WorkloadFailed
from prefect_gatehouse.workload.batch import require_fit, require_terminal_measurements
from prefect_gatehouse.workload.plain_form import VERSION

GATES = {name: gate for name, gate in get_standard_gate_name_mapping().items() if gate.num_qubits and name not in ("measure", "reset", "delay")}
ANGLES = st.floats(-100, 100) | st.sampled_from([0.0, -0.0, 5e-324, 1e300, math.pi])


@st.composite
def circuits(draw: st.DrawFn) -> QuantumCircuit:
    """Any circuit over the standard gates, with measurements and resets."""
    width, bits = draw(st.integers(4, 6)), draw(st.integers(1, 6))
    circuit = QuantumCircuit(width, bits)
    for name in draw(st.lists(st.sampled_from([*sorted(GATES), "measure", "reset"]), max_size=10)):
        qubits = draw(st.permutations(range(width)))
        if name == "measure":
            circuit.measure(qubits[0], draw(st.integers(0, bits - 1)))
        elif name == "reset":
            circuit.reset(qubits[0])
        else:
            gate = GATES[name]
            if gate.num_qubits <= width:
                circuit.append(gate.base_class(*(draw(ANGLES) for _ in gate.params)), qubits[: gate.num_qubits])
    return circuit


@settings(max_examples=60, deadline=None)
@given(st.lists(circuits(), min_size=1, max_size=3), st.integers(1, 10**6))
def test_round_trip(made: list[QuantumCircuit], shots: int) -> None:
    """Every circuit comes back operation for operation, every angle bit for bit, with width, bits and shots; and has the same bytes again."""
    payload = encode(made, shots)
    again, asked = decode(payload)
    assert asked == shots
    assert [(item.num_qubits, item.num_clbits, operations(item)) for item in again] == [
        (item.num_qubits, item.num_clbits, operations(item)) for item in made
    ]
    assert encode(again, shots) == payload
    assert summarise(again, shots) == summarise(made, shots)


@pytest.mark.parametrize("name", sorted(GATES))
def test_every_gate_keeps_its_meaning(name: str) -> None:
    """The unitary that comes back is the one that went in, qubits in their order."""
    gate = GATES[name]
    circuit = QuantumCircuit(gate.num_qubits)
    circuit.append(gate.base_class(*(0.3 + 0.5 * place for place in range(len(gate.params)))), reversed(range(gate.num_qubits)))
    (again,), _ = decode(encode([circuit], 1))
    assert Operator(again) == Operator(circuit)


COMPOSITE: dict[str, Any] = {
    "open-control": (CXGate(ctrl_state=0), 2),
    "many-controls": (XGate().control(4, ctrl_state="0101"), 5),
    "unitary": (UnitaryGate(random_unitary(4, seed=3)), 2),
    "fourier": (QFTGate(3), 3),
    "ansatz": (efficient_su2(3, reps=1).assign_parameters([0.1 * place for place in range(12)]).to_gate(), 3),
    "inverse": (GATES["iswap"].inverse(), 2),
    "power": (GATES["x"].power(0.5), 1),
}


@pytest.mark.parametrize("name", COMPOSITE)
def test_what_is_composite_is_expanded(name: str) -> None:
    """Controls on 0, matrices, library circuits and powers become standard gates with the same unitary (up to a global phase)."""
    gate, width = COMPOSITE[name]
    circuit = QuantumCircuit(width)
    circuit.append(gate, range(width))
    assert {operation[0] for operation in operations(circuit)} <= set(GATES)
    (again,), _ = decode(encode([circuit], 1))
    assert Operator(again).equiv(Operator(circuit))


def test_names_and_metadata_have_no_place() -> None:
    """Names of circuit, registers, gates and labels, metadata and barriers change neither bytes nor digest, and are not in the payload."""
    plain = QuantumCircuit(2, 2)
    plain.h(0)
    plain.cx(0, 1)
    plain.measure([0, 1], [0, 1])
    inner = QuantumCircuit(1, name="CANARY-inner")
    inner.h(0)
    named = QuantumCircuit(QuantumRegister(2, "CANARY_q"), ClassicalRegister(2, "CANARY_c"), name="CANARY", metadata={"patient": "CANARY"})
    named.append(inner.to_gate(label="CANARY"), [0])
    named.barrier(label="CANARY")
    named.append(CXGate(label="CANARY"), [0, 1])
    named.measure([0, 1], [0, 1])
    named.global_phase = 1.25
    assert encode([named], 5) == encode([plain], 5)
    assert summarise([named], 5).digest == summarise([plain], 5).digest
    assert b"CANARY" not in encode([named], 5)


def test_the_form_is_numbers_and_gates() -> None:
    """The payload is shots, version, templates of [gate, qubits, bits], their runs, and angles, and nothing besides."""
    circuit = QuantumCircuit(2, 1)
    circuit.rx(0.5, 1)
    circuit.measure(1, 0)
    other = circuit.copy_empty_like()
    other.rx(-0.25, 1)
    other.measure(1, 0)
    shots, version, templates, runs, tables = encode([circuit, other], 42).split(b"\n", 4)
    assert (shots, version) == (b"42", b"gatehouse-circuits/2")
    assert json.loads(templates) == [[2, 1, [["rx", [1], []], ["measure", [1], [0]]]]]
    assert json.loads(runs) == [[0, 2]]
    assert struct.unpack("<2d", tables) == (0.5, -0.25)


def change_of(name: str) -> QuantumCircuit:
    """A circuit with one thing another."""
    circuit = QuantumCircuit(3 if name == "width" else 2, 3 if name == "bits" else 2)
    circuit.rx(math.nextafter(0.5, 1) if name == "angle" else 0.5, 0)
    (circuit.cz if name == "gate" else circuit.cx)(*((1, 0) if name == "qubits" else (0, 1)))
    if name == "more":
        circuit.id(0)
    circuit.measure([0, 1], [1, 0] if name == "measured" else [0, 1])
    return circuit


def test_any_single_change_gives_another_digest() -> None:
    """Width, bits, one gate, its qubits, the last bit of an angle, a gate more, other classical bits, order and number of circuits."""
    names = ["", "width", "bits", "angle", "gate", "qubits", "more", "measured"]
    digests = [summarise([change_of(name)], 10).digest for name in names]
    digests += [summarise(list(map(change_of, order)), 10).digest for order in (["", ""], ["", "gate"], ["gate", ""])]
    assert len(set(digests)) == len(digests)


def test_a_summary_tells_the_largest() -> None:
    """Number of circuits, width of the widest, depth of the deepest, shots for each; how many differ in more than their angles, and those."""
    deep = QuantumCircuit(1, 1)
    for _ in range(5):
        deep.rx(0.5, 0)
    summary = summarise([QuantumCircuit(4, 4), deep, deep, QuantumCircuit(4, 4)], 7)
    assert (summary.count, summary.qubits, summary.depth, summary.shots) == (4, 4, 5, 7)
    assert (summary.templates, summary.angles) == (2, 10)


def with_gate(operation: Instruction, width: int = 1) -> QuantumCircuit:
    circuit = QuantumCircuit(width, width)
    circuit.append(operation, range(width))
    return circuit


def endless() -> QuantumCircuit:
    """Definitions of definitions, deeper than anything that a person writes."""
    gate = XGate()
    for _ in range(30):
        inner = QuantumCircuit(1, name="inner")
        inner.append(gate, [0])
        gate = inner.to_gate()
    return with_gate(gate)


def opaque_inside() -> QuantumCircuit:
    inner = QuantumCircuit(1, name="CANARY")
    inner.append(Gate("CANARY", 1, []), [0])
    return with_gate(inner.to_gate())


WRONG: dict[str, Any] = {
    "nan": lambda: with_gate(GATES["rx"].base_class(math.nan)),
    "infinity": lambda: with_gate(GATES["rx"].base_class(-math.inf)),
    "nan-in-the-third": lambda: with_gate(GATES["u"].base_class(0.1, 0.2, math.nan)),
    "unbound": lambda: with_gate(GATES["rx"].base_class(Parameter("CANARY"))),
    "unbound-expression": lambda: with_gate(GATES["rx"].base_class(2 * Parameter("CANARY") + 1)),
    "unknown-gate": lambda: with_gate(Gate("CANARY", 1, [])),
    "unknown-inside": opaque_inside,
    "false-friend": lambda: with_gate(Gate("h", 1, [])),
    "too-deep": endless,
}


@pytest.mark.parametrize("name", WRONG)
def test_what_can_not_be_expressed_is_the_workload_s_fault(name: str) -> None:
    """A number that is none, a free parameter, a gate that nobody defines, one that only bears a gate's name: refused by digest and payload alike."""
    circuit = WRONG[name]()
    for act in (lambda: operations(circuit), lambda: encode([QuantumCircuit(1), circuit], 1), lambda: summarise([circuit], 1)):
        with pytest.raises(WorkloadFailed) as caught:
            act()
        assert caught.value.where == "workload" and caught.value.advice
        assert "CANARY" not in str(caught.value)


def payload(*found: Any, width: Any = 2, bits: Any = 2, shots: str = "10", angles: tuple[float, ...] = (), runs: str = "[[0,1]]") -> bytes:
    templates = json.dumps([[width, bits, list(found)]], separators=(",", ":"))
    return f"{shots}\n{VERSION}\n{templates}\n{runs}\n".encode() + struct.pack(f"<{len(angles)}d", *angles)


RX = ["rx", [0], []]
GOOD = payload(RX, ["measure", [0], [0]], angles=(0.5,))
FOREIGN = {
    "qubit-too-high": payload(["x", [2], []]),
    "qubit-twice": payload(["cx", [1, 1], []]),
    "qubit-text": payload(["x", ["0"], []]),
    "qubit-truth": payload(["x", [False], []]),
    "qubit-fraction": payload(["x", [0.0], []]),
    "too-few-qubits": payload(["cx", [0], []]),
    "one-qubit-for-two": payload(["swap", [0], []]),
    "bit-too-high": payload(["measure", [0], [2]]),
    "bit-missing": payload(["measure", [0], []]),
    "bit-of-a-gate": payload(["x", [0], [0]]),
    "unknown-gate": payload(["oracle", [0], []]),
    "python-name": payload(["__class__", [0], []]),
    "barrier": payload(["barrier", [0], []]),
    "phase": payload(["global_phase", [], []], angles=(0.5,)),
    "delay": payload(["delay", [0], []], angles=(100.0,)),
    "angle-missing": payload(RX),
    "angle-too-many": payload(RX, angles=(0.1, 0.2)),
    "angle-in-the-gate": payload(["rx", [0], [], [0.1]], angles=(0.1,)),
    "angle-that-is-none": payload(RX, angles=(math.nan,)),
    "negative-width": payload(width=-1),
    "width-of-text": payload(width="two"),
    "width-beyond": payload(width=100_001),
    "bits-beyond": payload(bits=100_001),
    "shots-of-text": payload(shots="many"),
    "no-shots": GOOD.partition(b"\n")[2],
    "two-fields": payload(["x", [0]]),
    "no-circuits": payload(["x", [0], []], runs="[]"),
    "no-circuit-of-it": payload(["x", [0], []], runs="[[0,0]]"),
    "no-such-template": payload(["x", [0], []], runs="[[1,1]]"),
    "too-many-circuits": payload(["x", [0], []], runs="[[0,10000001]]"),
    "version-1": b'10\n[[2,2,[["rx",[0],[],[0.5]]]]]',
    "another-version": GOOD.replace(b"circuits/2", b"circuits/3"),
    "not-json": GOOD.replace(b"]]]\n", b"\n", 1),
    "pickle": b"\x80\x04\x95\x00",
    "empty": b"",
    "cut": GOOD[:-1],
    "cut-by-an-angle": GOOD[:-8],
}


@pytest.mark.parametrize("attack", FOREIGN)
def test_a_payload_that_encode_did_not_make(attack: str) -> None:
    """Wrong qubit numbers, unknown gates, wrong types, broken bytes: one error of ours, whatever Qiskit or json would say."""
    assert decode(GOOD)[1] == decode(payload(["x", [0], []], runs="[[0,10]]"))[1] == 10
    with pytest.raises(Tampered, match="can't be decoded"):
        decode(FOREIGN[attack])


def test_measuring_only_at_the_end() -> None:
    """Gates on other qubits may follow a measurement; the measured qubit itself is done, nothing else may."""
    circuit = QuantumCircuit(2, 2)
    circuit.measure(0, 0)
    circuit.x(1)
    circuit.barrier()
    circuit.measure(1, 1)
    require_terminal_measurements(batch_of([circuit, circuit]), "there")
    circuit.x(0)
    with pytest.raises(InputError) as caught:
        require_terminal_measurements(batch_of([change_of(""), circuit]), "there")
    assert caught.value.where == "there"


def test_a_circuit_must_fit_and_count() -> None:
    """As wide as the backend passes; one qubit more, or nothing measured, does not."""
    circuit = QuantumCircuit(2, 2)
    circuit.measure(0, 0)
    require_fit(batch_of([circuit]), "there", 2)
    for wrong, words in ((circuit, "2 qubits"), (QuantumCircuit(1, 1), "measures nothing")):
        with pytest.raises(InputError, match=words) as caught:
            require_fit(batch_of([wrong]), "there", 1)
        assert caught.value.where == "there"


@pytest.mark.parametrize("name", ["barrier", "measure", "reset"])
def test_a_gate_of_one_s_own_with_a_borrowed_name(name: str) -> None:
    """A gate called like what is no gate would be dropped or misread: it is refused by its name."""
    inner = QuantumCircuit(1, name=name)
    inner.x(0)
    circuit = QuantumCircuit(1, 1)
    circuit.append(inner.to_gate(), [0])
    circuit.measure(0, 0)
    with pytest.raises(WorkloadFailed, match=f"called {name}"):
        operations(circuit)
