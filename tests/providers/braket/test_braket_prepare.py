"""Circuits for a machine before anybody approves them: in its own gates and along its own pairs, the same everywhere, over their own bits."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import time
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector

from prefect_gatehouse.errors import Denied
from prefect_gatehouse.providers.braket.capabilities import Capabilities
from prefect_gatehouse.providers.braket.native import IONQ, IQM, KINDS, is_native, pairs_of, touched
from prefect_gatehouse.providers.braket.prepare import Machine, prepared
from prefect_gatehouse.providers.braket.quality import estimate
from prefect_gatehouse.providers.conformance.counting import between_turns, ideal
from prefect_gatehouse.providers.preparation import replaced
from prefect_gatehouse.testing import BraketEmulator
from prefect_gatehouse.testing.braket import SIMULATOR
from prefect_gatehouse.workload.batch import CircuitBatch, Template
from prefect_gatehouse.workload.circuits import build_circuit
from prefect_gatehouse.workload.gates import gate_shapes, standard_gates
from prefect_gatehouse.workload.plain_form import write
from tests.support.braket_desk import BraketDesk
from tests.support.circuit_lists import batch_of

# A ring of six with a gap in its numbers: everything has to be routed, and places are no numbers of the circuit's.
RING = frozenset({(1, 2), (2, 4), (4, 5), (5, 7), (7, 9), (1, 9)})
EVERYWHERE = frozenset(combinations((1, 2, 4, 5, 7, 9), 2))
MACHINE = Machine(RING, 6, "ring", IQM)


def capabilities_at(desk: BraketDesk) -> Capabilities:
    """What the device says that it can."""
    return desk.backend()._asked(desk.lease)


def ideals(batch: CircuitBatch) -> list[dict[str, float]]:
    """Each circuit's distribution, idle qubits left out: a machine has too many of them for a state vector."""
    found = []
    for template, angles in batch.settings():
        place = {qubit: number for number, qubit in enumerate(touched(template))}
        gates = tuple((name, tuple(place[qubit] for qubit in qubits), bits) for name, qubits, bits in template.gates)
        found.append(ideal(build_circuit(Template(len(place), template.clbits, gates), angles.tolist())))
    return found


def apart(one: dict[str, float], other: dict[str, float]) -> float:
    return sum(abs(one.get(key, 0) - other.get(key, 0)) for key in {*one, *other}) / 2


def swept(name: str) -> tuple[QuantumCircuit, np.ndarray]:
    """A gate with free angles between turns."""
    qubits, _, angles = gate_shapes()[name]
    circuit = QuantumCircuit(qubits + 1, qubits + 1)
    for qubit in range(qubits + 1):
        circuit.ry(0.4 + 0.3 * qubit, qubit)
    circuit.append(standard_gates()[name].base_class(*ParameterVector("t", angles)), range(qubits))
    for qubit in range(qubits + 1):
        circuit.rx(0.9 - 0.2 * qubit, qubit)
    circuit.measure(range(qubits + 1), range(qubits, -1, -1))
    return circuit, np.random.default_rng(3).uniform(-7, 7, (2, angles))


def test_every_gate_is_what_it_was() -> None:
    """Each standard gate, its angles fixed and free, exactly: native gates along the ring's pairs, and the same distribution over the same bits."""
    names = [name for name in gate_shapes() if name in standard_gates()]
    batch = batch_of([*(between_turns(name, *gate_shapes()[name][::2]) for name in names), *(swept(n) for n in names if gate_shapes()[n][2])])
    made = replaced(batch, MACHINE.transpile)
    assert all(is_native(each) and pairs_of(each) <= RING for each in made.templates)
    assert len(made) == len(batch) and list(made.clbits()) == list(batch.clbits())
    assert max(apart(one, other) for one, other in zip(ideals(batch), ideals(made), strict=True)) < 1e-7


def test_what_the_transpiler_leaves_out() -> None:
    """Turns that no measurement sees, qubits that only are measured, a bit that is read twice, zero angles: the bits are those of the workload."""
    odd, still = QuantumCircuit(30, 40), QuantumCircuit(2, 2)
    odd.x(20)
    odd.measure([20, 3], [7, 0])
    odd.measure(5, 7)
    still.rz(ParameterVector("t", 1)[0], 0)
    still.measure([0, 1], [1, 0])
    batch = batch_of([odd, (still, np.array([[0.0], [1.0]]))])
    made = replaced(batch, MACHINE.transpile)
    assert [len(each.gates) for each in made.templates] == [5, 4] and all(is_native(each) for each in made.templates)
    assert ideals(made) == [{"0" * 40: 1.0}, {"00": 1.0}, {"00": 1.0}]


def test_two_templates_that_become_one() -> None:
    """Circuits stay in their order."""
    one, other = QuantumCircuit(1, 1), QuantumCircuit(1, 1)
    one.rx(0.5, 0)
    other.sx(0)
    for circuit in (one, other):
        circuit.measure(0, 0)
    made = replaced(batch_of([one, other, one]), MACHINE.transpile)
    assert len(made.templates) == 1 and made.angles[0][:, 0].round(4).tolist() == [0.5, 1.5708, 0.5]


_AGAIN = "from tests.providers.braket.test_braket_prepare import digest_of_many; print(digest_of_many())"


def digest_of_many() -> str:
    """Over what every gate with free angles becomes on each kind of machine, with qubits that nothing joins and such that have to be routed."""
    batch = batch_of([swept(name) for name, (_, _, angles) in gate_shapes().items() if angles])
    machines = (Machine(EVERYWHERE if kind is IONQ else RING, 6, "m", kind) for kind in KINDS)
    return hashlib.sha256(b"".join(write(replaced(batch, each.transpile), 1) for each in machines)).hexdigest()


def test_another_process_prepares_the_same() -> None:
    """To the last bit of every angle, whatever hash seeds it has: a plan is submitted days later by another one. Qiskit's VF2 layout does not."""
    command = [sys.executable, "-c", _AGAIN]
    others = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[3]) for _ in range(2)]
    here = digest_of_many()
    assert {each.communicate(timeout=120)[0].strip() for each in others} == {here}


def calibration(**change: object) -> bytes:
    def qubit(readout: float, gate: float) -> dict[str, object]:
        return {
            "oneQubitFidelity": [
                {"fidelityType": {"name": "READOUT"}, "fidelity": readout},
                {"fidelityType": {"name": "RANDOMIZED_BENCHMARKING"}, "fidelity": gate},
                {"fidelityType": {"name": "SIMULTANEOUS_RANDOMIZED_BENCHMARKING"}, "fidelity": gate - 0.01},
            ]
        }

    pair = {"twoQubitGateFidelity": [{"gateName": "CZ", "fidelity": 0.9}, {"gateName": "iswap", "fidelity": 0.1}]}
    told = {"oneQubitProperties": {"1": qubit(0.95, 0.99), "2": qubit(0.97, 0.98)}, "twoQubitProperties": {"1-2": pair}, **change}
    return json.dumps({"standardized": told}).encode()


def test_the_estimate_is_the_product_of_fidelities() -> None:
    """Of the worst template; none where the calibration does not tell a gate of it."""
    turn, join = ("r", (1,), ()), ("cz", (2, 1), ())
    short = Template(3, 1, (turn, ("measure", (1,), (0,))))
    long = Template(3, 2, (turn, join, ("measure", (1,), (0,)), ("measure", (2,), (1,))))
    assert estimate([short], calibration()) == pytest.approx(0.98 * 0.95)
    assert estimate([short, long], calibration()) == pytest.approx(0.98 * 0.9 * 0.95 * 0.97)
    assert estimate([long], calibration(twoQubitProperties={})) is None and estimate([short], b"") is None


def test_what_the_machine_is_asked_to_do(tmp_path: Path, braket: BraketEmulator) -> None:
    """One program set in verbatim boxes, which the emulator holds to the machine's gates and pairs; depth, gates and quality before and after."""
    desk = BraketDesk(tmp_path, braket)
    circuit = QuantumCircuit(4, 4)
    for qubit, angle in enumerate(ParameterVector("t", 4)):
        circuit.rx(angle, qubit)
    for pair in ((0, 1), (0, 2), (0, 3), (1, 3)):
        circuit.cx(*pair)
    circuit.measure(range(4), [2, 0, 3, 1])
    values = np.pi * np.array([[1, 0, 0, 0], [0, 1, 0, 1], [1, 1, 1, 1]], float)
    batch = batch_of([(circuit, values)])
    found = desk.backend().prepare(batch, 50, desk.lease)
    assert found.settings["compiler"] == "gatehouse" and found.settings["basis"] == ["cz", "prx"]
    assert (found.depth_before, found.two_qubit_before) == (6, 4)
    assert found.two_qubit_after >= 4 and found.depth_after > 6 and found.quality is not None and 0.7 < found.quality < 0.97
    right = [max(each, key=lambda key: each[key]) for each in ideals(batch)]
    backend = desk.backend()
    handle = backend.submit(backend.encode(found.batch, 50), "run:0:0:0", desk.lease)
    assert [dict(counts) for counts in desk.ready(handle).counts] == [{bits: 50} for bits in right]


def test_who_else_compiles(tmp_path: Path, braket: BraketEmulator) -> None:
    """A managed simulator, a block that leaves it to the service, a device that takes no verbatim boxes: as it is, and the settings say why."""
    circuit = QuantumCircuit(2, 2)
    circuit.h(0)
    circuit.measure(range(2), range(2))
    batch = batch_of([circuit])
    why = {}
    for name, more in {"simulator": {"device_arn": SIMULATOR}, "service": {"compiler": "service"}}.items():
        desk = BraketDesk(tmp_path / name, braket, **more)
        found = desk.backend().prepare(batch, 50, desk.lease)
        assert found.batch is batch and found.quality is None and found.settings["transpiler"] == "none"
        why[name] = found.settings["because"]
    plain = capabilities_at(desk)
    older = prepared(batch, replace(plain, verbatim=False), "gatehouse", "m")
    assert older.batch is batch
    assert len({*why.values(), older.settings["because"]}) == 3


def test_a_circuit_that_does_not_fit() -> None:
    """Refused by capability."""
    wide = QuantumCircuit(7, 7)
    wide.h(range(7))
    wide.measure(range(7), range(7))
    with pytest.raises(Denied, match="7 qubits, the device has 6"):
        replaced(batch_of([wide]), MACHINE.transpile)


def test_native_circuits_are_sent_as_they_stand_only_where_they_fit(tmp_path: Path, braket: BraketEmulator) -> None:
    """A workload's own native circuit runs either way: verbatim along the machine's pairs, compiled by the service elsewhere."""
    desk = BraketDesk(tmp_path, braket)
    found = capabilities_at(desk)
    for number, pair in enumerate(((0, 1), (0, 19))):
        circuit = QuantumCircuit(20, 2)
        circuit.r(np.pi, 0.0, pair[0])
        circuit.cz(*pair)
        circuit.measure(pair, [1, 0])
        assert found.sends_verbatim(batch_of([circuit])) == (number == 0)
        assert desk.run(circuit, key=f"run:0:{number}:0") == ({"10": 50},)


def test_gates_with_many_free_angles_are_prepared_at_once() -> None:
    """A hundred gates with free angles of every kind take well below the minute that Qiskit's own search for the basis takes for ten."""
    names = [name for name, (qubits, _, angles) in gate_shapes().items() if angles and qubits <= 2]
    circuit, free = QuantumCircuit(6, 6), iter(ParameterVector("t", 400))
    for number in range(100):
        name = names[number % len(names)]
        qubits, _, angles = gate_shapes()[name]
        circuit.append(standard_gates()[name].base_class(*(next(free) for _ in range(angles))), [(number + place) % 6 for place in range(qubits)])
    circuit.measure(range(6), range(6))
    values = np.random.default_rng(1).uniform(-3, 3, (1, circuit.num_parameters))
    batch = batch_of([(circuit, values)])
    begun = time.process_time()
    made = replaced(batch, MACHINE.transpile)
    assert time.process_time() - begun < 30
    assert apart(ideals(batch)[0], ideals(made)[0]) < 1e-7
