"""What the simulators give back: Qiskit's bit order from both, every shot, and one clear error for what they can't run."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.circuit import Gate, Parameter
from qiskit.circuit.library import GlobalPhaseGate
from qiskit.quantum_info import Statevector, random_unitary

from prefect_gatehouse.errors import GatehouseError, InputError, JobFailed, WorkloadFailed
from prefect_gatehouse.providers.interface import Connection
from prefect_gatehouse.providers.registry import backend_names, connect
from tests.providers.circuits import BACKENDS, LEASE, Desk, distance, flipped
from tests.support.circuit_lists import encode


@pytest.fixture(params=BACKENDS)
def desk(request: pytest.FixtureRequest, tmp_path: Path) -> Desk:
    """Each simulator in turn."""
    return Desk(tmp_path, request.param)


def test_both_simulators_are_registered(tmp_path: Path) -> None:
    """The names of a manifest lead to the two simulators, and each says what it is."""
    assert set(BACKENDS) <= set(backend_names())
    for backend in BACKENDS:
        provider = Desk(tmp_path, backend).provider()
        facts = provider.facts(LEASE)
        assert (facts.name, facts.simulator) == (backend, True)
        assert facts.version[0].isdigit() and facts.qubits > 20 and facts.circuits_per_job >= 1
        assert provider.price(10**6, 10**6, LEASE) == 0


@pytest.mark.parametrize("name", ["", "AER", "aer ", "ibm_nowhere", "../aer"])
def test_an_unknown_backend(tmp_path: Path, name: str) -> None:
    """Only the exact name of an installed backend counts; the error lists what there is."""
    with pytest.raises(InputError) as caught:
        connect(name, Connection(tmp_path, Desk(tmp_path, "aer").sealer))
    assert "aer" in caught.value.advice and "braket-local" in caught.value.advice


@st.composite
def classical_circuits(draw: st.DrawFn) -> tuple[QuantumCircuit, str]:
    """Bits through X, CX and SWAP, some of them measured into any classical bits; and the one string that is right."""
    width = draw(st.integers(1, 5))
    bits = draw(st.integers(1, 6))
    circuit = QuantumCircuit(width, bits)
    state = [0] * width
    pairs = st.tuples(st.integers(0, width - 1), st.integers(0, width - 1))
    for name, (one, other) in draw(st.lists(st.tuples(st.sampled_from(["x", "cx", "swap"]), pairs), max_size=8)):
        if name == "x":
            circuit.x(one)
            state[one] ^= 1
        elif one != other and name == "cx":
            circuit.cx(one, other)
            state[other] ^= state[one]
        elif one != other:
            circuit.swap(one, other)
            state[one], state[other] = state[other], state[one]
    measured = draw(st.permutations(range(width)))[: draw(st.integers(1, min(width, bits)))]
    right = ["0"] * bits
    for qubit, bit in zip(measured, draw(st.permutations(range(bits))), strict=False):
        circuit.measure(qubit, bit)
        right[bit] = str(state[qubit])
    return circuit, "".join(reversed(right))


@settings(max_examples=60, deadline=None)
@given(classical_circuits())
def test_any_classical_circuit(made: tuple[QuantumCircuit, str]) -> None:
    """Whatever qubits are used, idle, or measured crosswise into a register of another width: both give the one right string."""
    circuit, right = made
    with tempfile.TemporaryDirectory() as folder:
        for backend in BACKENDS:
            assert Desk(Path(folder), backend).run(circuit, shots=7) == ({right: 7},), backend


@pytest.mark.parametrize("seed", range(6))
def test_both_agree_with_the_state_vector(tmp_path: Path, seed: int) -> None:
    """Random asymmetric circuits, expanded from unitaries: both distributions are Statevector's, and so each other's."""
    rng = np.random.default_rng(seed)
    circuit = QuantumCircuit(4, 4)
    for turn in range(6):
        pair = [int(qubit) for qubit in rng.permutation(4)[:2]]
        circuit.unitary(random_unitary(4, seed=int(rng.integers(2**31)) + turn), pair)
    right = Statevector(circuit).probabilities_dict()
    circuit.measure(range(4), range(4))
    shots = 8000
    found = [Desk(tmp_path, backend).run(circuit, key=f"k{seed}", shots=shots)[0] for backend in BACKENDS]
    assert all(distance(counts, right) < 0.04 for counts in found)
    reversed_bits = {key[::-1]: probability for key, probability in right.items()}
    assert all(distance(counts, reversed_bits) > 0.08 for counts in found)


@pytest.mark.parametrize("shots", [1, 2, 999, 20_000])
def test_shots_are_conserved(desk: Desk, shots: int) -> None:
    """Each circuit's counts add up to the shots asked for; keys have the full width, values are whole and above zero."""
    circuits = []
    for angle in (0.0, 0.3, math.pi / 2, math.pi):
        circuit = QuantumCircuit(3, 3)
        circuit.ry(angle, [0, 1, 2])
        circuit.cx(0, 2)
        circuit.measure([0, 1, 2], [0, 1, 2])
        circuits.append(circuit)
    results = desk.run(*circuits, shots=shots)
    assert len(results) == 4
    for counts in results:
        assert sum(counts.values()) == shots
        assert all(len(key) == 3 and set(key) <= set("01") and type(value) is int and value > 0 for key, value in counts.items())


def test_results_come_in_the_order_of_the_circuits(desk: Desk) -> None:
    """Of many circuits, more than one chunk of Aer's, each gives its own number in binary; progress ends with all of them."""
    number = 450 if desk.backend == "aer" else 40
    told: list[tuple[int, int]] = []
    circuits = [flipped(9, *(qubit for qubit in range(9) if value >> qubit & 1)) for value in range(number)]
    result = desk.result(desk.submit(circuits, shots=3), lambda done, total: told.append((done, total)))
    assert [dict(counts) for counts in result.counts] == [{format(value, "09b"): 3} for value in range(number)]
    assert told == sorted(told) and told[-1] == (number, number)
    assert result.cost == 0 and result.calibration == b"" and result.queue_seconds == 0


def test_the_caller_s_random_numbers_stay(desk: Desk) -> None:
    """A job leaves numpy's global generator as it was."""
    np.random.seed(4711)
    expected = np.random.random(3)
    np.random.seed(4711)
    desk.run(flipped(2, 0))
    assert (np.random.random(3) == expected).all()


def test_a_composite_gate_is_expanded(desk: Desk) -> None:
    """A gate that the workload defines itself runs as the standard gates it is made of."""
    inner = QuantumCircuit(2, name="CANARY")
    inner.x(0)
    inner.cx(0, 1)
    circuit = QuantumCircuit(3, 3)
    circuit.append(inner.to_gate(), [2, 0])
    circuit.barrier()
    circuit.measure(range(3), range(3))
    assert desk.run(circuit) == ({"101": 100},)


def opaque() -> QuantumCircuit:
    circuit = QuantumCircuit(1, 1)
    circuit.append(Gate("oracle", 1, []), [0])
    circuit.measure(0, 0)
    return circuit


def unbound() -> QuantumCircuit:
    circuit = QuantumCircuit(1, 1)
    circuit.rx(Parameter("CANARY"), 0)
    circuit.measure(0, 0)
    return circuit


def angled(value: float) -> QuantumCircuit:
    circuit = QuantumCircuit(1, 1)
    circuit.rx(value, 0)
    circuit.measure(0, 0)
    return circuit


def conditional() -> QuantumCircuit:
    circuit = QuantumCircuit(1, 1)
    circuit.measure(0, 0)
    with circuit.if_test((circuit.clbits[0], 1)):
        circuit.x(0)
    return circuit


def looping() -> QuantumCircuit:
    circuit = QuantumCircuit(1, 1)
    with circuit.for_loop(range(3)):
        circuit.x(0)
    circuit.measure(0, 0)
    return circuit


def delayed() -> QuantumCircuit:
    circuit = QuantumCircuit(1, 1)
    circuit.delay(100, 0)
    circuit.measure(0, 0)
    return circuit


UNSUPPORTED: dict[str, Any] = {
    "opaque-gate": opaque,
    "unbound-parameter": unbound,
    "nan": lambda: angled(math.nan),
    "infinity": lambda: angled(math.inf),
    "condition": conditional,
    "loop": looping,
    "delay": delayed,
}


@pytest.mark.parametrize("name", UNSUPPORTED)
def test_what_has_no_form_is_refused_before_anything_is_sent(desk: Desk, name: str) -> None:
    """The error is ours, blames the workload, says what to do and repeats no name; nothing is spooled."""
    with pytest.raises(WorkloadFailed) as caught:
        desk.submit([flipped(1), UNSUPPORTED[name]()])
    assert caught.value.advice and caught.value.where == "workload"
    assert "CANARY" not in str(caught.value)
    assert desk.files() == []


def reset_first() -> QuantumCircuit:
    circuit = QuantumCircuit(1, 1)
    circuit.reset(0)
    circuit.measure(0, 0)
    return circuit


def goes_on() -> QuantumCircuit:
    circuit = QuantumCircuit(2, 2)
    circuit.measure(0, 0)
    circuit.cx(0, 1)
    circuit.measure(1, 1)
    return circuit


def measures_twice() -> QuantumCircuit:
    circuit = QuantumCircuit(1, 2)
    circuit.measure(0, 0)
    circuit.measure(0, 1)
    return circuit


@pytest.mark.parametrize("make", [reset_first, goes_on, measures_twice, lambda: QuantumCircuit(1, 1)], ids=["reset", "goes-on", "twice", "never"])
def test_braket_says_beforehand_what_it_can_not_run(tmp_path: Path, make: Any) -> None:
    """Resets, gates after a measurement and circuits that measure nothing are refused while encoding, with the backend's name."""
    desk = Desk(tmp_path, "braket-local")
    with pytest.raises(InputError) as caught:
        desk.submit([flipped(1), make()])
    assert caught.value.where == "braket-local" and caught.value.advice
    assert desk.files() == []


def test_aer_measures_and_resets_in_the_middle(tmp_path: Path) -> None:
    """What Braket's simulator refuses, Aer runs: the qubit that was reset reads 0, its earlier value is kept."""
    circuit = QuantumCircuit(2, 3)
    circuit.x(0)
    circuit.measure(0, 0)
    circuit.cx(0, 1)
    circuit.reset(0)
    circuit.measure([0, 1], [1, 2])
    assert Desk(tmp_path, "aer").run(circuit) == ({"101": 100},)


def wide(gate: str) -> QuantumCircuit:
    """A circuit that no memory holds."""
    circuit = QuantumCircuit(40, 40)
    for qubit in range(39):
        getattr(circuit, gate)(qubit, qubit + 1)
    circuit.measure(range(40), range(40))
    return circuit


@pytest.mark.parametrize("gate", ["cx", "iswap"])
def test_too_many_qubits_are_refused_before_anything_is_made(desk: Desk, gate: str) -> None:
    """A state vector that no memory holds is an error that names the backend and its limit, before there is a job."""
    with pytest.raises(InputError, match="40 qubits") as caught:
        desk.submit([flipped(2, 0), wide(gate)])
    assert caught.value.where == desk.backend and "at most" in caught.value.advice
    assert not desk.spool.exists() or not list(desk.spool.iterdir())


@pytest.mark.parametrize("gate", ["cx", "iswap"])
def test_what_the_simulator_can_not_run_is_a_failed_job(desk: Desk, gate: str) -> None:
    """A payload that got past the check: one error of ours, nothing of the SDK's text, and again the second time."""
    handle = desk.provider().submit(encode([wide(gate)], 100), "run:0:0:0", LEASE)
    for _ in range(2):
        with pytest.raises(JobFailed) as caught:
            desk.result(handle)
        assert caught.value.where == desk.backend and "width" in caught.value.advice
        assert caught.value.__cause__ is None
    # The process and the spool are as good as before.
    assert desk.run(flipped(2, 0), key="next") == ({"01": 100},)


def test_a_circuit_that_measures_nothing_is_refused(desk: Desk) -> None:
    """No shot could count anything: refused before there is a job."""
    circuit = QuantumCircuit(1, 1)
    circuit.h(0)
    with pytest.raises(InputError, match="measures nothing"):
        desk.submit([flipped(1), circuit])


def test_a_global_phase_changes_nothing(desk: Desk) -> None:
    """An operation without qubits runs at every backend."""
    circuit = QuantumCircuit(1, 1)
    circuit.append(GlobalPhaseGate(0.5), [])
    circuit.x(0)
    circuit.measure(0, 0)
    assert desk.run(circuit) == ({"1": 100},)


def test_every_error_is_ours(desk: Desk) -> None:
    """Whatever of the above fails, fails as an error of the library, so that no gate lets foreign text through."""
    for make in (*UNSUPPORTED.values(), *([reset_first, goes_on, measures_twice] if desk.backend == "braket-local" else [])):
        with pytest.raises(GatehouseError):
            desk.run(make())
