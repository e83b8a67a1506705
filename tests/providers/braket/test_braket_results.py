"""What comes back from a Braket device: full-width counts in Qiskit's order, from tasks with one circuit and with many."""

from __future__ import annotations

import math
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit.circuit.library import get_standard_gate_name_mapping
from qiskit.quantum_info import Statevector

from prefect_gatehouse.errors import Denied, InputError
from prefect_gatehouse.manifest.models import Purpose
from prefect_gatehouse.providers.braket.openqasm import OUTPUT_GATES
from prefect_gatehouse.testing import BraketEmulator
from prefect_gatehouse.testing.braket import SIMULATOR
from tests.providers.circuits import crosswise, distance, flipped, hardly_used
from tests.support.braket_desk import BraketDesk, lease_of
from tests.support.circuit_lists import batch_of


def test_sparse_bits_subsets_and_registers(desk: BraketDesk) -> None:
    """Some qubits, measured crosswise into some bits of two registers; idle qubits, idle bits, and a qubit that only is measured."""
    circuit = crosswise()
    assert desk.run(circuit) == ({"10000010": 50},)
    assert desk.run(circuit, flipped(2, 1), key="run:0:1:0") == ({"10000010": 50}, {"10": 50})


def test_a_wide_register_of_which_little_is_used(desk: BraketDesk) -> None:
    """200 qubits and bits, two of them used, fit a machine of 20."""
    assert desk.run(hardly_used()) == ({"1" + "0" * 199: 50},)


def test_a_bit_that_is_measured_twice_has_the_later_value(desk: BraketDesk) -> None:
    """As Qiskit has it."""
    circuit = QuantumCircuit(2, 1)
    circuit.x(0)
    circuit.measure(0, 0)
    circuit.measure(1, 0)
    assert desk.run(circuit) == ({"0": 50},)


def test_what_each_gate_is_at_the_service(desk: BraketDesk) -> None:
    """Each gate that is sent, between rotations that make its direction visible, agrees with Statevector; one task for all.

    That Qiskit's other gates are these ones test_openqasm.py shows exactly.
    """
    gates = [
        name
        for name in get_standard_gate_name_mapping()
        if name in {*["x", "y", "z", "h", "s", "sdg", "t", "tdg", "sx", "sxdg", "id", "rx", "ry", "rz", "cx", "cz", "swap"]}
    ]
    assert len(gates) == len(OUTPUT_GATES)
    circuits, rights = [], []
    for name in gates:
        gate = get_standard_gate_name_mapping()[name]
        circuit = QuantumCircuit(2, 2)
        circuit.ry(0.4, 0)
        circuit.ry(0.9, 1)
        circuit.append(gate.base_class(*(0.7 for _ in gate.params)), range(gate.num_qubits))
        circuit.rx(0.9, 0)
        circuit.rx(0.6, 1)
        rights.append(Statevector(circuit).probabilities_dict())
        circuit.measure(range(2), range(2))
        circuits.append(circuit)
    for name, counts, right in zip(gates, desk.run(*circuits, shots=2000), rights, strict=True):
        # Sampling noise alone is about sqrt(outcomes / (2 pi shots)), 0.02 for 4 outcomes.
        assert distance(counts, right) < 0.06, name


def test_a_sweep_is_one_program_with_lists(desk: BraketDesk) -> None:
    """Settings of one template between others: one task, one program for the sweep, each setting's own counts, zero angles among them."""
    circuit = QuantumCircuit(3, 3)
    for qubit, angle in enumerate(ParameterVector("t", 3)):
        circuit.rx(angle, qubit)
    circuit.measure(range(3), range(3))
    numbers = [5, 0, 3, 7, 1, 2]
    values = np.array([[math.pi * (number >> qubit & 1) for qubit in range(3)] for number in numbers])
    found = desk.run(flipped(2, 0), (circuit, values[:3]), flipped(3), (circuit, values[3:]), shots=10)
    assert found == ({"01": 10}, *({format(n, "03b"): 10} for n in numbers[:3]), {"000": 10}, *({format(n, "03b"): 10} for n in numbers[3:]))
    (task,) = desk.emulator.tasks()
    assert (task["executables"], task["shots"]) == (8, 80)


def test_one_circuit_at_a_simulator_without_program_sets(tmp_path: Path, braket: BraketEmulator) -> None:
    """A device that takes no sets is given a task for each circuit, and the facts say so."""
    desk = BraketDesk(tmp_path, braket, device_arn=SIMULATOR)
    assert desk.backend().facts(desk.lease).circuits_per_job == 1
    assert desk.run(flipped(3, 1)) == ({"010": 50},)
    result = desk.backend().result(desk.emulator.tasks()[0]["arn"], desk.lease)
    assert result.calibration == b"" and result.cost > 0 and result.run_seconds > 0
    with pytest.raises(Denied, match="1 circuits in a task"):
        desk.submit([flipped(1), flipped(2)], key="run:0:1:0")


def test_another_host_reads_the_result(desk: BraketDesk, tmp_path: Path) -> None:
    """All that a result needs is with the provider, sealed: an object that knows nothing but handle and key of the run reads it."""
    handle = desk.submit([flipped(3, 2), flipped(3, 0)])
    assert [dict(counts) for counts in desk.ready(handle).counts] == [{"100": 50}, {"001": 50}]
    s3 = desk.emulator.client("s3")
    for item in s3.list_objects_v2(Bucket=desk.settings["bucket"])["Contents"]:
        if item["Key"].endswith("/sent"):
            assert b"measure" not in s3.get_object(Bucket=desk.settings["bucket"], Key=item["Key"])["Body"].read()


def test_what_a_job_costs_and_how_good_the_machine_is(desk: BraketDesk) -> None:
    """The price is known beforehand and equals what is billed; the raw calibration comes with the result."""
    backend = desk.backend()
    estimated = backend.price(3, 50, desk.lease)
    result = desk.ready(desk.submit([flipped(2, 0)] * 3))
    (task,) = desk.emulator.tasks()
    assert str(result.cost.normalize()) == str(estimated.normalize()) == "0.5175"
    assert float(task["billed"]) == float(result.cost)
    assert b"oneQubitProperties" in result.calibration and b"READOUT" in result.calibration
    assert result.queue_seconds >= 0 and result.run_seconds >= 0


def test_thousands_of_circuits_are_tens_of_tasks(desk: BraketDesk) -> None:
    """The tumour example's 4,544 circuits: 46 tasks, and a price that says what the other way would cost."""
    backend = desk.backend()
    each = backend.facts(desk.lease).circuits_per_job
    assert -(-4544 // each) == 46
    together, apart = backend.price(4544, 1000, desk.lease), 4544 * backend.price(1, 1000, desk.lease)
    with pytest.raises(Denied, match="200000 shots"):
        backend.price(4544, 4000, desk.lease)
    # The shots cost the same either way, a task 30 cents.
    assert apart - together == (4544 - 46) * Decimal("0.30")


def opened(*gates: Any) -> QuantumCircuit:
    circuit = QuantumCircuit(2, 2)
    for name, *places in gates:
        getattr(circuit, name)(*places)
    return circuit


@pytest.mark.parametrize(
    "circuit",
    [opened(("reset", 0), ("measure", 0, 0)), opened(("measure", 0, 0), ("x", 0), ("measure", 0, 1)), opened(("h", 0))],
    ids=["reset", "goes-on", "measures-nothing"],
)
def test_what_no_device_runs_is_refused_before_anything_is_sent(desk: BraketDesk, circuit: QuantumCircuit) -> None:
    """An error that names the backend; the service was asked nothing."""
    with pytest.raises(InputError) as caught:
        desk.submit([circuit])
    assert caught.value.where == "braket/garnet-eu" and caught.value.advice
    assert desk.emulator.state()["calls"] == {}


def wide() -> QuantumCircuit:
    circuit = QuantumCircuit(21, 21)
    circuit.h(range(21))
    circuit.measure(range(21), range(21))
    return circuit


@pytest.mark.parametrize(
    ("circuits", "shots", "message"),
    [
        ([wide()], 50, "21 qubits"),
        ([flipped(1)], 20_001, "20000 shots"),
        ([flipped(1)] * 101, 50, "100 circuits"),
        ([flipped(1)] * 90, 5000, "200000 shots"),
    ],
    ids=["qubits", "shots", "circuits", "shots-in-all"],
)
def test_what_this_device_can_not_is_refused_by_capability(desk: BraketDesk, circuits: list[QuantumCircuit], shots: int, message: str) -> None:
    """Refused before anything is sent or kept."""
    with pytest.raises(Denied, match=message):
        desk.submit(circuits, shots=shots)
    assert desk.emulator.tasks() == [] and "Contents" not in desk.emulator.client("s3").list_objects_v2(Bucket=desk.settings["bucket"])


def test_a_sign_in_to_read_results_makes_nothing(desk: BraketDesk) -> None:
    """With what is fetched to retrieve, results are read and nothing is made, cancelled or deleted, though the account itself could."""
    handle, backend, reads = desk.submit([flipped(2, 1)]), desk.backend(), lease_of(desk.emulator.credential, Purpose.RETRIEVE)
    desk.ready(handle)
    assert desk.backend().status(handle, reads).state == "ready"
    assert [dict(counts) for counts in desk.backend().result(handle, reads).counts] == [{"10": 50}]
    payload = backend.encode(batch_of([flipped(2, 0)]), 50)
    for act in (
        lambda: backend.submit(payload, "run:0:9:0", reads),
        lambda: backend.cancel(handle, reads),
        lambda: backend.delete(handle, reads),
    ):
        with pytest.raises(Denied, match="a lease for retrieve was asked for submit"):
            act()
