"""Aer's circuits that are made from templates are those that Aer makes itself of Qiskit's: the same counts, shot for shot."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit.circuit import ControlledGate, ParameterVector
from qiskit_aer import AerSimulator
from qiskit_aer.backends.aer_compiler import generate_aer_config

from prefect_gatehouse.errors import JobFailed
from prefect_gatehouse.providers.simulator import assembly
from prefect_gatehouse.providers.simulator.aer import simulate
from prefect_gatehouse.providers.simulator.assembly import BOUND, OPTIONS, SimulationFailed, assembled, bound_in_turn, configuration, execute
from prefect_gatehouse.workload.batch import CircuitBatch, Gate, Template
from prefect_gatehouse.workload.circuits import build_circuit
from prefect_gatehouse.workload.gates import gate_shapes, standard_gates

SIMULATOR = AerSimulator(**OPTIONS)
SHAPES = gate_shapes()
NATIVE = sorted(assembly.NATIVE)
WIDTH = 5
AROUND: list[Gate] = [("ry", (qubit,), ()) for qubit in range(WIDTH)]
MEASURED: list[Gate] = [("measure", (qubit,), (WIDTH - 1 - qubit,)) for qubit in range(WIDTH)]


@st.composite
def templates(draw: st.DrawFn) -> Template:
    """Gates, measurements and resets in any order, with something measured at the end."""
    gates: list[Gate] = []
    for name in draw(st.lists(st.sampled_from(NATIVE), max_size=12)):
        qubits, clbits, _ = SHAPES[name]
        gates.append((name, tuple(draw(st.permutations(range(WIDTH)))[:qubits]), tuple(draw(st.permutations(range(WIDTH)))[:clbits])))
    return Template(WIDTH, WIDTH, (*gates, *MEASURED))


def through_qiskit(circuits: Sequence[tuple[Template, list[float]]], shots: int, seed: int) -> list[dict[str, int]]:
    made = [build_circuit(template, angles) for template, angles in circuits]
    result = SIMULATOR.run(made, shots=shots, seed_simulator=seed).result()
    return [dict(each.data.counts) for each in result.results]


def directly(circuits: Sequence[tuple[Template, list[float]]], shots: int, seed: int) -> list[dict[str, int]]:
    made = [assembled(template, angles) for template, angles in circuits]
    return execute(made, [template for template, _ in circuits], shots, seed)


@pytest.mark.parametrize("name", NATIVE)
def test_every_gate_of_aer_s_own(name: str) -> None:
    """On qubits that were turned before and after, so that its order of qubits and its angles show."""
    qubits, clbits, angles = SHAPES[name]
    gate: Gate = (name, tuple(range(WIDTH))[::-1][:qubits], tuple(range(clbits)))
    template = Template(WIDTH, WIDTH, (*AROUND, gate, *AROUND, *MEASURED))
    turns = np.random.default_rng(3).uniform(-3, 3, (3, template.angles)).tolist()
    assert template.angles == angles + 2 * WIDTH
    circuits = [(template, row) for row in turns]
    found = directly(circuits, 200, 11)
    assert found == through_qiskit(circuits, 200, 11)
    assert all(sum(counts.values()) == 200 and len(counts) > 3 for counts in found)


@settings(max_examples=60, deadline=None)
@given(st.data(), st.lists(templates(), min_size=1, max_size=4), st.integers(1, 2**31 - 1))
def test_any_circuits_in_one_call(data: st.DataObject, found: list[Template], seed: int) -> None:
    angles = st.floats(-7, 7, allow_subnormal=False)
    circuits = [(each, data.draw(st.lists(angles, min_size=each.angles, max_size=each.angles))) for each in found]
    assert directly(circuits, 40, seed) == through_qiskit(circuits, 40, seed)


@pytest.mark.parametrize("in_the_middle", [False, True])
def test_angles_that_are_bound_while_it_runs(in_the_middle: bool) -> None:
    """Each setting by itself, as Aer binds Qiskit's parameters."""
    middle: list[Gate] = [("measure", (1,), (0,)), ("reset", (1,), ())] if in_the_middle else []
    template = Template(WIDTH, WIDTH, (*AROUND, ("u", (3,), ()), ("cx", (3, 1), ()), *middle, ("rzz", (4, 1), ()), *AROUND, *MEASURED))
    table = np.random.default_rng(4).uniform(-3, 3, (7, template.angles))
    free = list(ParameterVector("angle", template.angles))
    binds = [{name: table[:, column].tolist() for column, name in enumerate(free)}]
    result = SIMULATOR.run([build_circuit(template, free)], shots=300, seed_simulator=5, parameter_binds=binds).result()
    circuit = assembled(template, [0.0] * template.angles)
    found = execute([circuit], [template] * len(table), 300, 5, bound_in_turn(template, table))
    assert found == [dict(each.data.counts) for each in result.results]
    assert len({tuple(sorted(counts.items())) for counts in found}) == len(table)


def test_what_aer_can_not_run() -> None:
    chain: list[Gate] = [("cx", (qubit, qubit + 1), ()) for qubit in range(59)]
    template = Template(60, 1, (("h", (0,), ()), *chain, ("measure", (59,), (0,))))
    with pytest.raises(SimulationFailed):
        directly([(template, [])], 1, 1)
    with pytest.raises(JobFailed, match="reports the job as failed"):
        simulate(CircuitBatch((template,), np.zeros(1, np.intp), (np.zeros((1, 0)),)), 1, 1, lambda *_: None)


def test_the_gates_are_those_that_aer_says_it_has() -> None:
    assert set(NATIVE) == set(SIMULATOR.operation_names) & set(SHAPES)


def test_what_aer_does_not_bind_is_every_controlled_gate_with_an_angle() -> None:
    wrong = {name for name, gate in standard_gates().items() if gate.params and isinstance(gate, ControlledGate)}
    assert set(NATIVE) - BOUND == wrong & set(NATIVE)
    assert len(wrong & set(NATIVE)) == 7


@pytest.mark.parametrize("bound", [None, [[(0, 0), [0.5, 0.25]]]])
def test_the_settings_are_those_that_aer_makes_itself(bound: list[Any] | None) -> None:
    """Every one of them, also those that nobody names here."""
    circuits = [Template(3, 2, (("rx", (0,), ()), ("measure", (0,), (1,)))), Template(2, 4, (("measure", (0,), (1,)),))]
    made = configuration(circuits, 321, 77, bound)
    of_qiskit = [build_circuit(each, [0.5] * each.angles) for each in circuits]
    more = {} if bound is None else {"parameterizations": [bound]}
    theirs = generate_aer_config(of_qiskit, SIMULATOR.options, shots=321, seed_simulator=77, **more)
    theirs.library_dir = made.library_dir
    names = [name for name in dir(theirs) if not name.startswith("_") and not callable(getattr(theirs, name))]
    assert {name: getattr(made, name) for name in names} == {name: getattr(theirs, name) for name in names}
    assert len(names) > 40


WITHOUT_QISKIT = """
import sys
import numpy as np
from prefect_gatehouse.providers.simulator.aer import simulate
from prefect_gatehouse.workload.batch import CircuitBatch, Template
gates = (("h", (0,), ()), ("cx", (0, 1), ()), ("rz", (1,), ()), ("measure", (0,), (0,)), ("measure", (1,), (1,)))
batch = CircuitBatch((Template(2, 2, gates),), np.zeros(3, np.intp), (np.array([[0.1], [0.2], [0.3]]),))
before = simulate(batch, 100, 5, lambda *_: None)
assert not any(name.startswith("qiskit.") for name in sys.modules), "Qiskit was imported"
import qiskit_aer
from qiskit import QuantumCircuit
circuit = QuantumCircuit(2, 2)
circuit.h(0)
circuit.cx(0, 1)
circuit.measure([0, 1], [0, 1])
assert set(qiskit_aer.AerSimulator().run(circuit, shots=100).result().get_counts()) == {"00", "11"}
assert simulate(batch, 100, 5, lambda *_: None) == before
print([sum(counts.values()) for counts in before], [sorted(counts) for counts in before])
"""


def test_qiskit_is_not_imported_and_may_be_later() -> None:
    """A process that is fresh: Aer's compiled part by itself, then Aer as everybody imports it, then both."""
    done = subprocess.run([sys.executable, "-c", WITHOUT_QISKIT], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.stdout.strip() == "[100, 100, 100] [['00', '11'], ['00', '11'], ['00', '11']]"


def test_who_waits_can_be_told_to_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    """A signal's handler runs while Aer is at work, which may take minutes: nobody waits for that inside of a call of C++."""

    class Told(Exception):
        pass

    def tell(*_: Any) -> None:
        raise Told

    monkeypatch.setattr(assembly, "_run", lambda *_: time.sleep(3))
    before = signal.signal(signal.SIGALRM, tell)
    begun = time.monotonic()
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        with pytest.raises(Told):
            directly([(Template(1, 1, (("measure", (0,), (0,)),)), [])], 1, 1)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert time.monotonic() - begun < 4.5
