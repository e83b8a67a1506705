"""A sweep at Aer is what its circuits are one by one: every gate, every order, every chunk, and noise of its own for each setting."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister
from qiskit.circuit import Parameter, ParameterVector
from qiskit.primitives.containers import BindingsArray
from qiskit.quantum_info import Statevector
from tests.providers.circuits import BACKENDS, Desk, distance

from prefect_gatehouse.workload.counts import Counts
from prefect_gatehouse.workload.gates import gate_shapes, standard_gates

TURNED = [name for name, (_, _, angles) in gate_shapes().items() if angles]


def swept(tmp_path: Path, *yielded: Any, shots: int = 100, backend: str = "aer", key: str = "run:0:0:0") -> Sequence[Counts]:
    return Desk(tmp_path, backend).run(*yielded, key=key, shots=shots)


def around(name: str) -> QuantumCircuit:
    """A gate with free angles, between rotations that make its direction and its order of qubits visible."""
    gate = standard_gates()[name]
    width = gate.num_qubits + 1
    circuit = QuantumCircuit(width, width)
    for qubit in range(width):
        circuit.ry(1.1 + 0.3 * qubit, qubit)
    circuit.append(gate.base_class(*ParameterVector("t", len(gate.params))), range(gate.num_qubits))
    for qubit in range(width):
        circuit.rx(1.2 - 0.2 * qubit, qubit)
    return circuit


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", TURNED)
def test_every_gate_takes_its_angles(tmp_path: Path, name: str, backend: str) -> None:
    """Bound while Aer runs, or one by one at Braket's: each setting has Statevector's distribution. Aer itself would leave some angles out."""
    circuit, shots = around(name), 20_000 if backend == "aer" else 4_000
    values = np.random.default_rng(5).uniform(-3, 3, (3, circuit.num_parameters))
    rights = [Statevector(circuit.assign_parameters(row)).probabilities_dict() for row in values]
    circuit.measure(circuit.qubits, circuit.clbits)
    for counts, right in zip(swept(tmp_path, (circuit, values), shots=shots, backend=backend), rights, strict=True):
        assert sum(counts.values()) == shots
        # Sampling noise alone is about sqrt(outcomes / (2 pi shots)): 0.012 for 16 outcomes at Aer, 0.025 at Braket's.
        assert distance(counts, right) < (0.025 if backend == "aer" else 0.055)


@pytest.mark.parametrize("name", TURNED)
def test_the_angles_of_that_test_are_visible(name: str) -> None:
    """Each angle of each gate moves the distribution by more than the test allows, so one that was dropped or swapped fails it."""
    circuit = around(name)
    values = np.random.default_rng(5).uniform(-3, 3, (3, circuit.num_parameters))
    for column in range(circuit.num_parameters):
        moved = []
        for row in values:
            without = row.copy()
            without[column] = 0
            one, other = (Statevector(circuit.assign_parameters(each)).probabilities_dict() for each in (row, without))
            moved.append(sum(abs(one.get(bits, 0) - other.get(bits, 0)) for bits in {*one, *other}) / 2)
        assert max(moved) > 0.06, (name, column)


def flips(width: int) -> QuantumCircuit:
    """Each qubit turned by its own parameter: by 0 or pi, the counts are the settings."""
    circuit = QuantumCircuit(width, width)
    for qubit, angle in enumerate(ParameterVector("t", width)):
        circuit.rx(angle, qubit)
    circuit.measure(range(width), range(width))
    return circuit


def bits_of(number: int, width: int) -> list[float]:
    return [math.pi * (number >> qubit & 1) for qubit in range(width)]


@pytest.mark.parametrize("number", [1, 2, 499, 500, 501, 1000, 1001])
def test_a_sweep_over_the_border_of_a_chunk(tmp_path: Path, number: int) -> None:
    """Each setting gives its own number in binary, in order; what is told of the progress ends with all of them."""
    told: list[tuple[int, int]] = []
    desk = Desk(tmp_path, "aer")
    values = np.array([bits_of(each, 10) for each in range(number)])
    result = desk.result(desk.submit([(flips(10), values)], shots=3), lambda done, total: told.append((done, total)))
    assert [dict(counts) for counts in result.counts] == [{format(each, "010b"): 3} for each in range(number)]
    assert told == sorted(told) and told[-1] == (number, number)


def test_templates_in_any_order(tmp_path: Path) -> None:
    """Sweeps, bound circuits of the same template, others that come once, and one without angles, mixed: each has its own counts."""
    random = np.random.default_rng(7)
    fixed = QuantumCircuit(3, 3)
    fixed.x(1)
    fixed.measure(range(3), range(3))
    yielded: list[Any] = []
    wanted: list[dict[str, int]] = []
    for _ in range(60):
        kind, width = random.integers(4), int(random.integers(2, 5))
        numbers = [int(each) for each in random.integers(0, 2**width, random.integers(1, 5))]
        if kind == 0:
            yielded.append((flips(width), [bits_of(number, width) for number in numbers]))
            wanted += [{format(number, f"0{width}b"): 5} for number in numbers]
        elif kind == 1:
            yielded.append(flips(width).assign_parameters(bits_of(numbers[0], width)))
            wanted.append({format(numbers[0], f"0{width}b"): 5})
        elif kind == 2:
            yielded.append(fixed)
            wanted.append({"010": 5})
        else:
            wide = QuantumCircuit(2, 2 + len(yielded))  # a template of its own
            wide.rx(math.pi, 1)
            wide.measure(1, 1 + len(yielded))
            yielded.append(wide)
            wanted.append({"1" + "0" * (1 + len(yielded) - 1): 5})
    assert [dict(counts) for counts in swept(tmp_path, *yielded, shots=5)] == wanted


def coin(gate: str, in_the_middle: bool = False) -> QuantumCircuit:
    circuit = QuantumCircuit(1, 2)
    angle = Parameter("t")
    getattr(circuit, gate)(angle, 0)
    circuit.measure(0, 0)
    if in_the_middle:
        circuit.reset(0)
        getattr(circuit, gate)(angle, 0)
        circuit.measure(0, 1)
    return circuit


@pytest.mark.parametrize("in_the_middle", [False, True])
def test_equal_settings_have_noise_of_their_own(tmp_path: Path, in_the_middle: bool) -> None:
    """Of equal coins of two templates, few neighbours agree: within a chunk, from one to the next, and between templates."""
    values, shots, share = np.full((600, 1), math.pi / 2), 60, 0.25 if in_the_middle else 0.5
    counts = swept(tmp_path, *((coin(gate, in_the_middle), values) for gate in ("ry", "rx")), shots=shots)
    heads = [each.get("00", 0) for each in counts]
    first, second = heads[:600], heads[600:]
    # By chance one pair in twelve agrees; where two calls of Aer count up from neighbouring seeds, two in three.
    for one, other in ((first, first[1:]), (first[:100], first[500:]), (first, second), (first, second[1:]), (first[1:], second)):
        agree = [left == right for left, right in zip(one, other, strict=False)]
        assert sum(agree) < len(agree) / 5
    assert abs(np.mean(heads) - shots * share) < 6 * math.sqrt(shots * share * (1 - share) / len(heads))


def test_many_shots_that_measure_in_the_middle_share_no_noise(tmp_path: Path) -> None:
    """With more shots than Aer leaves between two seeds, neighbours of a sweep and circuits beside each other are as independent as with few."""
    shots, fixed = 5000, [coin("ry", True).assign_parameters([math.pi / 2 + 1e-9 * number]) for number in range(30)]
    for number, circuit in enumerate(fixed):
        for _ in range(number):
            circuit.id(0)  # each a template of its own
    for made in ([(coin("ry", True), np.full((30, 1), math.pi / 2))], fixed):
        heads = [each.get("00", 0) for each in swept(tmp_path, *made, shots=shots, key=f"run:0:{len(made)}:0")]
        # About 0.5 where they share half of their shots; 0.19 is one standard deviation of none.
        assert abs(np.corrcoef(heads[:-1], heads[1:])[0, 1]) < 0.45


def test_a_template_without_angles_many_times(tmp_path: Path) -> None:
    """Three thousand throws of one circuit: each its own, all fair."""
    circuit = QuantumCircuit(1, 1)
    circuit.h(0)
    circuit.measure(0, 0)
    heads = [counts.get("0", 0) for counts in swept(tmp_path, (circuit, BindingsArray({}, shape=(3000,))), shots=100)]
    assert len(heads) == 3000
    assert abs(np.mean(heads) - 50) < 6 * 5 / math.sqrt(3000)
    assert abs(np.var(heads) / 25 - 1) < 0.2


def test_wide_and_sparse_bits_in_a_sweep(tmp_path: Path) -> None:
    """Qubits that are measured crosswise into a register much wider than they are: the 1 stands in its bit, the rest is 0."""
    angle = Parameter("t")
    circuit = QuantumCircuit(QuantumRegister(3), ClassicalRegister(70, "wide"))
    circuit.rx(angle, 2)
    circuit.cx(2, 0)
    circuit.measure([0, 2], [69, 3])
    found = swept(tmp_path, (circuit, [[0.0], [math.pi]]), shots=4)
    one = ["0"] * 70
    one[-1 - 69] = one[-1 - 3] = "1"
    assert [dict(counts) for counts in found] == [{"0" * 70: 4}, {"".join(one): 4}]


def test_measuring_and_resetting_in_the_middle_of_a_sweep(tmp_path: Path) -> None:
    """The earlier value of a qubit that is reset is kept, setting by setting."""
    angle = Parameter("t")
    circuit = QuantumCircuit(2, 3)
    circuit.rx(angle, 0)
    circuit.measure(0, 0)
    circuit.cx(0, 1)
    circuit.reset(0)
    circuit.crx(angle, 1, 0)  # after a control of 1: turned again
    circuit.measure([0, 1], [1, 2])
    found = swept(tmp_path, (circuit, [[math.pi], [0.0], [math.pi]]), shots=9)
    assert [dict(counts) for counts in found] == [{"111": 9}, {"000": 9}, {"111": 9}]


def test_a_job_gives_the_same_twice(tmp_path: Path) -> None:
    """A sweep that is run anew from its payload and seed, as after a death, gives the same counts."""
    from tests.support.circuit_lists import batch_of

    from prefect_gatehouse.providers.simulator.aer import AerBackend

    backend = Desk(tmp_path, "aer").provider()
    assert isinstance(backend, AerBackend)
    batch = batch_of([(coin("ry"), np.linspace(0, 3, 600)[:, None]), coin("rx").assign_parameters([0.7]), (coin("rx"), [[0.7], [0.7]])])
    first, again, other = (backend.execute(batch, 300, seed, lambda *_: None) for seed in (7, 7, 8))
    assert list(first) == list(again) != list(other)
